"""The average is the closed form, and a swap leaves no trace."""

from pathlib import Path

import pytest
import torch
from torch import nn

from latentgen.checkpoint import load_checkpoint, save_checkpoint
from latentgen.ema import EMA


class Toy(nn.Module):
    """Parameters and buffers of every kind."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, dtype=dtype))
        self.frozen = nn.Parameter(torch.zeros(2, dtype=dtype), requires_grad=False)
        self.tied = self.weight
        self.single = nn.Parameter(torch.zeros((), dtype=torch.float32))
        self.register_buffer("mean", torch.zeros(2, dtype=dtype))
        self.register_buffer("cache", torch.zeros(2, dtype=dtype), persistent=False)
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("flag", torch.tensor(False))

    @torch.no_grad()
    def fill(self, value: float) -> None:
        for tensor in (self.weight, self.frozen, self.single, self.mean, self.cache):
            tensor.fill_(value)
        self.count.fill_(int(value))
        self.flag.fill_(value > 0)


def closed_form(values: list[float], decay: float, warmup: bool) -> float:
    """s_n = prod_k d_k s_0 + sum_k (1 - d_k) prod_{j > k} d_j p_k, with s_0 = 0."""
    decays = [min(decay, (1 + n) / (10 + n)) if warmup else decay for n in range(len(values))]
    total = 0.0
    for k, value in enumerate(values):
        weight = 1 - decays[k]
        for later in decays[k + 1 :]:
            weight *= later
        total += weight * value
    return total


@pytest.mark.parametrize("warmup", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9, 0.9999])
def test_closed_form(decay: float, warmup: bool) -> None:
    module = Toy()
    ema = EMA(module, decay, warmup)
    values = [1.0, -2.0, 5.0, 0.25, 7.0, 3.0, 3.0, -1.0, 2.0, 4.0, 6.0, 8.0]
    for value in values:
        module.fill(value)
        ema.update(module)
    expected = closed_form(values, decay, warmup)
    state = ema.state_dict()
    for name in ("weight", "tied", "frozen", "mean"):
        assert state[name].dtype == torch.float64
        torch.testing.assert_close(state[name], torch.full_like(state[name], expected))
    torch.testing.assert_close(state["single"], torch.tensor(expected, dtype=torch.float32))
    assert state["count"] == 8 and state["flag"]
    assert ema.updates == len(values)


def test_constant_decay_on_a_step_is_geometric() -> None:
    module = Toy()
    ema = EMA(module, 0.5, warmup=False)
    module.fill(1.0)
    for _ in range(10):
        ema.update(module)
    assert torch.equal(ema.state_dict()["weight"], torch.full((3,), 1 - 0.5**10).double())


def test_warm_up_ends_where_it_meets_the_decay() -> None:
    module = Toy()
    ema = EMA(module, 0.75)
    decays = []
    for _ in range(40):
        decays.append(ema.current_decay)
        ema.update(module)
    assert decays[0] == 0.1 and decays[1] == 2 / 11
    assert decays[25] < 0.75 and decays[26:] == [0.75] * 14  # (1 + 26) / (10 + 26) = 0.75


def test_a_constant_stays_exactly_what_it_is() -> None:
    module = Toy(torch.float32)
    module.fill(0.1)
    ema = EMA(module)
    for _ in range(100):
        ema.update(module)
    assert torch.equal(ema.state_dict()["weight"], module.weight.detach())


def test_half_precision_moves() -> None:
    module = Toy(torch.bfloat16)
    module.fill(1.0)
    ema = EMA(module, 0.999, warmup=False)
    module.fill(2.0)
    for _ in range(1000):
        ema.update(module)
    expected = 2 - 0.999**1000
    torch.testing.assert_close(ema.state_dict()["weight"], torch.full((3,), expected))
    with ema.applied_to(module):
        assert module.weight.dtype == torch.bfloat16
        torch.testing.assert_close(module.weight.float()[0].item(), expected, atol=0.01, rtol=0)


def test_shadows_are_copies_and_tied_weights_count_once() -> None:
    module = Toy()
    ema = EMA(module)
    module.fill(3.0)
    assert ema.state_dict()["weight"].sum() == 0
    assert ema.state_dict()["tied"] is ema.state_dict()["weight"]
    with ema.applied_to(module):
        assert module.tied.sum() == 0


def snapshot(module: nn.Module) -> dict[str, bytes]:
    state = module.state_dict()
    return {name: t.flatten().view(torch.uint8).numpy().tobytes() for name, t in state.items()}


@pytest.mark.parametrize("fail", [False, True])
def test_swap_restores_every_bit(fail: bool) -> None:
    module = Toy(torch.float32)
    ema = EMA(module)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([float("nan"), -0.0, 1e-40]))
        module.count.fill_(7)
    before, pointer = snapshot(module), module.weight.data_ptr()
    try:
        with ema.applied_to(module):
            assert module.weight.sum() == 0 and module.count == 0
            assert module.weight.data_ptr() == pointer
            module.fill(9.0)
            if fail:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fail
    assert snapshot(module) == before
    assert ema.state_dict()["weight"].sum() == 0
    ema.update(module)


def test_no_update_while_swapped() -> None:
    module = Toy()
    ema = EMA(module)
    refusal = pytest.raises(RuntimeError, match=r"inside applied_to.*leave applied_to first")
    with ema.applied_to(module), ema.applied_to(module), refusal:
        ema.update(module)
    assert ema.updates == 0
    ema.update(module)


def test_resumed_average_is_the_uninterrupted_one(tmp_path: Path) -> None:
    def run(ema: EMA, module: Toy, steps: range) -> None:
        for step in steps:
            module.fill(step**0.5)
            ema.update(module)

    module = Toy(torch.float32)
    straight = EMA(module, 0.9)
    first = EMA(module, 0.9)
    run(straight, module, range(20))
    run(first, module, range(7))
    groups = {"ema": first.state_dict()}
    tensors, state = load_checkpoint(save_checkpoint(tmp_path, 7, groups, {"n": first.updates}))
    second = EMA(Toy(torch.float32), 0.9)
    second.load_state_dict(tensors["ema"])
    second.updates = state["n"]
    assert second.updates == 7
    run(second, module, range(7, 20))
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])


def test_copy_to_is_for_keeps_and_the_state_is_a_module_state() -> None:
    module = Toy()
    ema = EMA(module)
    module.fill(5.0)
    ema.copy_to(module)
    assert module.weight.sum() == 0 and module.count == 0
    assert ema.state_dict().keys() == module.state_dict().keys()
    module.fill(5.0)
    module.load_state_dict(ema.state_dict())
    assert module.weight.sum() == 0 and module.count == 0


def test_to_keeps_ties() -> None:
    ema = EMA(Toy()).to("cpu")
    assert ema.state_dict()["tied"] is ema.state_dict()["weight"]


def test_other_modules_are_refused() -> None:
    ema = EMA(Toy())
    wrapped = nn.Module()
    wrapped.module = Toy()
    with pytest.raises(
        ValueError, match=r"module lacks 'count'; expected .* the unwrapped module"
    ):
        ema.update(wrapped)
    larger = Toy()
    larger.mean = torch.zeros(3)
    with pytest.raises(ValueError, match=r"'mean' of shape \[3\]; expected \[2\]"):
        ema.update(larger)
    assert ema.updates == 0


def test_bad_state_changes_nothing() -> None:
    ema = EMA(Toy())
    good = {name: tensor + 1 for name, tensor in ema.state_dict().items() if name != "flag"}
    with pytest.raises(ValueError, match="state lacks 'flag'"):
        ema.load_state_dict(good)
    with pytest.raises(ValueError, match="state has 'extra'"):
        ema.load_state_dict(good | {"flag": torch.tensor(True), "extra": torch.ones(1)})
    assert ema.state_dict()["weight"].sum() == 0


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_decay_out_of_range(decay: float) -> None:
    with pytest.raises(ValueError, match=r"decay is .*; expected 0 <= decay < 1"):
        EMA(Toy(), decay)
