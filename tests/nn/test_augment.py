"""Random transforms of grids against torch's own flips and turns, plain shifts, closed forms and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import affine_grid, grid_sample, pad

from latentgen import GridAugmentation
from latentgen.nn.augment import warp

NONE = {
    "flip": False, "turn": False, "luma_flip": False, "shift": 0.0, "scale": 0.0, "rotation": 0.0, "stretch": 0.0,
    "drift": 0.0, "brightness": 0.0, "contrast": 0.0,
}
KINDS = [
    "flip", "turn", "shift", "scale", "rotation", "stretch", "drift", "brightness", "contrast", "luma_flip", "hue",
    "saturation",
]


def only(p: float = 1.0, **kinds) -> GridAugmentation:
    return GridAugmentation(**{**NONE, **kinds}, p=p)


def cells(n: int = 400, channels: int = 2, height: int = 5, width: int = 5) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(n, channels, height, width)


def which(y: torch.Tensor, candidates: list[torch.Tensor]) -> torch.Tensor:
    """Index of the candidate that each sample is bit-equal to, shape [B]."""
    equal = torch.stack([(y == candidate).flatten(1).all(1) for candidate in candidates])
    assert equal.any(0).all(), "a sample is none of the candidates"
    return equal.float().argmax(0)


def even(index: torch.Tensor, count: int) -> bool:
    """Whether the outcomes are drawn at even odds, within 5 standard deviations."""
    share = torch.bincount(index, minlength=count) / len(index)
    return bool(((share - 1 / count).abs() < 5 * math.sqrt((1 / count) * (1 - 1 / count) / len(index))).all())


def test_nothing_happens_at_probability_zero() -> None:
    x = cells(16, 3)
    x[0, 0, 0, 0] = -0.0
    z_s, z_t = GridAugmentation(hue=1.0, saturation=1.0)(x, 2 * x)
    assert torch.equal(z_s.view(torch.int32), x.view(torch.int32))
    assert torch.equal(z_t, 2 * x)


def test_a_flip_is_torchs_at_even_odds() -> None:
    x = cells(2000, width=4)
    (y,) = only(flip=True)(x)
    assert even(which(y, [x, x.flip(3)]), 2)


def test_quarter_turns_are_torchs_at_even_odds() -> None:
    x = cells(2000)
    (y,) = only(turn=True)(x)
    assert even(which(y, [torch.rot90(x, k, (2, 3)) for k in range(4)]), 4)


@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_shifts_move_whole_cells_and_pad(padding) -> None:
    x = cells(2000, height=4, width=8)
    (y,) = only(shift=0.25, padding=padding)(x)  # up to 1 row and 2 columns
    wide = pad(x, (2, 2, 1, 1), mode="constant" if padding == "zero" else padding)
    candidates = [wide[:, :, 1 - down : 5 - down, 2 - across : 10 - across] for down in (-1, 0, 1)
                  for across in (-2, -1, 0, 1, 2)]
    found = which(y, candidates)
    assert len(found.unique()) == 15
    across = torch.bincount(found % 5, minlength=5) / len(x)
    assert torch.allclose(across, torch.tensor([0.125, 0.25, 0.25, 0.25, 0.125]), atol=0.05)


def test_a_far_shift_reflects_as_often_as_needed() -> None:
    x, inverse = cells(1, 1, 1, 3), torch.eye(3).unsqueeze(0)
    inverse[0, 0, 2] = -7.0  # columns -7, -6, -5 of ... 0 1 2 1 0 1 2 ...
    assert torch.equal(warp(x, inverse, "reflect"), x[..., [1, 2, 1]])
    assert not warp(x, inverse, "zero").any()
    inverse[0, 1, 2] = 5.0
    assert torch.equal(warp(x, inverse, "reflect"), x[..., [1, 2, 1]])


@pytest.mark.parametrize("height, width", [(6, 6), (4, 7)])
@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_resampling_is_torchs(padding, height, width) -> None:
    x = cells(8, 3, height, width).double()
    inverse = GridAugmentation(turn=False, p=1.0).inverse(x)
    found = warp(x, inverse, padding)
    # torch counts from -1 to 1 with the border cells at the ends
    scale = torch.tensor([(width - 1) / 2, (height - 1) / 2, 1.0]).double()
    grid = affine_grid((inverse * scale / scale[:, None])[:, :2], list(x.shape), align_corners=True)
    mode = "reflection" if padding == "reflect" else "zeros"
    expected = grid_sample(x, grid, "bilinear", mode, align_corners=True)
    assert torch.allclose(found, expected, atol=1e-12)


def test_the_map_is_composed_in_the_documented_order() -> None:
    """Decomposes M = M_drift R S' R' S of one sample: det and drift from the strengths' laws."""
    n = 20_000
    x = torch.empty(n, 1, 8, 4, dtype=torch.float64)
    torch.manual_seed(0)
    m = torch.linalg.inv(only(scale=0.2, rotation=0.7, stretch=0.3, drift=0.1).inverse(x))
    zoom = torch.linalg.det(m[:, :2, :2]).sqrt()  # turns and stretches keep the area
    assert abs(zoom.log2().std().item() - 0.2) < 0.01
    large = torch.linalg.svdvals(m[:, :2, :2])[:, 0] / zoom
    assert abs((large.log2() ** 2).mean().sqrt().item() - 0.3) < 0.01
    assert abs(m[:, 0, 2].std().item() / 4 - 0.1) < 0.005, "the drift comes last: it is not zoomed"
    assert abs(m[:, 1, 2].std().item() / 8 - 0.1) < 0.005


def test_both_of_a_pair_see_the_same_transform() -> None:
    x = cells(64, 3, 6, 6)
    augmentation = GridAugmentation(hue=1.0, saturation=1.0, p=0.8)
    one, two = augmentation(x, x)
    assert torch.equal(one, two)
    assert not torch.equal(one, x)
    lone = only(rotation=1.0, scale=0.5)
    one, two = lone(x, -3 * x)
    assert torch.allclose(two, -3 * one, atol=1e-5), "geometry is linear in the values"


def test_samples_see_different_transforms() -> None:
    x = cells(1, 3, 6, 6).expand(32, -1, -1, -1)
    (y,) = GridAugmentation(p=1.0)(x)
    assert len(torch.unique(y.flatten(1), dim=0)) == 32


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [0.2, 0.7, 1.0])
def test_p_is_the_share_of_samples_that_change(kind, p) -> None:
    n = 4000
    x = cells(n, 3, 4, 4)
    strength = True if kind in ("flip", "turn", "luma_flip") else 0.5
    (y,) = only(p, **{kind: strength})(x)
    share = (y != x).flatten(1).any(1).float().mean().item()
    # "not at all" is one of 2 outcomes of a flip, 4 of a turn, 25 pairs of rounded shifts (of odds 1/8, 1/4, ...)
    expected = p * {"flip": 1 / 2, "luma_flip": 1 / 2, "turn": 3 / 4, "shift": 15 / 16}.get(kind, 1.0)
    assert abs(share - expected) <= 5 * math.sqrt(expected * (1 - expected) / n) + 1e-9


def test_colours() -> None:
    n = 20_000
    x = cells(n, 3, 2, 2).double()
    mean = x.mean(1, keepdim=True)
    (y,) = only(brightness=0.3)(x)
    offset = (y - x).flatten(1)
    assert torch.allclose(offset, offset[:, :1].expand_as(offset))
    assert abs(offset[:, 0].std().item() - 0.3) < 0.01
    (y,) = only(contrast=0.5)(x)
    gain = (y / x).flatten(1)
    assert torch.allclose(gain, gain[:, :1].expand_as(gain))
    assert abs(gain[:, 0].log2().std().item() - 0.5) < 0.02
    (y,) = only(luma_flip=True)(x)
    both = torch.stack([(y - x).abs().flatten(1).amax(1), (y - (x - 2 * mean)).abs().flatten(1).amax(1)])
    assert (both.amin(0) < 1e-12).all()
    (y,) = only(saturation=1.0)(x)
    factor = ((y - mean) / (x - mean)).flatten(1)
    assert torch.allclose(factor, factor[:, :1].expand_as(factor))
    assert abs(factor[:, 0].log2().std().item() - 1) < 0.05


def test_hue_turns_about_the_grey_axis() -> None:
    x = cells(5000, 3, 2, 2).double()
    (y,) = only(hue=1.0)(x)
    assert torch.allclose(y.mean(1), x.mean(1))
    assert torch.allclose(y.norm(dim=1), x.norm(dim=1))
    before, after = (value - value.mean(1, keepdim=True) for value in (x, y))
    cosine = (before * after).sum(1) / before.norm(dim=1) / after.norm(dim=1)
    assert torch.allclose(cosine.flatten(1), cosine.flatten(1)[:, :1].expand(-1, 4))
    assert abs(cosine[:, 0, 0].acos().mean().item() - math.pi / 2) < 0.1
    # a third of a turn is a permutation of the channels
    augmentation = only(hue=1.0)
    augmentation._draw = lambda none, value, p=None: torch.full_like(none, 2 * math.pi / 3)
    assert torch.allclose(augmentation(x)[0], x.roll(1, 1)) or torch.allclose(augmentation(x)[0], x.roll(-1, 1))


@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_gradients_against_finite_differences(padding) -> None:
    x = cells(2, 3, 3, 3).double().requires_grad_()
    w = torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    augmentation = GridAugmentation(hue=1.0, saturation=1.0, padding=padding, p=0.9)

    def transformed(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)
        one, two = augmentation(x, w)
        return (one * two).sin()

    assert torch.autograd.gradcheck(transformed, (x, w))
    assert torch.autograd.gradgradcheck(transformed, (x, w), fast_mode=True)


def test_half_precision_keeps_its_dtype_and_its_cells() -> None:
    x = cells(64, 2, 40, 40).bfloat16()
    (y,) = only(flip=True, turn=True)(x)
    assert y.dtype == torch.bfloat16
    turned = [torch.rot90(x, k, (2, 3)) for k in range(4)]
    which(y, [*turned, *(grid.flip(3) for grid in turned)])


def test_autocast_does_not_move_cells() -> None:
    x = cells(64, 2, 40, 40)
    with torch.autocast("cpu", torch.bfloat16):
        (y,) = only(flip=True, turn=True)(x)
    turned = [torch.rot90(x, k, (2, 3)) for k in range(4)]
    which(y, [*turned, *(grid.flip(3) for grid in turned)])


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"p is 1\.5; it is a probability between 0 and 1"):
        GridAugmentation(p=1.5)
    with pytest.raises(ValueError, match="padding is 'circular'; choose reflect or zero"):
        GridAugmentation(padding="circular")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="drift is -1; it must be at least 0"):
        GridAugmentation(drift=-1)
    with pytest.raises(ValueError, match="grids is empty"):
        GridAugmentation()()
    with pytest.raises(ValueError, match=r"grids have the shapes \[\(4, 2\)\]; give grids of one shape"):
        GridAugmentation()(torch.randn(4, 2))
    with pytest.raises(ValueError, match="grids are 4 x 6; quarter turns need square ones, pass turn=False"):
        GridAugmentation()(torch.randn(4, 2, 4, 6))
    with pytest.raises(ValueError, match="grids have 2 channels; hue and saturation need 3"):
        only(hue=1.0)(torch.randn(4, 2, 4, 4))
