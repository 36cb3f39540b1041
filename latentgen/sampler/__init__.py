"""Samplers: from noise z_1 to a latent z_0, each counting its function calls."""

from .deterministic import DPMSolver, Heun, ProbabilityFlow
from .gan import GANSampler
from .names import FEW_CALLS, SAMPLERS, make_sampler
from .sampler import GridSampler, Observer, Predict, Sampler, Step
from .spacing import NORMAL_SPACING, Spacing, time_grid
from .stochastic import DDIM, Ancestral, EulerMaruyama, PredictorCorrector

__all__ = [
    "DDIM",
    "FEW_CALLS",
    "NORMAL_SPACING",
    "SAMPLERS",
    "Ancestral",
    "DPMSolver",
    "EulerMaruyama",
    "GANSampler",
    "GridSampler",
    "Heun",
    "Observer",
    "Predict",
    "PredictorCorrector",
    "ProbabilityFlow",
    "Sampler",
    "Spacing",
    "Step",
    "make_sampler",
    "time_grid",
]
