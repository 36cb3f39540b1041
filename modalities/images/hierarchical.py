"""A hierarchical autoencoder of images in the style of NVAE, with a latent that a shared prior can model."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from latentgen.autoencoder import Autoencoder
from latentgen.distributions import DiagonalGaussian, Likelihood
from latentgen.nn.spectral import SpectralNorms, largest_gains
from latentgen.tensors import Batch

from .cells import DecoderCell, EncoderCell, group_norm
from .networks import (
    WIDEST,
    Enlarge,
    LikelihoodName,
    halved,
    learned_scale,
    outputs_of,
    pixel_likelihood,
    places_of_images,
)


class Group(nn.Module):
    """One group of latents: its posterior from the image's features and the state so far, and its way into the state.

    Args:
        features: channels of the image's features.
        width: channels of the state.
        latent: channels of the group.
        depth: cells after it.
        min_std: least standard deviation of the posterior.
    """

    def __init__(self, features: int, width: int, latent: int, depth: int, min_std: float) -> None:
        super().__init__()
        self.min_std = min_std
        self.posterior = nn.Sequential(
            group_norm(features + width), nn.SiLU(), nn.Conv2d(features + width, 2 * latent, 3, padding=1)
        )
        self.enter = nn.Conv2d(latent, width, 3, padding=1)
        self.cells = nn.Sequential(*(DecoderCell(width) for _ in range(depth)))

    def q(self, features: Tensor, state: Tensor) -> DiagonalGaussian:
        """Posterior of the group, mean and std [B, latent, h, w]; means in (-5, 5), std in (min_std, 1)."""
        mean, raw = self.posterior(torch.cat([features, state], dim=1)).float().chunk(2, dim=1)
        std = self.min_std + (1 - self.min_std) * torch.sigmoid(raw)
        return DiagonalGaussian(5 * torch.tanh(mean / 5), std)

    def forward(self, state: Tensor, z: Tensor) -> Tensor:
        """The state [B, width, h, w] after a value [B, latent, h, w] of the group."""
        return torch.as_tensor(self.cells(state + self.enter(z.to(state.dtype))))


class HierarchicalAutoencoder(Autoencoder):
    r"""Groups of latents at one or more scales, all with the prior N(0, I), in the style of NVAE and as LSGM has them.

    The groups of the top (smallest) scale are concatenated to the latent z [B, G latent, h, w] that the shared prior
    models. Its posterior is diagonal: a group sees the image and the means of the groups before it (NVAE's sees draws
    of them), so that entropies stay exact. Groups z_l of larger scales see draws of everything above; they keep N(0, I)
    and enter the likelihood of z by their evidence bound,

    ln p(x | z) >= E_q[ln p(x | z, z_1, ..., z_L)] - sum_l KL(q(z_l | x, z, z_<l) || N(0, I)),

    estimated with one draw, so that every NELBO made with it is a bound on -ln p(x). New images draw them from N(0, I);
    the mode has them at zero.

    Args:
        shape: C, H, W of the images.
        latent: channels of a group.
        groups: number of groups at each scale, from the top down.
        halvings: how often the image's size is halved (rounding up) down to the top scale.
        width: channels at full size; they double with each halving, up to four times.
        depth: residual cells at each size and after each group.
        likelihood: of pixels.
        components: of a mixture.
        binary: whether the data are black and white.
        balance: scale the gradients of the larger scales' KLs by how many nats a group holds for its size, so that none
            is left unused early on (NVAE, Section 3.2); values stay as they are.
        spectral: weight of the spectral norms of all convolutions and the largest gains of all norms, subtracted from
            ln p(x | z) while training.
        min_std: least standard deviation of a posterior, latent units.

    Raises:
        ValueError: if there are no groups, or more scales than sizes.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        latent: int = 20,
        groups: Sequence[int] = (2,),
        halvings: int = 2,
        width: int = 32,
        depth: int = 1,
        likelihood: LikelihoodName = "logistic_mixture",
        components: int = 5,
        binary: bool = False,
        balance: bool = True,
        spectral: float = 0.0,
        min_std: float = 0.02,
    ) -> None:
        super().__init__()
        if not groups or min(groups) < 1 or len(groups) > halvings + 1:
            raise ValueError(
                f"groups is {tuple(groups)} for {halvings} halvings; give at least one group a scale, and at most "
                f"{halvings + 1} scales."
            )
        self.shape = tuple(shape)
        self.channels, self.components, self.likelihood, self.binary = shape[0], components, likelihood, binary
        self.balance, self.spectral, self.counts = balance, spectral, tuple(groups)[1:]
        sizes = halved((shape[1], shape[2]), halvings)
        widths = [width * min(2**k, WIDEST) for k in range(halvings + 1)]
        self.stem = nn.Conv2d(shape[0], widths[0], 3, padding=1)
        self.up = nn.ModuleList(_cells(EncoderCell, w, depth) for w in widths)
        self.smaller = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths)
        )
        self.start = nn.Parameter(torch.randn(widths[-1], *sizes[-1]) * 0.1)
        order = list(range(halvings, -1, -1))  # from the top down
        self.groups = nn.ModuleList(
            nn.ModuleList(
                Group(widths[k], widths[k], latent, depth, min_std)
                for _ in range(groups[place] if place < len(groups) else 0)
            )
            for place, k in enumerate(order)
        )
        self.larger = nn.ModuleList(Enlarge(widths[k], widths[k - 1], sizes[k - 1]) for k in order[:-1])
        self.down = nn.ModuleList(_cells(DecoderCell, widths[k - 1], depth) for k in order[:-1])
        self.head = nn.Sequential(
            group_norm(widths[0]), nn.SiLU(),
            nn.Conv2d(widths[0], outputs_of(likelihood, shape[0], components), 3, padding=1),
        )
        self.log_scale = learned_scale(likelihood, shape[0])
        self.norms = SpectralNorms(self) if spectral > 0 else None

    def encode(self, batch: Batch) -> DiagonalGaussian:
        """q(z | x) of the top scale for ``x`` uint8 [B, C, H, W]: mean and std [B, G latent, h, w]."""
        features = self.features(batch["x"])[-1]
        state = self.start.to(features.dtype).expand(len(features), -1, -1, -1)
        found: list[DiagonalGaussian] = []
        for group in self._top():
            found.append(group.q(features, state))
            state = group(state, found[-1].mean)
        return DiagonalGaussian(torch.cat([q.mean for q in found], dim=1), torch.cat([q.std for q in found], dim=1))

    def decode(self, z: Tensor, mask: Tensor | None = None) -> HierarchicalPixels:
        """p(x | z) for z [B, G latent, h, w]. Images have no mask."""
        return HierarchicalPixels(self, z)

    def features(self, x: Tensor) -> list[Tensor]:
        """The image's features at every size, from the full one on."""
        hidden, kept = self.stem(places_of_images(x, self.shape)), []
        for number, cells in enumerate(self.up):
            hidden = cells(hidden)
            kept.append(hidden)
            if number < len(self.smaller):
                hidden = self.smaller[number](hidden)
        return kept

    def descend(
        self, z: Tensor, features: list[Tensor] | None = None, draw: bool = True
    ) -> tuple[Likelihood, list[Tensor]]:
        """Pixels' likelihood given z, and the KLs of the larger scales' groups.

        Args:
            z: the top scale's latent, shape [B, G latent, h, w].
            features: of an image, for posteriors; None takes the prior.
            draw: whether groups without an image are drawn from N(0, I); otherwise they are zero.

        Returns:
            The likelihood, and for every group of a larger scale KL(q || N(0, I)), nats, shape [B].
        """
        state, kls = self.start.to(z.dtype).expand(len(z), -1, -1, -1), []
        for group, part in zip(self._top(), z.chunk(len(self._top()), dim=1), strict=True):
            state = group(state, part)
        for place, (larger, cells) in enumerate(zip(self.larger, self.down, strict=True)):
            state = cells(larger(state))
            for group in self._at(place + 1):
                if features is None:
                    like = state.new_zeros(len(z), group.enter.in_channels, *state.shape[2:])
                    value = torch.randn_like(like) if draw else like
                else:
                    q = group.q(features[-2 - place], state)
                    value = q.rsample()
                    kls.append(q.kl_to_normal())
                state = group(state, value)
        out = self.head(state)
        likelihood = pixel_likelihood(
            out, self.likelihood, self.channels, self.components, self.binary, self.log_scale
        )
        return likelihood, kls

    def _top(self) -> Any:
        return self.groups[0]

    def _at(self, place: int) -> Any:
        return self.groups[place]

    @property
    def has_lower_groups(self) -> bool:
        """Whether there are groups that the shared prior does not model."""
        return sum(self.counts) > 0


class HierarchicalPixels:
    """p(x | z) with the groups of larger scales inside, bounded from below by their own posterior.

    Args:
        autoencoder: whose groups they are.
        z: the top scale's latent, shape [B, G latent, h, w].
    """

    def __init__(self, autoencoder: HierarchicalAutoencoder, z: Tensor) -> None:
        self.autoencoder, self.z = autoencoder, z

    def log_prob(self, batch: Batch) -> Tensor:
        """The bound on ln p(x | z) with one draw, nats, shape [B]; while training, less the spectral penalty."""
        own = self.autoencoder
        features = own.features(batch["x"]) if own.has_lower_groups else None
        likelihood, kls = own.descend(self.z, features)
        value = likelihood.log_prob(batch)
        if kls:
            value = value - self._balanced(torch.stack(kls)).sum(dim=0)
        if own.training and own.norms is not None:
            value = value - own.spectral * (own.norms() + largest_gains(own))
        return value

    def sample(self) -> Batch:
        """Larger scales' groups from N(0, I), then a draw of the pixels."""
        return self.autoencoder.descend(self.z)[0].sample()

    def mode(self) -> Batch:
        """The pixels' mode with the larger scales' groups at zero, their most probable value."""
        return self.autoencoder.descend(self.z, draw=False)[0].mode()

    def _balanced(self, kls: Tensor) -> Tensor:
        """KLs [L, B] with the same values, whose gradients are scaled by coefficients of mean 1."""
        own = self.autoencoder
        if not (own.training and own.balance and len(kls) > 1):
            return kls
        counts = own.counts
        # NVAE's alpha: 4^scale over the groups of that scale, the smallest being 1
        alpha = torch.tensor([4.0**k / count for k, count in enumerate(counts) for _ in range(count)])
        alpha = (alpha / alpha.min()).to(kls.device)
        coefficient = (kls.detach().mean(dim=1).abs() + 0.01) / alpha
        coefficient = (coefficient / coefficient.mean()).unsqueeze(1)
        return kls.detach() + coefficient * (kls - kls.detach())


def _cells(kind: type[EncoderCell] | type[DecoderCell], width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(kind(width) for _ in range(depth)))
