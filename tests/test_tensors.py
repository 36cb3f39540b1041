"""Broadcasting, masked sums, root finding and the scaled gradient against what they are by definition."""

import math

import pytest
import torch

from latentgen.tensors import bisect, event_size, event_sum, item_mask, over, scale_gradient


@pytest.mark.parametrize("event", [(3,), (2, 3), (4, 2, 3)])
def test_over_multiplies_sample_by_sample(event):
    coefficient, z = torch.rand(5), torch.randn(5, *event)
    assert torch.equal(over(coefficient, z) * z, torch.stack([c * x for c, x in zip(coefficient, z, strict=True)]))


def test_over_takes_the_events_dtype_so_that_half_precision_latents_stay_so():
    assert (over(torch.rand(2), torch.randn(2, 3).bfloat16())).dtype == torch.bfloat16


def test_event_sum_leaves_masked_items_out():
    value = torch.arange(12.0).reshape(2, 3, 2)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert event_sum(value).tolist() == [15.0, 51.0]
    assert event_sum(value, mask).tolist() == [6.0, 0.0]


def test_event_sum_of_a_per_item_value():
    assert event_sum(torch.ones(1, 3), torch.tensor([[True, False, True]])).tolist() == [2.0]


def test_event_size_counts_real_dimensions():
    z = torch.zeros(2, 3, 4)
    assert event_size(z).tolist() == [12.0, 12.0]
    assert event_size(z, torch.tensor([[True, False, True], [False] * 3])).tolist() == [8.0, 0.0]
    assert event_size(torch.zeros(2, 5)).tolist() == [5.0, 5.0]


def test_a_mask_of_another_shape_is_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"mask has shape \(2, 4\) but the value has shape \(2, 3, 4\)"):
        item_mask(torch.ones(2, 4, dtype=torch.bool), torch.zeros(2, 3, 4))


@pytest.mark.parametrize("sign", [1, -1])
def test_bisect_inverts_rising_and_falling_functions(sign):
    x = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    function = lambda y: sign * y**3
    assert torch.allclose(bisect(function, function(x), 0.0, 1.0), x, atol=1e-14)


def test_bisect_gives_the_nearer_end_outside_of_the_range_and_survives_infinite_ends():
    target = torch.tensor([-5.0, 5.0], dtype=torch.float64)
    assert torch.allclose(bisect(lambda x: x, target, 0.0, 1.0), torch.tensor([0.0, 1.0], dtype=torch.float64))
    log = bisect(lambda x: -x.log(), torch.tensor([3.0], dtype=torch.float64), 0.0, 1.0)
    assert log.item() == pytest.approx(math.exp(-3), abs=1e-15)


def test_scaled_gradient_is_the_identity_forward_and_scales_each_sample_backward():
    z = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    factor = torch.tensor([0.0, 1.0, -2.5], dtype=torch.float64)
    out = scale_gradient(z, factor)
    assert torch.equal(out, z)
    (grad,) = torch.autograd.grad((out**3).sum(), z)
    assert torch.allclose(grad, factor[:, None, None] * 3 * z.detach() ** 2)
