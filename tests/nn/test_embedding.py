"""Sinusoidal codes tell values apart over their whole range and treat axes alike."""

import math

import pytest
import torch

from latentgen.nn.embedding import SinusoidalEmbedding, grid_positions


def test_embedding_is_sines_and_cosines_between_the_periods():
    embedding = SinusoidalEmbedding(8, 1.0, 100.0)
    periods = 2 * math.pi / embedding.frequencies
    assert periods.tolist() == pytest.approx([1.0, 100 ** (1 / 3), 100 ** (2 / 3), 100.0], rel=1e-5)
    value = torch.tensor([0.3, -7.0])
    out = embedding(value)
    assert out.shape == (2, 8)
    assert torch.allclose(out[:, :4], (value[:, None] * embedding.frequencies).sin())
    assert torch.allclose(out[:, 4:], (value[:, None] * embedding.frequencies).cos())


def test_embedding_takes_any_shape_and_integers():
    embedding = SinusoidalEmbedding(6, 1.0, 10.0)
    assert embedding(torch.zeros(2, 3)).shape == (2, 3, 6)
    assert embedding(torch.arange(4)).dtype == torch.float32


def test_log_snr_values_are_told_apart():
    """The network's clock: neighbours a tenth of a nat apart, from -15 to 15, have different codes."""
    code = SinusoidalEmbedding(64, 1.0, 100.0)(torch.arange(-15, 15, 0.1))
    distance = torch.cdist(code, code) + 10 * torch.eye(len(code))
    assert distance.min() > 0.1


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="width is 7; an embedding of sines and cosines needs an even number"):
        SinusoidalEmbedding(7, 1.0, 10.0)


@pytest.mark.parametrize("sizes", [(50,), (200,), (8, 8), (4, 6), (4, 4, 4)])
def test_every_position_has_a_code_of_its_own(sizes):
    code = grid_positions(sizes, 48)
    assert code.shape == (math.prod(sizes), 48)
    distance = torch.cdist(code, code) + 10 * torch.eye(len(code))
    assert distance.min() > 0.02


def test_axes_of_a_grid_have_their_own_share_of_the_code():
    code = grid_positions((3, 5), 16).reshape(3, 5, 16)
    assert torch.equal(code[..., :8], code[:, :1, :8].expand(3, 5, 8))
    assert torch.equal(code[..., 8:], code[:1, :, 8:].expand(3, 5, 8))


def test_a_remainder_of_the_width_stays_zero():
    code = grid_positions((3, 3), 10)
    assert torch.equal(code[:, 8:], torch.zeros(9, 2))
