"""What objectives, priors and models rely on in an autoencoder and its likelihood."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..autoencoder import Autoencoder
from ..distributions import DiagonalGaussian
from ..latents import LatentSpec
from ..tensors import Batch, event_sum
from .denoiser import moved_copy, without_dropout
from .fixed_noise import FixedNoise
from .nats import nats
from .padding import latent_mask, leading, padding
from .result import CheckResult, Checks, require

CLOSE = 1e-3


@dataclass
class Subject:
    """What is checked: a copy of an autoencoder on the CPU, real data, and the promised latents."""

    autoencoder: Autoencoder
    batch: Batch
    latents: LatentSpec

    def posterior(self) -> DiagonalGaussian:
        """q(z | x) of the batch."""
        return self.autoencoder.encode(self.batch)


def check_autoencoder(
    autoencoder: Autoencoder, batch: Batch, latents: LatentSpec
) -> list[CheckResult]:
    """Check an autoencoder on real data.

    Args:
        autoencoder: encoder and decoder; a copy is tested, on the CPU.
        batch: 4 to 32 examples as the modality's ``collate`` gives them; ones that leave some
            items padded test more.
        latents: what the encoder promises to give.

    Returns:
        One result for each of: posterior, likelihood, seeding, independence, padding, gradient,
        generated, nats.
    """
    checks = Checks()
    run_autoencoder_checks(checks, autoencoder, batch, latents)
    return checks.results


def run_autoencoder_checks(
    checks: Checks, autoencoder: Autoencoder, batch: Batch, latents: LatentSpec
) -> None:
    """Add the results of :func:`check_autoencoder` to others."""
    on_cpu = {key: value.cpu() for key, value in batch.items()}
    subject = Subject(copy.deepcopy(autoencoder).cpu().eval(), on_cpu, latents)
    checks.run("posterior", partial(_posterior, subject))
    checks.run("likelihood", partial(_likelihood, subject), ("posterior",))
    rules: dict[str, Callable[[Subject], str | None]] = {
        "seeding": _seeding,
        "independence": _independence,
        "padding": lambda s: padding(s.autoencoder, s.batch, s.latents),
        "gradient": _gradient,
        "generated": _generated,
    }
    for name, rule in rules.items():
        needs = ["posterior", "likelihood"]
        needs += ["seeding"] if name in ("independence", "padding") else []
        checks.run(name, partial(rule, subject), needs)
    needs = ["posterior", "likelihood", "generated"]
    checks.run("nats", lambda: nats(subject.autoencoder, subject.batch), needs)


@torch.no_grad()
def _posterior(subject: Subject) -> str:
    q, batch, latents = subject.posterior(), subject.batch, subject.latents
    require(
        isinstance(q, DiagonalGaussian),
        f"encode returns a {type(q).__name__}",
        "return DiagonalGaussian(mean, std, mask) from encode",
    )
    count, shape = len(next(iter(batch.values()))), latents.shape
    if latents.masked and "mask" in batch:
        shape = (min(batch["mask"].shape[1] + leading(q, batch), shape[0]), *shape[1:])
    expected = (count, *shape)
    absent = "condition" in batch and batch["condition"].isnan().any()
    without = ", also of examples whose condition is a row of NaN (none)" if absent else ""
    for name in ("mean", "std"):
        value = getattr(q, name)
        require(
            value.shape == expected,
            f"{name} has shape {list(value.shape)}, and the latents promise {list(expected)}",
            f"let encode return {name} of shape [B, *E], or correct the modality's latents",
        )
        require(
            value.isfinite().all() and value.dtype == torch.float32,
            f"{name} is {value.dtype} or has entries that are not finite",
            f"let encode return a finite float32 {name}{without}",
        )
    require(
        (q.std > 0).all(),
        f"std is {float(q.std.min()):.3g} somewhere",
        "pass std through softplus or exp, or give masked items std 1",
    )
    _posterior_mask(q, batch, latents.masked)
    return f"z {list(expected[1:])}, std {float(q.std.mean()):.3g}"


def _posterior_mask(q: DiagonalGaussian, batch: Batch, masked: bool) -> None:
    if not masked:
        require(
            q.mask is None,
            "the posterior has a mask, but latents.masked is False",
            "return DiagonalGaussian(mean, std) without a mask, or set masked=True in latents",
        )
        return
    require(
        q.mask is not None
        and "mask" in batch
        and torch.equal(q.mask, latent_mask(batch["mask"], leading(q, batch))),
        "the posterior's mask is not the batch's, but latents.masked is True",
        'return DiagonalGaussian(mean, std, batch["mask"]) from encode; items that every example '
        "has, such as global tokens, stand before the others and are True in the mask",
    )


@torch.no_grad()
def _likelihood(subject: Subject) -> str:
    q = subject.posterior()
    log_prob = subject.autoencoder.decode(q.rsample(), q.mask).log_prob(subject.batch)
    require(
        isinstance(log_prob, Tensor) and log_prob.shape == (len(q.mean),),
        f"log_prob has shape {list(getattr(log_prob, 'shape', []))} for {len(q.mean)} examples",
        "sum over every axis but the first (latentgen.tensors.event_sum)",
    )
    require(
        log_prob.isfinite().all() and log_prob.is_floating_point(),
        f"log_prob is {log_prob.dtype} or has entries that are not finite",
        "return finite floats; a probability of 0 must not occur in the data",
    )
    return f"{float(log_prob.mean()):.4g} nats an example before training"


@torch.no_grad()
def _seeding(subject: Subject) -> None:
    means = []
    for _ in range(2):
        torch.manual_seed(5)
        means.append(subject.posterior().mean)
    require(
        torch.equal(*means),
        "two encodings of the same data under the same torch seed differ",
        "draw all random numbers of encode from torch (not from numpy or random)",
    )


@torch.no_grad()
def _independence(subject: Subject) -> None:
    """Also in training mode, where batch normalisation mixes samples."""
    for training in (False, True):
        autoencoder = copy.deepcopy(subject.autoencoder).train(training)
        without_dropout(autoencoder)
        together = _outcome(autoencoder, subject.batch)
        for i in (0, len(together[0]) - 1):
            copies = {key: value[[i] * len(value)] for key, value in subject.batch.items()}
            for name, one, all_ in zip(
                ("posterior", "likelihood"), _outcome(autoencoder, copies), together, strict=True
            ):
                difference = float((one[i] - all_[i]).abs().max())
                require(
                    difference < CLOSE * (1 + float(all_[i].abs().max())),
                    f"the {name} of an example changes by {difference:.3g} with the rest of its "
                    f"batch{' in training mode' if training else ''}",
                    "use no layer that mixes samples (LayerNorm or GroupNorm instead of "
                    "BatchNorm) and take no statistics over the batch",
                )


def _outcome(autoencoder: Autoencoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """Posterior means and the likelihood at them, with random numbers fixed by place."""
    with FixedNoise():
        q = autoencoder.encode(batch)
        return q.mean, autoencoder.decode(q.mean, q.mask).log_prob(batch)


def _gradient(subject: Subject) -> str | None:
    autoencoder = moved_copy(subject.autoencoder)  # zero initialisation must not hide a path
    assert isinstance(autoencoder, Autoencoder)
    trained = [name for name, p in autoencoder.named_parameters() if p.requires_grad]
    frozen = any(not p.requires_grad for p in autoencoder.parameters())
    q = autoencoder.encode(subject.batch)
    if trained and not frozen:
        require(
            q.mean.requires_grad and q.std.requires_grad,
            f"no gradient reaches the encoder from {'std' if q.mean.requires_grad else 'mean'}",
            "let mean and std be made by trained layers, without detach() or no_grad() in encode",
        )
    z = q.rsample() if q.mean.requires_grad else q.rsample().requires_grad_(True)
    if not z.is_leaf:
        z.retain_grad()
    log_prob = autoencoder.decode(z, q.mask).log_prob(subject.batch)
    reaches = log_prob.requires_grad
    if reaches:
        torch.autograd.backward((event_sum(-q.std.log(), q.mask) - log_prob).sum())
    require(
        reaches and z.grad is not None and bool(z.grad.any()),
        "no gradient reaches z from log_prob, so that the encoder cannot learn",
        "let decode use z, and log_prob be differentiable, without detach() or argmax",
    )
    unused = [name for name, p in autoencoder.named_parameters() if p.grad is None]
    unused = [name for name in unused if name in trained]
    require(
        not unused,
        f"no gradient reaches {', '.join(unused[:3])}",
        "use these parameters or remove them: distributed training waits for their gradients",
    )
    return None if trained else "nothing to train"


@torch.no_grad()
def _generated(subject: Subject) -> None:
    autoencoder, batch = subject.autoencoder, subject.batch
    q = subject.posterior()
    likelihood = autoencoder.decode(q.rsample(), q.mask)
    for name in ("mode", "sample"):
        made: Batch = getattr(likelihood, name)()
        require(
            isinstance(made, dict) and all(len(v) == len(q.mean) for v in made.values()),
            f"{name}() does not return a dictionary of tensors with {len(q.mean)} examples",
            f"return a Batch with the batch dimension first from {name}()",
        )
        kinds = {k: v.dtype for k, v in made.items() if k in batch and v.dtype != batch[k].dtype}
        require(
            not kinds,
            f"{name}() gives {kinds}, where the data have another dtype",
            f"convert what {name}() returns to the dtypes of the data",
        )
        try:
            autoencoder.decode(q.mean, q.mask).log_prob(made)
            again = autoencoder.encode(made)
        except Exception as error:
            require(
                False,
                f"encode and log_prob cannot read what {name}() gives ({type(error).__name__}: "
                f"{error})",
                _fix_of_unreadable(autoencoder, q, batch, made, name),
            )
        require(
            again.mean.shape == q.mean.shape and bool(again.mean.isfinite().all()),
            f"what {name}() gives is encoded to another shape, or to values that are not finite",
            f"return data of the shape and the range of collate's from {name}()",
        )


def _fix_of_unreadable(
    autoencoder: Autoencoder, q: DiagonalGaussian, batch: Batch, made: Batch, name: str
) -> str:
    """What a decoded batch lacks: the condition, if all is read with it."""
    if "condition" in batch and "condition" not in made:
        conditional = {**made, "condition": batch["condition"]}
        try:
            autoencoder.decode(q.mean, q.mask).log_prob(conditional)
            autoencoder.encode(conditional)
        except Exception:
            pass
        else:
            return (
                "a decoded batch has no condition, as decode is given z and mask alone: let encode and "
                f"log_prob do without batch['condition'], or decode one from z and return it from {name}()"
            )
    missing = sorted(batch.keys() - made.keys() - {"condition"})
    lacks = f"; it lacks {', '.join(missing)}" if missing else ", in the same shapes and the same range"
    return f"return from {name}() what collate gives{lacks}"
