"""A latent specification says what it means and refuses what does not fit."""

import pytest

from latentgen.latents import LatentSpec


@pytest.mark.parametrize(
    ("shape", "layout", "channels", "dims"),
    [((8,), "vector", 8, 8), ((5, 3), "set", 3, 15), ((7, 2), "sequence", 2, 14), ((4, 8, 6), "grid", 4, 192)],
)
def test_channels_and_dimensions(shape, layout, channels, dims):
    spec = LatentSpec(shape, layout)
    assert (spec.channels, spec.dims) == (channels, dims)


def test_equal_specifications_are_one_and_can_be_keys():
    assert LatentSpec([5, 3], "set", True) == LatentSpec((5, 3), "set", True)
    assert len({LatentSpec((5, 3), "set"), LatentSpec((5, 3), "set"), LatentSpec((5, 3), "sequence")}) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((4,), "cube"), "layout is 'cube'; choose one of vector, set, sequence, grid"),
        (((0, 3), "set"), r"shape is \(0, 3\); every size must be at least 1"),
        (((), "vector"), r"shape is \(\); every size must be at least 1"),
        (((3, 4), "vector"), r"shape is \(3, 4\) for layout 'vector'"),
        (((3,), "set"), r"shape is \(3,\) for layout 'set'"),
        (((3,), "grid"), r"shape is \(3,\) for layout 'grid'"),
        (((4, 8, 8), "grid", True), "masked is True for layout 'grid'"),
        (((4,), "vector", True), "masked is True for layout 'vector'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        LatentSpec(*arguments)
