"""Stock networks: the diffusion transformer that every latent layout shares, and small building blocks."""

from .augment import GridAugmentation
from .augmented_discriminator import AdaptiveProbability, AugmentedDiscriminator
from .discriminator import GridDiscriminator, TokenDiscriminator
from .embedding import SinusoidalEmbedding
from .mapping import MappingNetwork
from .mlp import MLP
from .spectral import SpectralNorms, largest_gains
from .transformer import Transformer
from .unet import UNet
from .vector import VectorDiscriminator, VectorNetwork

__all__ = [
    "MLP",
    "AdaptiveProbability",
    "AugmentedDiscriminator",
    "GridAugmentation",
    "GridDiscriminator",
    "MappingNetwork",
    "SinusoidalEmbedding",
    "SpectralNorms",
    "TokenDiscriminator",
    "Transformer",
    "UNet",
    "VectorDiscriminator",
    "VectorNetwork",
    "largest_gains",
]
