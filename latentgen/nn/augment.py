r"""Random invertible transforms of grids, for a discriminator that has few samples to learn from.

After the text of Karras, Aittala, Hellsten, Laine, Lehtinen, Aila 2020, "Training generative adversarial networks with
limited data", Section 2 and Appendix B: pixel blits, general geometric transforms, and transforms of the colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from ..component import Component
from ..tensors import over


class GridAugmentation(Component, nn.Module):
    r"""Each kind of transform happens to each sample with probability p; all grids of a sample get the same one.

    The affine maps are composed in the order of the arguments, M = M_drift ... M_turn M_flip in cells about the grid's
    centre, and resampled once: y(v) = x(M^-1 v), bilinear. Colour follows: c (x + b), then its part along the channels'
    mean is negated (luma flip), and the rest is turned about it (hue) and scaled (saturation). Samples that nothing
    happens to come out bit-equal, and flips, quarter turns and shifts only move values. Everything is differentiable
    twice, as gathers with weights.

    Flips and turns have "not at all" among their even outcomes, so that a flip is seen with probability p / 2. That
    keeps the map of distributions invertible below p = 1: a generator that fits transformed data fits the data. In
    practice this holds up to p of about 0.8 (Section 2.2).

    Differences from the paper: bilinear without a wavelet filter at twice the resolution, and no filtering, noise or
    cut-outs. A CUDA device adds the gather's gradients in no fixed order, so that runs there are repeatable to rounding
    unless torch is told to be deterministic.

    Args:
        flip: mirror the columns, or not, at even odds.
        turn: 0 to 3 quarter turns at even odds; square grids only.
        shift: whole cells; the share of each side is uniform within +- ``shift``.
        scale: zoom by 2^(``scale`` n), n standard normal.
        rotation: angle uniform within +- ``rotation`` pi, once before and once after ``stretch``, each with probability
            1 - sqrt(1 - p), so that one of the two happens with probability p.
        stretch: columns by 2^(``stretch`` n), rows by its inverse.
        drift: cells and parts of cells; the share of each side is normal with this standard deviation.
        brightness: standard deviation of b, in units of the grid's values.
        contrast: c = 2^(``contrast`` n).
        luma_flip: negate the channels' mean, or not, at even odds.
        hue: angle uniform within +- ``hue`` pi; 3 channels only, 1 in the paper.
        saturation: factor 2^(``saturation`` n); 3 channels only, 1 in the paper.
        padding: what is seen beyond the border: "reflect" (about the border cells, as often as needed) or "zero".
        p: the probability to begin with; kept in the buffer ``p``.

    A strength of 0 leaves a kind out.

    Raises:
        ValueError: if p, a strength or padding is out of range, or a grid does not fit the transforms.
    """

    p: Tensor

    def __init__(
        self,
        flip: bool = True,
        turn: bool = True,
        shift: float = 0.125,
        scale: float = 0.2,
        rotation: float = 1.0,
        stretch: float = 0.2,
        drift: float = 0.125,
        brightness: float = 0.2,
        contrast: float = 0.5,
        luma_flip: bool = True,
        hue: float = 0.0,
        saturation: float = 0.0,
        padding: Literal["reflect", "zero"] = "reflect",
        p: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p is {p}; it is a probability between 0 and 1.")
        if padding not in ("reflect", "zero"):
            raise ValueError(f"padding is {padding!r}; choose reflect or zero.")
        strengths = {"shift": shift, "scale": scale, "rotation": rotation, "stretch": stretch, "drift": drift}
        colours = {"brightness": brightness, "contrast": contrast, "hue": hue, "saturation": saturation}
        for name, value in {**strengths, **colours}.items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value}; it must be at least 0 and finite, 0 leaves the transform out.")
        self.flip, self.turn, self.luma_flip, self.padding = flip, turn, luma_flip, padding
        self.shift, self.scale, self.rotation, self.stretch, self.drift = strengths.values()
        self.brightness, self.contrast, self.hue, self.saturation = colours.values()
        self.register_buffer("p", torch.tensor(float(p)))

    def forward(self, *grids: Tensor) -> tuple[Tensor, ...]:
        """The grids of each sample under one random transform.

        Args:
            grids: each of the same shape [B, C, H, W] and dtype.

        Returns:
            As many grids, shape [B, C, H, W] each.
        """
        self._check(grids)
        x = torch.stack(grids, dim=1)
        if self.flip or self.turn or any((self.shift, self.scale, self.rotation, self.stretch, self.drift)):
            inverse = self.inverse(x)
            moved = (inverse != torch.eye(3, dtype=inverse.dtype, device=x.device)).flatten(1).any(dim=1)
            x = torch.where(over(moved, x).bool(), warp(x.flatten(1, 2), inverse, self.padding).view_as(x), x)
        if self.luma_flip or any((self.brightness, self.contrast, self.hue, self.saturation)):
            x = self._recolour(x)
        return x.unbind(dim=1)

    def inverse(self, x: Tensor) -> Tensor:
        """Random maps M^-1 from cells of the result to cells of x, for x [B, *, H, W]: shape [B, 3, 3]."""
        n, (height, width) = len(x), x.shape[-2:]
        fine = _fine(x)
        none, pair = torch.zeros(n, dtype=fine, device=x.device), torch.zeros(n, 2, dtype=fine, device=x.device)
        total = torch.eye(3, dtype=fine, device=x.device).expand(n, 3, 3)
        if self.flip:
            total = _product(total, _scaling(1 - 2 * self._draw(none, lambda: _whole(none, 2)), 1 + none))
        if self.turn:
            quarters = self._draw(none, lambda: _whole(none, 4))
            # from a table: the cosine of pi / 2 is not quite 0
            cosine = none.new_tensor([1.0, 0.0, -1.0, 0.0])[quarters.long()]
            sine = none.new_tensor([0.0, 1.0, 0.0, -1.0])[quarters.long()]
            total = _product(total, _rotation(cosine, sine))
        if self.shift:
            across, down = self._draw(pair, lambda: self.shift * _uniform(pair)).unbind(1)
            total = _product(total, _translation(-(across * width).round(), -(down * height).round()))
        if self.scale:
            zoom = torch.exp2(-self._draw(none, lambda: self.scale * torch.randn_like(none)))
            total = _product(total, _scaling(zoom, zoom))
        half = 1 - (1 - self.p).sqrt()
        if self.rotation:
            total = _product(total, self._turned(none, half))
        if self.stretch:
            ratio = torch.exp2(-self._draw(none, lambda: self.stretch * torch.randn_like(none)))
            total = _product(total, _scaling(ratio, 1 / ratio))
        if self.rotation:
            total = _product(total, self._turned(none, half))
        if self.drift:
            across, down = self._draw(pair, lambda: self.drift * torch.randn_like(pair)).unbind(1)
            total = _product(total, _translation(-across * width, -down * height))
        return total

    def _turned(self, none: Tensor, p: Tensor) -> Tensor:
        angle = self._draw(none, lambda: self.rotation * math.pi * _uniform(none), p)
        return _rotation(angle.cos(), angle.sin())

    def _draw(self, none: Tensor, value: Callable[[], Tensor], p: Tensor | None = None) -> Tensor:
        """Random values where the transform happens (with probability p), elsewhere ``none``, shape [B] or [B, 2]."""
        chance = torch.rand(len(none), device=none.device)
        happens = over(chance < (self.p if p is None else p), none).bool()
        return torch.where(happens, value(), none)

    def _recolour(self, x: Tensor) -> Tensor:
        """Colour transforms of x [B, n, C, H, W]."""
        none = torch.zeros(len(x), dtype=_fine(x), device=x.device)
        offset = self._draw(none, lambda: self.brightness * torch.randn_like(none)) if self.brightness else none
        gain = self._draw(none, lambda: self.contrast * torch.randn_like(none)) if self.contrast else none
        negated = self._draw(none, lambda: _whole(none, 2)) if self.luma_flip else none
        y = over(torch.exp2(gain), x) * (x + over(offset, x))
        changed = (offset != 0) | (gain != 0) | (negated != 0)
        if self.luma_flip or self.hue or self.saturation:
            mean = y.mean(dim=2, keepdim=True)
            rest = y - mean
            if self.hue:
                angle = self._draw(none, lambda: self.hue * math.pi * _uniform(none))
                across = (rest.roll(1, dims=2) - rest.roll(-1, dims=2)) / math.sqrt(3)
                rest, changed = over(angle.cos(), x) * rest + over(angle.sin(), x) * across, changed | (angle != 0)
            if self.saturation:
                factor = self._draw(none, lambda: self.saturation * torch.randn_like(none))
                rest, changed = over(torch.exp2(factor), x) * rest, changed | (factor != 0)
            y = over(1 - 2 * negated, x) * mean + rest
        return torch.where(over(changed, x).bool(), y, x)

    def _check(self, grids: tuple[Tensor, ...]) -> None:
        if not grids:
            raise ValueError("grids is empty; give at least one grid [B, C, H, W].")
        shapes = [tuple(grid.shape) for grid in grids]
        if len(shapes[0]) != 4 or len(set(shapes)) > 1:
            raise ValueError(f"grids have the shapes {shapes}; give grids of one shape [B, C, H, W].")
        self.check_shape(shapes[0][1:])

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse what cannot be transformed.

        Args:
            shape: of one sample.

        Raises:
            ValueError: if it is no grid (C, H, W), or a transform is switched on that it does not fit.
        """
        if len(shape) != 3:
            raise ValueError(f"samples have the shape {shape}; augmentation takes grids (C, H, W), leave it out.")
        channels, height, width = shape
        if self.turn and height != width:
            raise ValueError(f"grids are {height} x {width}; quarter turns need square ones, pass turn=False.")
        if (self.hue or self.saturation) and channels != 3:
            raise ValueError(f"grids have {channels} channels; hue and saturation need 3, pass 0 for both.")


def warp(x: Tensor, inverse: Tensor, padding: str) -> Tensor:
    """y(v) = x(M^-1 v) by bilinear interpolation, exact where M^-1 v is a cell.

    Gathers, because how often torch's own ``grid_sample`` can be differentiated depends on its release and device.

    Args:
        x: shape [B, C, H, W].
        inverse: M^-1 on (column, row, 1) in cells from the grid's centre, shape [B, 3, 3].
        padding: "reflect" or "zero".

    Returns:
        shape [B, C, H, W].
    """
    height, width = x.shape[-2:]
    columns = torch.arange(width, dtype=inverse.dtype, device=x.device) - (width - 1) / 2
    rows = (torch.arange(height, dtype=inverse.dtype, device=x.device) - (height - 1) / 2).unsqueeze(1)
    m = inverse[..., None, None]
    across = m[:, 0, 0] * columns + m[:, 0, 1] * rows + m[:, 0, 2] + (width - 1) / 2
    down = m[:, 1, 0] * columns + m[:, 1, 1] * rows + m[:, 1, 2] + (height - 1) / 2
    left, top = across.floor(), down.floor()
    flat, y = x.flatten(2), torch.zeros_like(x)
    for right in (0, 1):
        for below in (0, 1):
            column, row = (left + right).long(), (top + below).long()
            weight = (1 - (across - column).abs()) * (1 - (down - row).abs())
            if padding == "zero":
                weight = weight * ((column >= 0) & (column < width) & (row >= 0) & (row < height))
            cell = _reflected(row, height) * width + _reflected(column, width)
            values = flat.gather(2, cell.flatten(1).unsqueeze(1).expand(-1, x.shape[1], -1)).view_as(x)
            y = y + weight.unsqueeze(1).to(x.dtype) * values
    return y


def _fine(x: Tensor) -> torch.dtype:
    """At least single precision: a half-precision coordinate misses its cell."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _reflected(index: Tensor, size: int) -> Tensor:
    """An index beyond the border, mirrored about the border cells into 0 ... size - 1."""
    period = max(2 * (size - 1), 1)
    inside = index % period
    return torch.minimum(inside, (period - inside) % period) if size > 1 else torch.zeros_like(index)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a b for [B, 3, 3], by sums: a matrix product may run at reduced precision, which moves cells."""
    return (a.unsqueeze(-1) * b.unsqueeze(-3)).sum(dim=-2)


def _scaling(across: Tensor, down: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([across, down, torch.ones_like(across)], dim=-1))


def _rotation(cosine: Tensor, sine: Tensor) -> Tensor:
    zero, one = torch.zeros_like(cosine), torch.ones_like(cosine)
    return torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], dim=-1).reshape(-1, 3, 3)


def _translation(across: Tensor, down: Tensor) -> Tensor:
    zero, one = torch.zeros_like(across), torch.ones_like(across)
    return torch.stack([one, zero, across, zero, one, down, zero, zero, one], dim=-1).reshape(-1, 3, 3)


def _whole(like: Tensor, count: int) -> Tensor:
    """Whole numbers 0 ... count - 1."""
    return (torch.rand_like(like) * count).floor().clamp(max=count - 1)


def _uniform(like: Tensor) -> Tensor:
    """Numbers between -1 and 1."""
    return 2 * torch.rand_like(like) - 1
