"""How the network of a prior is built for a latent: the choice that recipes leave open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import nn

from .component import Component
from .latents import LatentSpec
from .nn.transformer import Transformer
from .nn.unet import UNet
from .nn.vector import VectorNetwork


class Architecture(Component, ABC):
    """Builds a network F(z, log_snr, mask, condition, previous, style) -> [B, *E] for any latent that it can take."""

    @abstractmethod
    def network(
        self, latents: LatentSpec, condition_dim: int = 0, self_condition: bool = False, style_dim: int = 0
    ) -> nn.Module:
        """A new network.

        Args:
            latents: what the latent looks like.
            condition_dim: size F of the condition vector, 0 for none.
            self_condition: whether it takes a second input of the latent's shape: an earlier prediction of z_0.
            style_dim: size of a generator's style vector, 0 for none.

        Raises:
            ValueError: if the latent's layout does not fit.
        """


class TransformerArchitecture(Architecture):
    """The shared transformer over latent tokens, for every layout.

    Args:
        width: size of a token.
        depth: number of blocks.
        heads: attention heads.
        expansion: hidden width of a block over ``width``.
        patch: edge of a grid's patch, in latent cells, or neighbours of a sequence without masks in one token.
        dropout: share of residual outputs set to zero in training.
    """

    def __init__(
        self,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        expansion: int = 2,
        patch: int = 1,
        dropout: float = 0.0,
    ) -> None:
        self.width, self.depth, self.heads, self.expansion = width, depth, heads, expansion
        self.patch, self.dropout = patch, dropout

    def network(
        self, latents: LatentSpec, condition_dim: int = 0, self_condition: bool = False, style_dim: int = 0
    ) -> nn.Module:
        """A :class:`Transformer`."""
        return Transformer(
            latents, self.width, self.depth, self.heads, self.patch, condition_dim, self.dropout, self.expansion,
            self_condition, style_dim,
        )


class UNetArchitecture(Architecture):
    """The U-Net for grids (C, H, W): images, or latents that look like small ones.

    Args:
        width: channels at full resolution.
        multipliers: channels over ``width`` at each resolution.
        depth: residual blocks at each resolution.
        attention: resolutions, as edges of the shorter side, with attention.
        heads: attention heads.
        dropout: share of residual branches set to zero in training.
    """

    def __init__(
        self,
        width: int = 64,
        multipliers: Sequence[int] = (1, 2, 2),
        depth: int = 2,
        attention: Sequence[int] = (16,),
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        self.width, self.multipliers, self.depth = width, multipliers, depth
        self.attention, self.heads, self.dropout = attention, heads, dropout

    def network(
        self, latents: LatentSpec, condition_dim: int = 0, self_condition: bool = False, style_dim: int = 0
    ) -> nn.Module:
        """A :class:`UNet`."""
        return UNet(
            latents, self.width, self.multipliers, self.depth, self.attention, self.heads, condition_dim, self.dropout,
            self_condition, style_dim,
        )


class VectorArchitecture(Architecture):
    """The residual MLP with sines and cosines of its input, for vectors.

    Args:
        width: size of a hidden layer.
        depth: number of blocks.
    """

    def __init__(self, width: int = 128, depth: int = 4) -> None:
        self.width, self.depth = width, depth

    def network(
        self, latents: LatentSpec, condition_dim: int = 0, self_condition: bool = False, style_dim: int = 0
    ) -> nn.Module:
        """A :class:`VectorNetwork`."""
        return VectorNetwork(
            latents, self.width, self.depth, condition_dim, style_dim=style_dim, self_condition=self_condition
        )
