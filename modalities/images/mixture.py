"""The discretised mixture of logistics, with channels that depend on those before them."""

from __future__ import annotations

import torch
from torch import Tensor

from latentgen.tensors import Batch, event_sum

from .likelihood import LEVELS, edges, logistic_log_mass, nearest_level, places

LOG_SCALES = (-7.0, 5.0)
"""Scales from 1 / 1100, with all of the mass in one of 256 levels, to 150, where all levels are alike."""


def mixture_size(channels: int, components: int) -> int:
    """Numbers a pixel that :class:`LogisticMixturePixels` is made from: weights, locations, scales, coefficients."""
    return components * (1 + 2 * channels + channels * (channels - 1) // 2)


class LogisticMixturePixels:
    r"""Pixels with p(x) = sum_k pi_k prod_c P_k(x_c | x_1 ... x_{c-1}) over their channels (Salimans et al. 2017).

    P_k(x_c | ...) is the discretised logistic density at the location mu_kc + sum_{j<c} a_kcj y(x_j) with the scale
    s_kc; coefficients a lie in (-1, 1). The masses of all L^C colours sum to 1 exactly.

    Args:
        parameters: shape [B, mixture_size(C, K), H, W].
        channels: C.
        components: K.
        levels: L.
    """

    def __init__(self, parameters: Tensor, channels: int, components: int, levels: int = LEVELS) -> None:
        precise = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
        batch, _, height, width = precise.shape
        pairs = channels * (channels - 1) // 2
        sizes = [1, channels, channels, pairs]
        grouped = precise.reshape(batch, components, sum(sizes), height, width)
        weights, locations, log_scales, coefficients = torch.split(grouped, sizes, dim=2)
        self.log_weights = weights.squeeze(2).log_softmax(dim=1)
        self.locations = locations
        self.log_scales = log_scales.clamp(*LOG_SCALES)
        self.coefficients = coefficients.tanh()
        self.channels, self.components, self.levels = channels, components, levels

    def log_prob(self, batch: Batch) -> Tensor:
        """Nats, shape [B]."""
        lower, upper = (edge.unsqueeze(1) for edge in edges(batch["x"], self.levels, self.locations.dtype))
        locations, inverse = self._shifted(batch["x"]), torch.exp(-self.log_scales)
        mass = logistic_log_mass((lower - locations) * inverse, (upper - locations) * inverse).sum(dim=2)
        return event_sum(torch.logsumexp(self.log_weights + mass, dim=1))

    def _shifted(self, x: Tensor) -> Tensor:
        """Locations given the channels before, shape [B, K, C, H, W]."""
        if self.channels == 1:
            return self.locations
        y = places(x, self.levels, self.locations.dtype).unsqueeze(1)
        shifted = [self.locations[:, :, 0]]
        for channel in range(1, self.channels):
            shifted.append(self.locations[:, :, channel] + self._pull(channel, [y[:, :, j] for j in range(channel)]))
        return torch.stack(shifted, dim=2)

    def _pull(self, channel: int, before: list[Tensor]) -> Tensor:
        """sum_j a_kcj y_j over the channels before, shape [B, K, H, W]."""
        first = channel * (channel - 1) // 2
        pulled = [self.coefficients[:, :, first + j] * y for j, y in enumerate(before)]
        return torch.stack(pulled).sum(dim=0)

    def sample(self) -> Batch:
        """A component a pixel, then its channels in order."""
        gumbel = -torch.log(-torch.log(torch.rand_like(self.log_weights).clamp(1e-20, 1 - 1e-7)))
        chosen = (self.log_weights + gumbel).argmax(dim=1, keepdim=True)
        return self._draw(chosen)

    def _draw(self, chosen: Tensor) -> Batch:
        drawn: list[Tensor] = []
        for channel in range(self.channels):
            location = self._of(self.locations[:, :, channel], chosen)
            first = channel * (channel - 1) // 2
            for j, x in enumerate(drawn):
                y = places(x, self.levels, x.dtype)
                location = location + self._of(self.coefficients[:, :, first + j], chosen) * y
            u = torch.rand_like(location).clamp(1e-7, 1 - 1e-7)
            scale = self._of(self.log_scales[:, :, channel], chosen).exp()
            drawn.append(nearest_level(location + scale * torch.logit(u), self.levels))
        return {"x": torch.stack(drawn, dim=1).to(torch.uint8)}

    @staticmethod
    def _of(values: Tensor, chosen: Tensor) -> Tensor:
        """The chosen component's entry of [B, K, H, W], shape [B, H, W]."""
        return values.gather(1, chosen).squeeze(1)

    def mode(self) -> Batch:
        """The level nearest to the mixture's mean, channel by channel: smoother than the mode of a mixture."""
        weights, means = self.log_weights.exp(), list[Tensor]()
        for channel in range(self.channels):
            location = self.locations[:, :, channel]
            if channel:
                location = location + self._pull(channel, [mean.unsqueeze(1) for mean in means])
            means.append((weights * location).sum(dim=1).clamp(-1, 1))
        return {"x": nearest_level(torch.stack(means, dim=1), self.levels).to(torch.uint8)}
