"""What samplers and objectives rely on in a denoiser."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ..denoiser import Denoiser, Prediction
from ..latents import LatentSpec
from ..tensors import over
from .result import CheckResult, Checks, require

BATCH = 4
CLOSE = 1e-3


@dataclass
class _Inputs:
    """A denoiser (a copy with every weight moved, so that zero initialisation hides nothing)."""

    denoiser: Denoiser
    z_t: Tensor
    t: Tensor
    mask: Tensor | None
    condition: Tensor | None

    def predict(self) -> Prediction:
        """One call on the whole batch."""
        prediction: Prediction = self.denoiser(self.z_t, self.t, self.mask, self.condition)
        return prediction


def check_denoiser(
    denoiser: Denoiser, latents: LatentSpec, condition_dim: int = 0
) -> list[CheckResult]:
    """Check a denoiser on random latents.

    Args:
        denoiser: the denoiser; a copy is tested, on the CPU.
        latents: what the latent looks like.
        condition_dim: size F of the condition, 0 for none.

    Returns:
        One result for each of: prediction, views, calls, independence, padding, gradient.
    """
    checks = Checks()
    inputs = _inputs(denoiser, latents, condition_dim)
    rules: dict[str, Callable[[_Inputs], str | None]] = {
        "views": _views,
        "calls": _calls,
        "independence": _independence,
        "padding": _padding,
        "gradient": _gradient,
    }
    checks.run("prediction", partial(_prediction, inputs))
    for name, rule in rules.items():
        checks.run(name, partial(rule, inputs), ("prediction",))
    return checks.results


def moved_copy(module: nn.Module, scale: float = 0.02) -> nn.Module:
    """A copy on the CPU, in evaluation mode, with noise added to every parameter."""
    moved = copy.deepcopy(module).cpu().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in moved.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(scale * noise.to(parameter.dtype))
    return moved


def _inputs(denoiser: Denoiser, latents: LatentSpec, condition_dim: int) -> _Inputs:
    generator = torch.Generator().manual_seed(0)
    moved = moved_copy(denoiser)
    assert isinstance(moved, Denoiser)
    start = moved.process.t_min
    t = torch.tensor([0.05, 0.3, 0.6, 1.0]).clamp_min(start)
    z_t = torch.randn(BATCH, *latents.shape, generator=generator)
    mask = None
    if latents.masked:
        items = latents.shape[0]
        sizes = torch.tensor([[items], [max(1, items // 2)], [max(1, items - 1)], [1]])
        mask = torch.arange(items) < sizes
        z_t = z_t * mask.unsqueeze(-1)
    condition = None
    if condition_dim:
        condition = torch.randn(BATCH, condition_dim, generator=generator)
    spread = (moved.process.alpha(t) * moved.process.latent_std) ** 2 + moved.process.sigma2(t)
    return _Inputs(moved, over(spread.sqrt(), z_t) * z_t, t, mask, condition)


@torch.no_grad()
def _prediction(inputs: _Inputs) -> None:
    eps = inputs.predict().eps
    require(
        eps.shape == inputs.z_t.shape,
        f"eps has shape {list(eps.shape)} for z_t of shape {list(inputs.z_t.shape)}",
        "let noise() return one number for each of z_t's",
    )
    require(
        eps.isfinite().all() and eps.dtype == inputs.z_t.dtype,
        f"eps is {eps.dtype} or has entries that are not finite",
        "return finite numbers in z_t's dtype, at t = t_min and t = 1 too",
    )


@torch.no_grad()
def _views(inputs: _Inputs) -> None:
    p, process, t = inputs.predict(), inputs.denoiser.process, inputs.t
    alpha, sigma = (over(value, p.z_t) for value in (process.alpha(t), process.sigma(t)))
    scale = 1e-4 * (1 + p.z_t.abs().max())
    for name, found, expected in (
        ("mean", alpha * p.mean, p.z_t - sigma * p.eps),
        ("score", sigma * p.score, -p.eps),
        ("velocity", p.velocity, alpha * p.eps - sigma * p.mean),
    ):
        require(
            (found - expected).abs().max() < scale * (1 + expected.abs().max()),
            f"{name} does not follow from eps, alpha_t and sigma_t",
            "return Prediction(z_t, eps, process.alpha(t), process.sigma(t))",
        )


@torch.no_grad()
def _calls(inputs: _Inputs) -> None:
    denoiser = copy.deepcopy(inputs.denoiser)
    before = denoiser.calls
    denoiser(inputs.z_t, inputs.t, inputs.mask, inputs.condition)
    counted = denoiser.calls - before
    require(
        counted >= 1,
        "calls stays the same after a call in evaluation mode",
        "override noise() and not forward(), which counts",
    )


def _row(value: Tensor | None, rows: list[int]) -> Tensor | None:
    return None if value is None else value[rows]


@torch.no_grad()
def _independence(inputs: _Inputs) -> None:
    denoiser = copy.deepcopy(inputs.denoiser)
    without_dropout(denoiser.train())
    together = denoiser(inputs.z_t, inputs.t, inputs.mask, inputs.condition).eps
    for i in range(BATCH):
        rows = [i] * BATCH
        mask, condition = _row(inputs.mask, rows), _row(inputs.condition, rows)
        eps = denoiser(inputs.z_t[rows], inputs.t[rows], mask, condition).eps[i]
        difference = float(_real(eps - together[i], inputs.mask, i).abs().max())
        require(
            difference < CLOSE * (1 + float(together.abs().max())),
            f"the prediction for a sample changes by {difference:.3g} with the rest of its batch",
            "use no layer that mixes samples (LayerNorm or GroupNorm instead of BatchNorm), "
            "and t of shape [B] for each sample on its own",
        )


def without_dropout(module: nn.Module) -> None:
    """Switch dropout layers off and leave the rest in its mode."""
    for part in module.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.eval()


def _real(value: Tensor, mask: Tensor | None, i: int) -> Tensor:
    return value if mask is None else value[mask[i]]


@torch.no_grad()
def _padding(inputs: _Inputs) -> str | None:
    if inputs.mask is None:
        return "does not apply: latents have no mask"
    whole = inputs.predict().eps
    for i in range(1, BATCH):
        n = int(inputs.mask[i].sum())
        condition = _row(inputs.condition, [i])
        cut = inputs.denoiser(
            inputs.z_t[i : i + 1, :n], inputs.t[i : i + 1], inputs.mask[i : i + 1, :n], condition
        ).eps[0]
        difference = float((cut - whole[i, :n]).abs().max())
        require(
            difference < CLOSE * (1 + float(whole.abs().max())),
            f"the prediction for real items changes by {difference:.3g} with padded items",
            "keep padded items out of attention, means and norms with the mask",
        )
    return None


def _gradient(inputs: _Inputs) -> None:
    denoiser = copy.deepcopy(inputs.denoiser).train()
    names = [name for name, p in denoiser.named_parameters() if p.requires_grad]
    if not names:
        return
    eps = denoiser(inputs.z_t, inputs.t, inputs.mask, inputs.condition).eps
    require(
        eps.requires_grad,
        "no gradient reaches the parameters from eps",
        "do not detach inside noise()",
    )
    (eps**2).sum().backward()
    unused = [name for name, p in denoiser.named_parameters() if p.requires_grad and p.grad is None]
    require(
        not unused,
        f"no gradient reaches {', '.join(unused[:3])}",
        "use these parameters or remove them: distributed training waits for their gradients",
    )
