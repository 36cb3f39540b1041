"""Stock networks: the diffusion transformer that every latent layout shares, and small building blocks."""

from .discriminator import GridDiscriminator, TokenDiscriminator
from .embedding import SinusoidalEmbedding
from .mapping import MappingNetwork
from .mlp import MLP
from .transformer import Transformer
from .unet import UNet
from .vector import VectorDiscriminator, VectorNetwork

__all__ = [
    "MLP",
    "GridDiscriminator",
    "MappingNetwork",
    "SinusoidalEmbedding",
    "TokenDiscriminator",
    "Transformer",
    "UNet",
    "VectorDiscriminator",
    "VectorNetwork",
]
