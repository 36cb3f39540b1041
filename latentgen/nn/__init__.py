"""Stock networks: the diffusion transformer that every latent layout shares, and small building blocks."""

from .embedding import SinusoidalEmbedding
from .mlp import MLP
from .transformer import Transformer

__all__ = ["MLP", "SinusoidalEmbedding", "Transformer"]
