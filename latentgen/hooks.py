"""What a trainer's hooks usually do: pictures while training; table and report after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .evaluation import evaluate, gather, sample_like, write_evaluation
from .model import LatentGenerativeModel
from .report import format_table, write_report
from .trainer import Hook, Trainer, every


def draw_samples(steps: int, n: int = 16, calls: int = 10) -> Hook:
    """A hook that draws samples of the averaged weights into ``samples/`` at every ``steps``-th step.

    The same n noise vectors are used each time, so that the pictures show one set of samples as it improves.

    Args:
        steps: steps between pictures.
        n: samples in a picture.
        calls: steps of the default sampler.
    """

    def draw(trainer: Trainer) -> None:
        if not trainer.accelerator.is_main_process:
            return
        folder, modality = trainer.run / "samples", trainer.model.modality
        if not (folder / "real.png").exists():
            modality.render(gather(trainer.model, "train", n), folder / "real.png")
        with trainer.ema.applied_to(trainer.model):
            cost = None if trainer.model.prior.default_sampler == "gan" else calls
            examples = gather(trainer.model, "train", n) if modality.condition_dim else {}
            drawn = sample_like(trainer.model, examples, n, None, 0, steps=cost)
            modality.render(drawn, folder / f"step_{trainer.step:08d}.png")

    return every(steps, draw)


def finish(
    model: LatentGenerativeModel,
    run: str | Path,
    samples: int = 1000,
    sets: int = 1,
    calls: Sequence[int] = (2, 4, 10, 25),
    seed: int = 0,
    title: str = "",
    show: bool = True,
    nelbo_examples: int = 256,
) -> Path:
    """Evaluate a trained model, write ``evaluation.json`` and ``report.html``, print the table and the path.

    Args:
        model: with its data.
        run: the run folder.
        samples: examples a sample set.
        sets: sample sets.
        calls: costs at which the prior is sampled.
        seed: of the samples.
        title: heading.
        show: print.
        nelbo_examples: test examples that -ln p(x) is estimated on.

    Returns:
        Path of ``report.html``.
    """
    run = Path(run)
    result = evaluate(model, samples, sets, calls, seed=seed, title=title, nelbo_examples=nelbo_examples)
    if show:  # before it is written: a full disk does not cost the measurement
        print(format_table(result), flush=True)
    write_evaluation(run, result)
    real = gather(model, "test", 16)
    model.modality.render(real, run / "samples" / "real.png")
    model.modality.render(sample_like(model, real, 16, None, seed), run / "samples" / "generated.png")
    report = write_report(run)
    if show:
        print(f"report: {report}", flush=True)
    return report
