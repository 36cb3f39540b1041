"""The shared score network: symmetric where a latent has no order, blind to padding, exact in its patches."""

import pytest
import torch
from problems import randomize
from torch import nn

from latentgen.latents import LatentSpec
from latentgen.nn import MLP, Transformer
from latentgen.nn.transformer import Attention, attention_mask, parameter_count

SETS = LatentSpec((6, 3), "set", masked=True)
SEQUENCES = LatentSpec((6, 3), "sequence", masked=True)
LAYOUTS = {
    "vector": LatentSpec((5,)),
    "set": LatentSpec((6, 3), "set"),
    "masked set": SETS,
    "sequence": SEQUENCES,
    "grid": LatentSpec((3, 4, 6), "grid"),
    "volume": LatentSpec((2, 4, 4, 4), "grid"),
    "line": LatentSpec((2, 8), "grid"),
}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def network(latents: LatentSpec, scale: float = 0.3, **options) -> Transformer:
    """With random weights everywhere, since a new network's output is zero."""
    return randomize(Transformer(latents, width=16, depth=2, heads=2, **options), scale).double().eval()


def inputs(latents: LatentSpec, batch: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(batch, *latents.shape).double(), torch.linspace(-6, 6, batch).double()


def some_mask() -> torch.Tensor:
    return torch.arange(6) < torch.tensor([6, 4, 1, 2])[:, None]


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_output_starts_at_zero_and_has_the_shape_of_the_latent(name):
    latents = LAYOUTS[name]
    z, log_snr = inputs(latents)
    out = Transformer(latents, width=16, depth=2, heads=2).double()(z, log_snr)
    assert torch.equal(out, torch.zeros_like(z))


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_every_layout_depends_on_its_input_and_on_the_log_snr(name):
    net, (z, log_snr) = network(LAYOUTS[name]), inputs(LAYOUTS[name])
    out = net(z, log_snr)
    assert out.isfinite().all()
    assert (net(z + 0.1 * torch.randn_like(z), log_snr) - out).abs().amax() > 1e-3
    assert (net(z, log_snr + 1) - out).flatten(1).abs().amax(1).min() > 1e-4


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_samples_of_a_batch_do_not_mix(name):
    """The joint objective's condition: sample i's output is a function of sample i."""
    net, (z, log_snr) = network(LAYOUTS[name]), inputs(LAYOUTS[name])
    whole = net(z, log_snr)
    assert torch.allclose(net(z[1:2], log_snr[1:2]), whole[1:2], atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_sets_have_no_order(masked):
    net, (z, log_snr) = network(SETS), inputs(SETS)
    mask = some_mask() if masked else None
    order = torch.randperm(6)
    permuted = net(z[:, order], log_snr, None if mask is None else mask[:, order])
    assert torch.allclose(permuted, net(z, log_snr, mask)[:, order], atol=1e-12)


def test_sequences_know_positions():
    net, (z, log_snr) = network(SEQUENCES), inputs(SEQUENCES)
    order = torch.tensor([1, 0, 2, 3, 4, 5])
    assert (net(z[:, order], log_snr) - net(z, log_snr)[:, order]).abs().amax() > 1e-2
    equal = net(torch.zeros_like(z), log_snr)
    assert (equal[:, 1:] - equal[:, :1]).abs().amax() > 1e-2


@pytest.mark.parametrize("latents", [SETS, SEQUENCES], ids=["set", "sequence"])
def test_padding_changes_nothing_for_real_tokens(latents):
    net, (z, log_snr), mask = network(latents), inputs(latents), some_mask()
    out = net(z, log_snr, mask)
    assert torch.equal(out[~mask], torch.zeros_like(out[~mask]))
    noise = torch.where(mask[..., None], z, 100 * torch.randn_like(z))
    assert torch.allclose(net(noise, log_snr, mask), out, atol=1e-12)
    trimmed = net(z[1:, :4], log_snr[1:], mask[1:, :4])
    assert torch.allclose(trimmed, out[1:, :4], atol=1e-12)
    alone = net(z[3:, :2], log_snr[3:], mask[3:, :2])
    assert torch.allclose(alone, out[3:, :2], atol=1e-12)


def test_a_full_mask_is_no_mask():
    net, (z, log_snr) = network(SETS), inputs(SETS)
    assert torch.allclose(net(z, log_snr, torch.ones(4, 6, dtype=torch.bool)), net(z, log_snr), atol=1e-12)


def test_trimmed_latents_without_a_mask_are_full_of_real_tokens():
    """All four items of [B, 4, d] are real: the same as a mask that says so."""
    net, (z, log_snr) = network(SETS), inputs(SETS)
    mask = torch.ones(4, 4, dtype=torch.bool)
    assert torch.allclose(net(z[:, :4], log_snr), net(z[:, :4], log_snr, mask), atol=1e-12)


def test_the_number_of_real_tokens_is_known():
    """Equal tokens attend to their mean, whatever their number: only the count can tell 3 from 5."""
    net = network(SETS)
    z, log_snr = torch.ones(1, 6, 3).double(), torch.zeros(1).double()
    three, five = (net(z, log_snr, (torch.arange(6) < n)[None])[0, 0] for n in (3, 5))
    assert (three - five).abs().max() > 1e-3


def test_an_empty_sample_is_finite_forward_and_backward():
    net, (z, log_snr) = network(SETS), inputs(SETS)
    net.train()
    mask = some_mask()
    mask[2] = False
    z.requires_grad_(True)
    out = net(z, log_snr, mask)
    assert torch.equal(out[2], torch.zeros(6, 3).double())
    out.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    assert z.grad.isfinite().all()
    assert torch.equal(z.grad[2], torch.zeros(6, 3).double())
    others = torch.tensor([0, 1, 3])
    assert torch.allclose(net(z, log_snr, mask)[others], net(z[others], log_snr[others], mask[others]), atol=1e-12)


# ---- grids ----


@pytest.mark.parametrize(
    ("shape", "patch"), [((3, 4, 6), 1), ((3, 4, 6), 2), ((2, 8), 4), ((2, 4, 4, 4), 2), ((1, 6, 9), 3)]
)
def test_patches_can_be_put_together_again(shape, patch):
    net = Transformer(LatentSpec(shape, "grid"), width=8, depth=0, heads=1, patch=patch)
    z = torch.randn(2, *shape)
    tokens = net._tokens(z)
    counts = [size // patch for size in shape[1:]]
    assert tokens.shape == (2, torch.tensor(counts).prod(), shape[0] * patch ** len(counts))
    assert torch.equal(net._untokens(tokens, z), z)


def test_a_token_is_a_patch():
    z = torch.arange(2 * 4 * 6.0).reshape(1, 2, 4, 6)
    net = Transformer(LatentSpec((2, 4, 6), "grid"), width=8, depth=0, heads=1, patch=2)
    tokens = net._tokens(z).reshape(2, 3, -1)
    for row in range(2):
        for column in range(3):
            patch = z[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert sorted(tokens[row, column].tolist()) == sorted(patch.flatten().tolist())


def test_without_blocks_a_patch_sees_only_itself():
    """From the outside: the answer to a change inside one patch stays inside it."""
    latents = LatentSpec((2, 4, 6), "grid")
    net = randomize(Transformer(latents, width=16, depth=0, heads=1, patch=2)).double()
    z, log_snr = inputs(latents, 1)
    changed = z.clone()
    changed[0, 1, 2, 3] += 1
    difference = (net(changed, log_snr) - net(z, log_snr))[0].abs().amax(0) > 1e-12
    assert difference[2:4, 2:4].all()
    assert difference.sum() == 4


def test_grids_know_positions():
    net, (z, log_snr) = network(LAYOUTS["grid"], patch=2), inputs(LAYOUTS["grid"])
    out = net(torch.zeros_like(z), log_snr)
    assert (out[..., :2, :2] - out[..., 2:4, :2]).abs().amax() > 1e-3
    assert (out[..., :2, :2] - out[..., :2, 2:4]).abs().amax() > 1e-3


def test_a_patch_must_divide_the_grid():
    with pytest.raises(ValueError, match=r"patch is 4 for a grid of size \(4, 6\); it must divide every size"):
        Transformer(LatentSpec((3, 4, 6), "grid"), patch=4)


# ---- sequences in pieces ----


def test_a_sequence_cut_into_pieces_is_the_shorter_sequence_of_wider_items():
    cut = network(LatentSpec((6, 3), "sequence"), patch=2)
    wide = network(LatentSpec((3, 6), "sequence"))
    wide.load_state_dict(cut.state_dict())
    z, log_snr = inputs(LatentSpec((6, 3), "sequence"))
    assert torch.equal(cut(z, log_snr), wide(z.reshape(4, 3, 6), log_snr).reshape(4, 6, 3))
    assert cut(z, log_snr).abs().amin() > 0


def test_a_patch_must_divide_the_sequence():
    with pytest.raises(ValueError, match=r"patch is 4 for a sequence of size \(6,\); it must divide every size"):
        Transformer(LatentSpec((6, 3), "sequence"), patch=4)


@pytest.mark.parametrize(("name", "kind"), [("vector", "vector"), ("set", "set"), ("sequence", "masked sequence")])
def test_what_is_not_cut_takes_no_patch(name, kind):
    with pytest.raises(ValueError, match=rf"patch is 2 for a {kind}; only a grid or a sequence without masks is cut"):
        Transformer(LAYOUTS[name], patch=2)


# ---- conditions ----


@pytest.mark.parametrize("name", ["vector", "masked set", "grid"])
def test_rows_with_nan_are_rows_without_condition(name):
    latents = LAYOUTS[name]
    net, (z, log_snr) = network(latents, condition_dim=5), inputs(latents)
    condition = torch.randn(4, 5).double()
    free, given = net(z, log_snr), net(z, log_snr, None, condition)
    assert (free - given).flatten(1).abs().amax(1).min() > 1e-4
    partly = condition.clone()
    partly[1] = torch.nan
    partly[2, 3] = torch.nan
    out = net(z, log_snr, None, partly)
    assert torch.allclose(out[[1, 2]], free[[1, 2]], atol=1e-12)
    assert torch.allclose(out[[0, 3]], given[[0, 3]], atol=1e-12)


def test_gradients_of_missing_conditions_are_finite():
    net, (z, log_snr) = network(SETS, condition_dim=5), inputs(SETS)
    condition = torch.randn(4, 5).double()
    condition[1] = torch.nan
    net(z, log_snr, some_mask(), condition).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    assert net.no_condition.grad.abs().max() > 0


def test_a_condition_for_a_network_without_one_is_refused():
    net, (z, log_snr) = network(SETS), inputs(SETS)
    with pytest.raises(ValueError, match=r"condition has shape \(4, 5\) but the network was built without one"):
        net(z, log_snr, None, torch.zeros(4, 5))


# ---- self-conditioning ----


@pytest.mark.parametrize("name", ["vector", "masked set", "grid"])
def test_an_earlier_prediction_is_an_input(name):
    latents = LAYOUTS[name]
    net, (z, log_snr) = network(latents, self_condition=True), inputs(latents)
    previous = torch.randn_like(z)
    difference = net(z, log_snr, None, None, previous) - net(z, log_snr)
    assert difference.flatten(1).abs().amax(1).min() > 1e-3


def test_an_earlier_prediction_changes_nothing_at_the_start():
    """Its embedding starts at zero: a network that is made to take one begins as one that is not."""
    net = Transformer(SETS, width=16, depth=1, heads=2, self_condition=True)
    randomize(net.out)
    z, log_snr = inputs(SETS)
    z, log_snr = z.float(), log_snr.float()
    assert torch.equal(net(z, log_snr, None, None, torch.randn_like(z)), net(z, log_snr))


def test_padding_of_an_earlier_prediction_changes_nothing():
    net, (z, log_snr), mask = network(SETS, self_condition=True), inputs(SETS), some_mask()
    previous = torch.randn_like(z)
    noise = torch.where(mask[..., None], previous, 100 * torch.randn_like(z))
    out = net(z, log_snr, mask, None, previous)
    assert torch.allclose(net(z, log_snr, mask, None, noise), out, atol=1e-12)


# ---- the rest ----


@pytest.mark.parametrize(
    ("latents", "shape"),
    [(SETS, (4, 6, 4)), (LAYOUTS["vector"], (4, 6)), (LAYOUTS["grid"], (4, 3, 6, 4)), (LAYOUTS["set"], (4, 5, 3))],
)
def test_latents_of_another_shape_are_refused(latents, shape):
    with pytest.raises(ValueError, match=r"z has event shape .* the network was built for"):
        Transformer(latents, width=8, depth=1, heads=1)(torch.zeros(shape), torch.zeros(4))


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="width is 10 and heads is 4; the number of heads must divide the width"):
        Attention(10, 4)


def test_attention_is_softmax_attention():
    """One head against the formula."""
    attention, tokens = randomize(Attention(6, 1)).double(), torch.randn(2, 5, 6).double()
    query, key, value = (tokens @ part.T for part in attention.qkv.weight.chunk(3))
    query, key, value = (x + bias for x, bias in zip((query, key, value), attention.qkv.bias.chunk(3), strict=True))
    mixed = (query @ key.mT / 6**0.5).softmax(-1) @ value
    assert torch.allclose(attention(tokens), mixed @ attention.out.weight.T + attention.out.bias)


def test_attention_mask_lets_an_empty_sample_attend_to_something():
    mask = torch.tensor([[True, False], [False, False]])
    assert attention_mask(mask)[:, 0, 0].tolist() == [[True, False], [True, True]]
    assert attention_mask(None) is None


def test_every_parameter_learns():
    """After the start at zero nothing is dead: with random weights each parameter has a gradient."""
    net = network(SETS, condition_dim=5)
    z, log_snr = inputs(SETS)
    condition = torch.randn(4, 5).double()
    condition[0] = torch.nan
    net(z, log_snr, some_mask(), condition).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []


def test_a_new_network_learns_in_one_direction_first():
    """At the start only the last layer has a gradient (adaLN-Zero), and it is not zero."""
    net = Transformer(SETS, width=16, depth=2, heads=2)
    z, log_snr = inputs(SETS)
    (net(z.float(), log_snr.float()) - z.float()).square().sum().backward()
    assert net.out.weight.grad.abs().max() > 0


def test_dropout_acts_in_training_alone():
    net, (z, log_snr) = network(SETS, dropout=0.5), inputs(SETS)
    assert torch.equal(net(z, log_snr), net(z, log_snr))
    net.train()
    assert not torch.equal(net(z, log_snr), net(z, log_snr))


def test_mixed_precision_is_close_to_single_precision():
    """bfloat16 has 8 bits: a few percent of the output's size."""
    net, (z, log_snr), mask = network(SETS).float(), inputs(SETS), some_mask()
    exact = net(z.float(), log_snr.float(), mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(z.float(), log_snr.float(), mask)
    assert (out.float() - exact).norm() < 0.05 * exact.norm()


def test_parameters_are_counted():
    assert parameter_count(nn.Linear(3, 4)) == 16
    frozen = nn.Linear(3, 4).requires_grad_(False)
    assert parameter_count(nn.Sequential(frozen, nn.Linear(2, 1))) == 3


def test_mlp_is_linear_layers_with_silu_between():
    mlp = MLP(3, 4, 2)
    x = torch.randn(5, 3)
    first, last = [layer for layer in mlp.modules() if isinstance(layer, nn.Linear)]
    assert torch.allclose(mlp(x), last(nn.functional.silu(first(x))))
    assert parameter_count(MLP(3, 2)) == 8
    with pytest.raises(ValueError, match=r"widths is \(3,\); give at least an input and an output size"):
        MLP(3)
