"""Samplers by their short names."""

from __future__ import annotations

from inspect import signature
from typing import Any

from .deterministic import DPMSolver, Heun, ProbabilityFlow
from .gan import GANSampler
from .sampler import Sampler
from .spacing import Spacing
from .stochastic import DDIM, Ancestral, EulerMaruyama, PredictorCorrector

SAMPLERS: dict[str, type[Sampler]] = {
    "ode": ProbabilityFlow,
    "heun": Heun,
    "dpm": DPMSolver,
    "ddim": DDIM,
    "ancestral": Ancestral,
    "euler": EulerMaruyama,
    "pc": PredictorCorrector,
    "gan": GANSampler,
}
"""Short names of the samplers."""

FEW_CALLS: dict[str, Spacing] = {"heun": "karras", "dpm": "normal", "ddim": "normal", "ancestral": "normal"}
"""Spacings that samplers have by their short names: the better ones at few calls."""


def make_sampler(
    sampler: str | Sampler | None, steps: int | None = None, tolerance: float | None = None, **options: Any
) -> Sampler:
    """A sampler by its short name, with the spacing that is good at few calls (``FEW_CALLS``).

    Args:
        sampler: a name of :data:`SAMPLERS`, a sampler, which is taken as it is, or None for "dpm".
        steps: number of steps, for samplers on a grid.
        tolerance: for the adaptive sampler.
        options: other arguments of the sampler by name, such as ``spacing``.

    Raises:
        ValueError: if the name is unknown or an option does not fit the sampler.
    """
    if isinstance(sampler, Sampler):
        return sampler
    name = sampler or "dpm"
    if name not in SAMPLERS:
        raise ValueError(f"sampler is {sampler!r}; the known ones are {', '.join(sorted(SAMPLERS))}.")
    every = {"steps": steps, "tolerance": tolerance, **options}
    given = {key: value for key, value in every.items() if value is not None}
    accepts = list(signature(SAMPLERS[name]).parameters)
    for key in given.keys() - set(accepts):
        raise ValueError(f"{key} is {given[key]} for sampler {name!r}, which takes {' and '.join(accepts)} instead.")
    spacing = {"spacing": FEW_CALLS[name]} if name in FEW_CALLS else {}
    try:
        return SAMPLERS[name](**{**spacing, **given})
    except TypeError as error:
        shown = ", ".join(f"{key} = {value!r}" for key, value in given.items())
        raise ValueError(f"sampler {name!r} has {shown}, which it cannot take ({error}); give numbers.") from error
