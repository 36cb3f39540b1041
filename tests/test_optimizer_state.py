"""Optimizer state becomes tensors and JSON, and comes back bit for bit."""

import json

import pytest
import torch

from latentgen.optimizer_state import flatten_optimizer, unflatten_optimizer


def same(a: object, b: object) -> bool:
    """Equality of value, type, dtype and order, at any depth."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def through_json(state: dict) -> dict:
    tensors, structure = flatten_optimizer(state)
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
    return unflatten_optimizer(tensors, json.loads(json.dumps(structure)))


OPTIMIZERS = [
    lambda p: torch.optim.Adam(p, lr=0.1 + 0.2, amsgrad=True),
    lambda p: torch.optim.AdamW(p, lr=torch.tensor(1e-3)),
    lambda p: torch.optim.AdamW(
        [{"params": p[:1], "lr": 0.1}, {"params": p[1:]}], weight_decay=0.3
    ),
    lambda p: torch.optim.SGD(p, lr=0.1),
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    lambda p: torch.optim.RMSprop(p, centered=True, momentum=0.1),
    lambda p: torch.optim.LBFGS(p),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_round_trip_is_exact(make, dtype: torch.dtype) -> None:
    parameters = [torch.nn.Parameter(torch.ones(2, 3, dtype=dtype)) for _ in range(3)]
    optimizer = make(parameters)
    assert same(through_json(optimizer.state_dict()), optimizer.state_dict())
    if not isinstance(optimizer, torch.optim.LBFGS):
        for parameter in parameters[:2]:  # the third never gets a gradient, so it has no state
            parameter.grad = torch.rand_like(parameter)
        optimizer.step()
    assert same(through_json(optimizer.state_dict()), optimizer.state_dict())


def test_step_counters_are_tensors_of_their_own_dtype() -> None:
    parameter = torch.nn.Parameter(torch.ones(2).bfloat16())
    optimizer = torch.optim.Adam([parameter])
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    tensors, _ = flatten_optimizer(optimizer.state_dict())
    assert tensors["state.0.step"].dtype == torch.float32 and tensors["state.0.step"] == 1
    assert tensors["state.0.exp_avg"].dtype == torch.bfloat16


def test_awkward_names_do_not_collide() -> None:
    one, two, three = (torch.tensor(float(n)) for n in range(3))
    state = {
        "state": {
            "a.b": {"c": one},
            "a": {"b.c": two},
            "$tensor": {"x": three},
            0: {"none": None},
        },
        "param_groups": [{"betas": (0.9, (1, 2)), "bound": float("inf"), "flag": True}],
    }
    assert same(through_json(state), state)


def test_what_is_not_data_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r"'param_groups.0.rule' of type function; expected a tensor"
    ):
        flatten_optimizer({"state": {}, "param_groups": [{"rule": lambda: 0}]})
    with pytest.raises(TypeError, match=r"the key \(1, 2\) in 'state'"):
        flatten_optimizer({"state": {(1, 2): 0}, "param_groups": []})


def test_parts_of_two_states_are_refused() -> None:
    state = {"state": {0: {"m": torch.ones(1)}}, "param_groups": []}
    tensors, structure = flatten_optimizer(state)
    with pytest.raises(ValueError, match=r"tensors lacks 'state.0.m'"):
        unflatten_optimizer({}, structure)
    with pytest.raises(ValueError, match=r"tensors holds 'more', which structure does not name"):
        unflatten_optimizer(tensors | {"more": torch.ones(1)}, structure)
    with pytest.raises(ValueError, match="structure has format 2; expected 1"):
        unflatten_optimizer(tensors, structure | {"format": 2})
    for broken in ([], {"$items": [[[], 1]]}, {"$items": 3}, {"$tuple": 3}, {"state": {}}):
        with pytest.raises(ValueError, match="structure is"):
            unflatten_optimizer({}, {"format": 1, "structure": broken})
