"""Sample i's randomness depends on the seed and on i, and is standard normal."""

import torch

from latentgen.noise import NoiseStream, normal_like


def test_sample_i_is_the_same_in_every_batch():
    whole, part = NoiseStream(7, range(20)), NoiseStream(7, range(12, 15))
    for shape in ((3,), (4, 5), (1,)):
        assert torch.equal(whole.normal(shape)[12:15], part.normal(shape))
    assert torch.equal(whole.uniform()[12:15], part.uniform())


def test_the_same_seed_gives_the_same_noise_and_draws_go_on():
    one, two = NoiseStream(3, range(4)), NoiseStream(3, range(4))
    first = one.normal((6,))
    assert torch.equal(first, two.normal((6,)))
    assert not torch.equal(first, one.normal((6,)))


def test_no_two_of_many_seeds_and_samples_share_a_stream():
    draws = torch.cat([NoiseStream(seed, range(500)).normal((4,)) for seed in [*range(10), 123_456_789, -1]])
    assert len(torch.unique(draws, dim=0)) == len(draws)


def test_seeds_beyond_32_bits_are_seeds_of_their_own():
    """PyTorch's own CPU generator takes the low 32 bits of a seed alone."""
    assert not torch.equal(NoiseStream(0, range(2)).normal((4,)), NoiseStream(2**40, range(2)).normal((4,)))


def test_streams_are_standard_normal_across_samples_and_uncorrelated_between_neighbours():
    noise = NoiseStream(0, range(4000))
    draws = noise.normal((3,)).double()
    # five standard errors: 5 / sqrt(12000) for the mean, 5 sqrt(2 / 12000) for the variance
    assert abs(draws.mean()) < 0.046
    assert abs(draws.var() - 1) < 0.065
    assert abs((draws[1:] * draws[:-1]).mean()) < 0.046
    uniform = noise.uniform().double()
    assert (uniform >= 0).all()
    assert (uniform < 1).all()
    assert abs(uniform.mean() - 0.5) < 5 / (12 * 4000) ** 0.5


def test_trimmed_batches_get_the_first_items_of_full_noise():
    """In every draw, so that a sample does not depend on how far its batch is padded."""
    full, trimmed = (NoiseStream(0, range(3), (6, 4)) for _ in range(2))
    for _ in range(3):
        whole = full.normal_like(torch.zeros(3, 6, 4))
        assert torch.equal(trimmed.normal_like(torch.zeros(3, 2, 4)), whole[:, :2])


def test_noise_takes_dtype_and_shape_of_the_latent():
    z = torch.zeros(2, 3, 4, dtype=torch.float64)
    eps = normal_like(z, NoiseStream(0, range(2)))
    assert (eps.shape, eps.dtype) == (z.shape, z.dtype)


def test_without_streams_the_global_generator_is_used():
    z = torch.zeros(2, 3)
    torch.manual_seed(5)
    a = normal_like(z, None)
    torch.manual_seed(5)
    assert torch.equal(a, torch.randn(2, 3))


def test_streams_leave_the_global_generator_alone():
    torch.manual_seed(5)
    NoiseStream(1, range(3)).normal((4,))
    after = torch.randn(2)
    torch.manual_seed(5)
    assert torch.equal(after, torch.randn(2))
