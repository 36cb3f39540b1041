"""latentgen: latent generative modelling of any kind of data, with score-based priors trained end to end."""

from .adversarial import Discriminate, Generate
from .adversarial_recipe import DDGAN, JointDDGAN
from .architecture import Architecture, TransformerArchitecture, UNetArchitecture, VectorArchitecture
from .autoencoder import Autoencoder, IdentityAutoencoder, StandardizedAutoencoder
from .autoguidance import AutoguidedDenoiser, autoguided
from .chain import Chain
from .collapse import TrainingDiverged
from .comparison import compare
from .comparison_cost import Setting
from .comparison_report import format_comparison, write_comparison
from .data_recipe import DataDiffusion
from .denoiser import Denoiser, GuidedDenoiser, MixedDenoiser, NoiseDenoiser, Prediction, VelocityDenoiser
from .distributions import BernoulliLikelihood, DiagonalGaussian, Likelihood, NormalLikelihood
from .evaluation import evaluate, write_evaluation
from .gan_prior import DenoisingGANPrior, LatentBlock, ScoreGANPrior
from .generator import Generator
from .inpainting import InpaintingDenoiser, Resampled
from .latents import LatentSpec
from .matching import MomentMatching, Moments
from .modality import Metric, Modality
from .model import Estimate, LatentGenerativeModel
from .nn import (
    MLP,
    AdaptiveProbability,
    AugmentedDiscriminator,
    GridAugmentation,
    GridDiscriminator,
    TokenDiscriminator,
    Transformer,
    UNet,
    VectorDiscriminator,
    VectorNetwork,
)
from .objective import ELBO, JointELBO, Objective, Schedule, ScoreMatching
from .prior import NormalPrior, Prior, ScorePrior
from .process import VESDE, VPSDE, GeometricVPSDE, Process, SubVPSDE
from .recipe import LSGM, VAE, LatentDiffusion, Recipe
from .report import format_table, write_report
from .sampler import (
    DDIM,
    SAMPLERS,
    Ancestral,
    DPMSolver,
    EulerMaruyama,
    GANSampler,
    Heun,
    PredictorCorrector,
    ProbabilityFlow,
    Sampler,
)
from .tensors import Batch
from .times import ImportanceTimes, LogSNRTimes, TimeSampler, UniformTimes
from .trainer import Trainer, every
from .training_options import TrainingOptions
from .weighting import (
    LikelihoodWeighting,
    LogNormalWeighting,
    ReweightedWeighting,
    UnweightedWeighting,
    VelocityWeighting,
    Weighting,
)

__version__ = "0.1.0"

load = LatentGenerativeModel.from_pretrained
"""Load a trained model: ``latentgen.load("runs/graphs").sample(16)``."""

__all__ = [
    "DDGAN",
    "DDIM",
    "ELBO",
    "LSGM",
    "MLP",
    "SAMPLERS",
    "VAE",
    "VESDE",
    "VPSDE",
    "AdaptiveProbability",
    "Ancestral",
    "Architecture",
    "AugmentedDiscriminator",
    "Autoencoder",
    "AutoguidedDenoiser",
    "Batch",
    "BernoulliLikelihood",
    "Chain",
    "DPMSolver",
    "DataDiffusion",
    "Denoiser",
    "DenoisingGANPrior",
    "DiagonalGaussian",
    "Discriminate",
    "Estimate",
    "EulerMaruyama",
    "GANSampler",
    "Generate",
    "Generator",
    "GeometricVPSDE",
    "GridAugmentation",
    "GridDiscriminator",
    "GuidedDenoiser",
    "Heun",
    "IdentityAutoencoder",
    "ImportanceTimes",
    "InpaintingDenoiser",
    "JointDDGAN",
    "JointELBO",
    "LatentBlock",
    "LatentDiffusion",
    "LatentGenerativeModel",
    "LatentSpec",
    "Likelihood",
    "LikelihoodWeighting",
    "LogNormalWeighting",
    "LogSNRTimes",
    "Metric",
    "MixedDenoiser",
    "Modality",
    "MomentMatching",
    "Moments",
    "NoiseDenoiser",
    "NormalLikelihood",
    "NormalPrior",
    "Objective",
    "Prediction",
    "PredictorCorrector",
    "Prior",
    "ProbabilityFlow",
    "Process",
    "Recipe",
    "Resampled",
    "ReweightedWeighting",
    "Sampler",
    "Schedule",
    "ScoreGANPrior",
    "ScoreMatching",
    "ScorePrior",
    "Setting",
    "StandardizedAutoencoder",
    "SubVPSDE",
    "TimeSampler",
    "TokenDiscriminator",
    "Trainer",
    "TrainingDiverged",
    "TrainingOptions",
    "Transformer",
    "TransformerArchitecture",
    "UNet",
    "UNetArchitecture",
    "UniformTimes",
    "UnweightedWeighting",
    "VectorArchitecture",
    "VectorDiscriminator",
    "VectorNetwork",
    "VelocityDenoiser",
    "VelocityWeighting",
    "Weighting",
    "autoguided",
    "compare",
    "evaluate",
    "every",
    "format_comparison",
    "format_table",
    "load",
    "write_comparison",
    "write_evaluation",
    "write_report",
]
