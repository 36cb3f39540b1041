r"""A discriminator that sees augmented grids, as strongly as it overfits."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..component import Component
from .augment import GridAugmentation


@runtime_checkable
class ObservesReal(Protocol):
    """A discriminator that wants to know its logits of real samples, once for each of its own updates."""

    def observe_real(self, logits: Tensor) -> dict[str, Tensor]:
        """Take note of the detached logits [B] of real samples; returns figures to log, scalars."""


class AdaptiveProbability(Component, nn.Module):
    r"""Moves a probability so that r = E[sign D(real)] stays at a target (Karras et al. 2020, Section 3).

    A discriminator that overfits is sure of its training samples, r -> 1; one that can not tell has r = 0. After every
    ``interval`` minibatches p <- clip(p + sign(r - target) n / images, 0, 1), with r the mean sign and n the number of
    the real samples seen since the last move, on all processes of a distributed run together. All state is in buffers.

    Args:
        target: of r, within (-1, 1).
        interval: minibatches between moves.
        images: real samples in which p could go from 0 to 1.

    Attributes:
        sign: r at the last move (of the samples so far before the first), shape [].

    Raises:
        ValueError: if an argument is out of range.
    """

    sign: Tensor
    signs: Tensor
    seen: Tensor
    minibatches: Tensor

    def __init__(self, target: float = 0.6, interval: int = 4, images: int = 500_000) -> None:
        super().__init__()
        if not -1 < target < 1:
            raise ValueError(f"target is {target}; it is a mean sign between -1 and 1, 0.6 is usual.")
        if interval < 1:
            raise ValueError(f"interval is {interval}; it must be at least 1 minibatch.")
        if images < 1:
            raise ValueError(f"images is {images}; it must be at least 1 sample.")
        self.target, self.interval, self.images = target, interval, images
        self.register_buffer("sign", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("minibatches", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, p: Tensor, logits: Tensor) -> None:
        """Count one minibatch and, when it is due, move p in place.

        Args:
            p: the probability, shape [].
            logits: of real samples, shape [B]; NaN is not counted.
        """
        known = ~logits.isnan()
        sums = torch.stack([logits.sign().where(known, 0).sum().float(), known.sum().float()])
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        signs, seen = self.signs + sums[0], self.seen + sums[1]
        self.minibatches.add_(1)
        due = self.minibatches % self.interval == 0
        mean = signs / seen.clamp_min(1)
        moved = (p + (mean - self.target).sign() * seen / self.images).clamp(0, 1)
        p.copy_(torch.where(due, moved, p))
        first = self.minibatches < self.interval
        self.sign.copy_(torch.where(due | first, mean, self.sign))
        self.signs.copy_(torch.where(due, 0.0, signs))
        self.seen.copy_(torch.where(due, 0.0, seen))


class AugmentedDiscriminator(Component, nn.Module):
    r"""A discriminator of grids behind random transforms whose probability follows its overfitting (ADA).

    In training mode every pair (z_s, z_t), real or generated, is transformed before the discriminator sees it, and
    gradients reach a generator through the transform; in evaluation mode there is none. The gradient penalty of
    :class:`Discriminate` is taken at the latent before the transform, as in the paper's setup, and so differentiates
    the transform twice. Where an autoencoder is trained by the discriminator's logit, the logit estimates the
    divergence of transformed chains, which is at most that of the chains themselves.

    Args:
        discriminator: D(z_s, z_t, log_snr, mask, condition) -> logits [B].
        augmentation: the transforms; the buffer ``p`` in it is moved.
        control: what moves p; "adaptive" is :class:`AdaptiveProbability` as published, "fixed" leaves p as it is.

    Raises:
        ValueError: if ``control`` is another word.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        augmentation: GridAugmentation | None = None,
        control: AdaptiveProbability | Literal["adaptive", "fixed"] = "adaptive",
    ) -> None:
        super().__init__()
        self.control: AdaptiveProbability | None
        self.discriminator = discriminator
        self.augmentation = augmentation if augmentation is not None else GridAugmentation()
        if isinstance(control, str):
            if control not in ("adaptive", "fixed"):
                raise ValueError(f"control is {control!r}; choose adaptive or fixed, or give an AdaptiveProbability.")
            self.control = AdaptiveProbability() if control == "adaptive" else None
        else:
            self.control = control

    @property
    def group(self) -> int:
        """How many samples the discriminator compares; 0 where each is judged by itself."""
        return int(getattr(self.discriminator, "group", 0))

    def forward(
        self, z_s: Tensor, z_t: Tensor, log_snr: Tensor, mask: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """Logit of "z_s is real", shape [B]; arguments as of :class:`GridDiscriminator`, grids [B, C, H, W]."""
        if self.training:
            z_s, z_t = self.augmentation(z_s, z_t)
        logit: Tensor = self.discriminator(z_s, z_t, log_snr, mask, condition)
        return logit

    def observe_real(self, logits: Tensor) -> dict[str, Tensor]:
        """Move p by the logits [B] of real samples; ``augmentation_p`` and, with a control, ``real_sign`` r."""
        figures = {"augmentation_p": self.augmentation.p}
        if self.control is not None:
            if self.training:
                self.control.update(self.augmentation.p, logits)
            figures["real_sign"] = self.control.sign
        return {name: value.clone() for name, value in figures.items()}
