"""Samplers by their short names."""

from __future__ import annotations

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


def make_sampler(sampler: str | Sampler | None, steps: int | None = None, tolerance: float | None = None) -> Sampler:
    """A sampler by its short name, with the spacing that is good at few calls (``FEW_CALLS``).

    Args:
        sampler: a name of :data:`SAMPLERS`, a sampler, or None for "dpm".
        steps: number of steps, for samplers on a grid.
        tolerance: for the adaptive sampler.

    Raises:
        ValueError: if the name is unknown or the option does not fit the sampler.
    """
    if isinstance(sampler, Sampler):
        return sampler
    name = sampler or "dpm"
    if name not in SAMPLERS:
        raise ValueError(f"sampler is {sampler!r}; the known ones are {', '.join(sorted(SAMPLERS))}.")
    options = {key: value for key, value in {"steps": steps, "tolerance": tolerance}.items() if value is not None}
    accepts = {"tolerance"} if name == "ode" else {"steps"}
    spacing = {"spacing": FEW_CALLS[name]} if name in FEW_CALLS else {}
    for key in options.keys() - accepts:
        raise ValueError(f"{key} is {options[key]} for sampler {name!r}, which takes {' and '.join(accepts)} instead.")
    return SAMPLERS[name](**options, **spacing)
