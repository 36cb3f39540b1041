"""A network as a denoiser: what it predicts."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from .architecture import Architecture, TransformerArchitecture
from .denoiser import Denoiser, MixedDenoiser, NoiseDenoiser, VelocityDenoiser
from .latents import LatentSpec
from .process import Process

Parameterisation = Literal["velocity", "mixed", "noise"]


def make_denoiser(
    latents: LatentSpec,
    process: Process,
    parameterisation: Parameterisation = "velocity",
    width: int = 128,
    depth: int = 4,
    heads: int = 4,
    condition_dim: int = 0,
    expansion: int = 2,
    self_condition: bool = False,
    network: Architecture | None = None,
    initial_logit: float = -3.0,
    active: Tensor | None = None,
) -> Denoiser:
    """The shared transformer, or another network, as a denoiser.

    Args:
        latents: what the latent looks like.
        process: the forward process.
        parameterisation: "velocity", "mixed" (learned mixing per channel) or "noise".
        width: size of a token.
        depth: number of blocks.
        heads: attention heads.
        condition_dim: size of the condition, 0 for none.
        expansion: hidden width of a block over ``width``.
        self_condition: whether the network takes its own earlier prediction of z_0.
        network: another architecture; width, depth, heads and expansion are then its own.
        initial_logit: start of the mixing logits of "mixed".
        active: the channels that "mixed" predicts, bool [C]; the others keep a normal prior. None is all.
    """
    if parameterisation not in ("velocity", "mixed", "noise"):
        raise ValueError(f"parameterisation is {parameterisation!r}; choose velocity, mixed or noise.")
    chosen = network if network is not None else TransformerArchitecture(width, depth, heads, expansion)
    built = chosen.network(latents, condition_dim, self_condition)
    if parameterisation == "mixed":
        mixed = MixedDenoiser(built, process, latents, initial_logit, partial=active is not None)
        if active is not None and mixed.active is not None:
            mixed.active.copy_(active.view_as(mixed.active))
        return mixed
    return (VelocityDenoiser if parameterisation == "velocity" else NoiseDenoiser)(built, process)
