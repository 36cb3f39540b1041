"""One training loop for all recipes, on Hugging Face Accelerate; it holds no formula."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from .checkpoint import RunLock, latest_checkpoint, load_latest, save_checkpoint
from .collapse import CollapseWatch, TrainingDiverged, left_out
from .component import describe
from .encoded import EncodedData, check_frozen
from .launch import make_accelerator, settled
from .memory import explained
from .modality import Dataset
from .model import LatentGenerativeModel
from .objective import Objective
from .optimizers import clip_by_group
from .progress import MetricsLog, Progress
from .ranks import check_equal_copies
from .run import write_run_header
from .signals import noted
from .stream import BatchStream, shuffled, stream_loader
from .tensors import Batch
from .training_options import TrainingOptions, learning_rate
from .training_state import TrainingState, check_counters, differences

Hook = Callable[["Trainer"], None]


def step_seed(seed: int, step: int, rank: int) -> int:
    """Seed of one step's noise on one process: a hash, as torch's CPU generator takes only the low 32 bits."""
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def every(steps: int, hook: Hook) -> Hook:
    """A hook that runs at every ``steps``-th step."""

    def run(trainer: Trainer) -> None:
        if trainer.step % steps == 0:
            hook(trainer)

    return run


class Trainer:
    """Trains a model by a list of objectives and keeps a run folder; the same call resumes it.

    All randomness of a step is a function of (seed, step, rank), and so is the data order: a run that is killed and
    started again with the same arguments and world size ends bit-equal to an uninterrupted one on the same machine.

    Args:
        model: what is trained.
        objectives: updated in order within each step, each with an optimizer of its own.
        run: folder of the run, made when absent.
        options: how to train.
        hooks: called after every step with the trainer (see :func:`every`).
        accelerator: one made by the caller, or None.
        quiet: show no progress.
    """

    def __init__(
        self,
        model: LatentGenerativeModel,
        objectives: Sequence[Objective],
        run: str | Path,
        options: TrainingOptions | None = None,
        hooks: Sequence[Hook] = (),
        accelerator: Accelerator | None = None,
        quiet: bool = False,
    ) -> None:
        if not objectives:
            raise ValueError("objectives is empty; give at least one, for example JointELBO(autoencoder, prior).")
        self.options = options if options is not None else TrainingOptions()
        self.accelerator = settled(accelerator or make_accelerator(self.options, run), self.options)
        self.run, self.hooks, self.quiet = Path(run), list(hooks), quiet
        self.model = model.to(self.accelerator.device)
        self.step, self.skipped, self.resumed_from = 0, 0, 0
        self._skipped_in_a_row, self._signal = 0, 0
        self._collapse = CollapseWatch(self.options.saturation_limit, lambda: latest_checkpoint(self.run))
        self._last_losses: dict[str, Tensor] = {}
        self._parts: list[Batch] = []
        self._objectives = [objective.to(self.accelerator.device) for objective in objectives]
        if self.options.cache_posteriors:
            check_frozen(self.model.autoencoder, [m for o in self._objectives for m in o.groups().values()])
        self._state = TrainingState(self.model, self._objectives, self.options)
        self.optimizers, self.ema = self._state.optimizers, self._state.ema
        self._wrapped: list[Any] = []
        self._clock = {"seconds": 0.0, "cpu_seconds": 0.0}

    def fit(self) -> LatentGenerativeModel:
        """Train to the last step (from the newest checkpoint of the run folder, if there is one).

        Returns:
            The model with its averaged (EMA) weights, and what objectives set on them (:meth:`Objective.finish`), also
            written to ``export/``.

        Raises:
            TrainingDiverged: if gradients stay non-finite.
            CheckpointError: if the run has checkpoints and none of them can be loaded.
            SystemExit: after SIGTERM, SIGINT or SIGHUP, once the step is done and a checkpoint is written (code 128 +
                signal).
            RuntimeError: if another process trains in this folder.
            OutOfMemoryError: if a step needs more memory than there is.
        """
        self._signal = 0  # of an earlier call, as in a notebook
        if self.run.is_file():
            raise NotADirectoryError(f"run {self.run} is a file; expected the folder of a run, or a name that is free.")
        self.run.mkdir(parents=True, exist_ok=True)
        lock = RunLock(self.run) if self.accelerator.is_main_process else contextlib.nullcontext()
        state = torch.random.get_rng_state()
        with lock, noted(self._note):
            try:
                self._resume()
                self._prepare()
                self._train()
                return self._finish()
            finally:
                torch.random.set_rng_state(state)
                if self.options.trackers:
                    with contextlib.suppress(Exception):
                        self.accelerator.end_training()

    @property
    def _shows(self) -> bool:
        return self.accelerator.is_main_process and not self.quiet

    def _prepare(self) -> None:
        if not self._wrapped:
            modules = [torch.compile(one) if self.options.compile else one for one in self._objectives]
            self._wrapped = [self.accelerator.prepare_model(module) for module in modules]
        if self.options.trackers and self.accelerator.is_main_process:
            try:
                config = {name: str(value) for name, value in asdict(self.options).items()}
                self.accelerator.init_trackers("latentgen", config=config)
            except Exception as error:
                warnings.warn(
                    f"trackers {list(self.options.trackers)} did not start ({type(error).__name__}: {error}); the run "
                    "goes on, its figures are in metrics.jsonl.",
                    stacklevel=3,
                )

    def _train(self) -> None:
        options, rank, world = self.options, self.accelerator.process_index, self.accelerator.num_processes
        started = time.perf_counter(), time.process_time(), dict(self._clock)
        dataset, workers = self._data()
        first = self.step * options.accumulation
        stream = BatchStream(len(dataset), options.batch_size, options.seed, rank, world, first)
        loader = iter(stream_loader(self.model.modality, dataset, stream, workers))
        self.model.train()
        resumed = self.step if self.step else None
        log = MetricsLog(self.run / "metrics.jsonl", resumed, enabled=self.accelerator.is_main_process)
        with Progress(options.steps, initial=self.step, enabled=self._shows) as bar:
            while self.step < options.steps:
                with explained(options, self.accelerator.device, self.step, self.run):
                    self._update(loader)
                self.step += 1
                self._clock["seconds"] = started[2]["seconds"] + time.perf_counter() - started[0]
                self._clock["cpu_seconds"] = started[2]["cpu_seconds"] + time.process_time() - started[1]
                if self.step % options.log_every == 0 or self.step == options.steps:
                    self._log(log)
                bar.update(self.step, self._shown())
                for hook in self.hooks:
                    hook(self)
                self._save_if_due()

    def _data(self) -> tuple[Dataset, int]:
        """The training data, or their posteriors, and the processes that load them."""
        modality = self.model.modality
        dataset = modality.dataset("train")
        if not self.options.cache_posteriors:
            return dataset, self.options.workers
        return EncodedData(modality, dataset, self.model.autoencoder, self.options.batch_size), 0

    def _update(self, loader: Iterator[Batch]) -> None:
        """One optimizer step of every objective."""
        options = self.options
        torch.manual_seed(step_seed(options.seed, self.step, self.accelerator.process_index))
        parts = self._parts = [self._to_device(next(loader)) for _ in range(options.accumulation)]
        for objective, wrapped, optimizers in zip(self._objectives, self._wrapped, self.optimizers, strict=True):
            first = round(objective.begins * options.steps)
            if self.step < first:
                continue
            objective.progress.fill_(self.step / options.steps)
            objective.step = self.step
            factor = learning_rate(self.step, options, first)
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["lr"] = group["peak"] * factor
            for number, part in enumerate(parts):
                last = number == len(parts) - 1
                with contextlib.nullcontext() if last else self.accelerator.no_sync(wrapped):
                    losses = wrapped(part)
                    self.accelerator.backward(losses["loss"] / options.accumulation)
            self._last_losses = {**self._last_losses, **{name: value.detach() for name, value in losses.items()}}
            self._apply(optimizers)
            objective.zero_grad(set_to_none=True)
        self._parts = []
        self._state.average()

    def _apply(self, optimizers: list[torch.optim.Optimizer]) -> None:
        """Clip and step, unless a gradient is not finite on some rank."""
        norms = clip_by_group(optimizers, self.options.clip)
        finite = torch.stack([norm.isfinite() for norm in norms.values()]).all().float()
        if self.accelerator.num_processes > 1:
            finite = self.accelerator.reduce(finite, reduction="sum") >= self.accelerator.num_processes
        if bool(finite):
            for optimizer in optimizers:
                optimizer.step()
            self._skipped_in_a_row = 0
            self._last_losses |= {f"grad_norm_{name}": norm for name, norm in norms.items()}
        else:
            self._skip()

    def _skip(self) -> None:
        self.skipped += 1
        self._skipped_in_a_row += 1
        if self.skipped == 1:
            warnings.warn(left_out(self.step, self._parts), stacklevel=4)
        if self._skipped_in_a_row < self.options.skip_limit:
            return
        kept = latest_checkpoint(self.run)
        bad = [name for name, p in self.model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
        raise TrainingDiverged(
            f"gradients were not finite for {self._skipped_in_a_row} steps in a row (first in {bad[:3]}) at step "
            f"{self.step}; lower lr or clip, or look for NaN in the data. The last good checkpoint is {kept}."
        )

    def _to_device(self, batch: Batch) -> Batch:
        return {key: value.to(self.accelerator.device, non_blocking=True) for key, value in batch.items()}

    def _shown(self) -> dict[str, Tensor]:
        """The figures of the progress bar."""
        wanted = ("nelbo", "reconstruction", "prior_error", "generator_loss", "discriminator_loss", "loss")
        return {name: self._last_losses[name] for name in wanted if name in self._last_losses}

    def _log(self, log: MetricsLog) -> None:
        check_equal_copies(self.accelerator, self.model, self.step)
        names = list(self._last_losses)
        values = torch.stack([self._last_losses[name].float().reshape(()) for name in names])
        if self.accelerator.num_processes > 1:
            values = self.accelerator.reduce(values, reduction="mean")
        row = dict(zip(names, values.tolist(), strict=True))
        self._collapse.read(row, self.step, self.options.steps)
        log.write(self.step, {**row, **self._clock, "skipped": float(self.skipped)})
        if self.options.trackers:
            with contextlib.suppress(Exception):
                self.accelerator.log(row, step=self.step)

    def _agree_on_signal(self) -> None:
        """A signal that reached one process stops all of them after the same step."""
        if self.accelerator.num_processes > 1:
            flag = torch.tensor(float(self._signal != 0), device=self.accelerator.device)
            if self.accelerator.reduce(flag, reduction="sum").item() > 0:
                self._signal = self._signal or signal.SIGTERM

    def _save_if_due(self) -> None:
        self._agree_on_signal()
        every = self.options.checkpoint_every
        # checkpoints of a lost game must not push out the last good one
        due = every and self.step % every == 0 and not self._collapse.saturated_rows
        if due or self._signal or self.step == self.options.steps:
            self.save()
        if self._signal:
            raise SystemExit(128 + self._signal)

    def save(self) -> None:
        """Write a checkpoint of the current step (main process)."""
        self.accelerator.wait_for_everyone()
        check_equal_copies(self.accelerator, self.model, self.step)
        if not self.accelerator.is_main_process:
            return
        tensors, own = self._state.gather()
        state = {
            "step": self.step,
            "skipped": self.skipped,
            "world": self.accelerator.num_processes,
            "options": describe(asdict(self.options)),
            "config": self.model.config(),
            **own,
            **self._clock,
        }
        save_checkpoint(self.run, self.step, tensors, state, keep=self.options.keep)

    def _resume(self) -> None:
        resumed = load_latest(self.run)
        if resumed is None:
            self._write_header()
            return
        found, tensors, state = resumed
        check_counters(found.name, state)
        options, config = describe(asdict(self.options)), self.model.config()
        changed = differences(state["options"], {k: v for k, v in options.items() if k not in ("workers", "trackers")})
        other = differences(state["config"], config)
        if changed and self.accelerator.is_main_process:
            warnings.warn(f"the run is resumed with other options: {'; '.join(changed)}.", stacklevel=3)
        if other and self.accelerator.is_main_process:
            warnings.warn(f"the run is resumed with another model or data: {'; '.join(other)}.", stacklevel=3)
        if state["world"] != self.accelerator.num_processes:
            warnings.warn(
                f"the run was made by {state['world']} processes and is resumed by {self.accelerator.num_processes}: "
                "it goes on, but data order and noise differ from an uninterrupted run.",
                stacklevel=3,
            )
        self._state.restore(tensors, state)
        if changed or other:
            self._write_header()
        self.step = self.resumed_from = int(state["step"])
        self.skipped = int(state["skipped"])
        self._clock = {name: float(state[name]) for name in self._clock}
        if self._shows:
            print(f"Resumed at step {self.step} from {found.name}.", flush=True)

    def _write_header(self) -> None:
        if self.accelerator.is_main_process:
            write_run_header(self.run, self.model, self._objectives, self.options)

    def _finish(self) -> LatentGenerativeModel:
        self.accelerator.wait_for_everyone()
        self.ema.copy_to(self.model)
        self.model.eval()
        finishing = [objective for objective in self._objectives if type(objective).finish is not Objective.finish]
        self._export()
        if finishing:  # after an export, since an error in it must not cost one
            self._finish_objectives(finishing)
            self._export()
        if self._signal:
            raise SystemExit(128 + self._signal)
        return self.model

    def _finish_objectives(self, finishing: Sequence[Objective]) -> None:
        started = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step_seed(self.options.seed, self.step, 0))
            for objective in finishing:
                objective.finish(self._examples())
        if self._shows and (seconds := time.perf_counter() - started) > 1:
            print(f"The objectives finished on the averaged weights in {seconds:.0f} s.", flush=True)

    def _examples(self) -> Iterator[Batch]:
        """The training data once, shuffled, in the same batches on every process."""
        modality, options = self.model.modality, self.options
        size = max(options.batch_size, 64)
        for batch in shuffled(modality, modality.dataset("train"), size, options.seed, options.workers):
            yield self._to_device(batch)

    def _export(self) -> None:
        """Write the model as it is to ``export/`` (main process)."""
        if self.accelerator.is_main_process:
            self.model.save_pretrained(self.run / "export")
        self.accelerator.wait_for_everyone()

    def _note(self, number: int) -> None:
        self._signal = number
