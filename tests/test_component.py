"""A component's constructor arguments are its configuration."""

import inspect
import json
import sys
import types
from pathlib import Path

import pytest
from torch import nn

from latentgen.component import Component, class_path, describe
from latentgen.denoiser import MixedDenoiser, VelocityDenoiser
from latentgen.latents import LatentSpec
from latentgen.nn import Transformer
from latentgen.process import VESDE, VPSDE
from latentgen.sampler import DDIM, EulerMaruyama
from latentgen.times import ImportanceTimes
from latentgen.weighting import LikelihoodWeighting, LogNormalWeighting


class Keep(Component):
    def __init__(self, a, b=2, *, c=None) -> None:
        self.a, self.b, self.c = a, b, c


class Child(Keep):
    def __init__(self, d, **extra) -> None:
        super().__init__(a=d, **extra)
        self.d = d


class Grandchild(Keep):
    """No constructor of its own."""


def arguments(component: Component) -> dict:
    return describe(component)["init_args"]


def test_positional_keyword_and_default_arguments_are_recorded():
    assert arguments(Keep(1)) == {"a": 1, "b": 2, "c": None}
    assert arguments(Keep(1, 5, c="x")) == {"a": 1, "b": 5, "c": "x"}
    assert arguments(Grandchild(1, b=3)) == {"a": 1, "b": 3, "c": None}


def test_the_outermost_constructor_is_the_configuration():
    """Not that of the parent class which it calls."""
    assert arguments(Child(7))["d"] == 7
    assert "a" not in arguments(Child(7))
    assert arguments(DDIM(9, eta=0.5)).items() >= {"steps": 9, "eta": 0.5, "spacing": "log_snr"}.items()
    assert arguments(EulerMaruyama(9)).items() >= {"steps": 9, "spacing": "log_snr"}.items()


def test_extra_keyword_arguments_are_arguments_like_all_others():
    """What **extra took must come back as keywords, not as one dictionary named extra."""
    recorded = arguments(Child(7, b=3, c=4))
    assert recorded == {"d": 7, "b": 3, "c": 4}
    assert Child(**recorded).b == 3


def test_a_component_without_a_constructor_has_no_arguments():
    assert describe(LikelihoodWeighting())["init_args"] == {}


def test_values_are_recorded_as_given_and_not_as_changed_later():
    process = VPSDE(beta_max=10.0)
    process.beta_max = 99.0
    assert arguments(process)["beta_max"] == 10.0


def test_components_inside_components_are_described_too():
    times = ImportanceTimes(LogNormalWeighting(mean=1.0), points=64)
    inner = arguments(times)["weighting"]
    assert inner["class_path"].endswith(".LogNormalWeighting")
    assert inner["init_args"].items() >= {"mean": 1.0, "std": 1.5}.items()


def test_recording_leaves_modules_as_they_are():
    """The recorded arguments register no second copy of a network, and add nothing to a checkpoint."""
    network = Transformer(LatentSpec((3,)), width=8, depth=1, heads=1)
    denoiser = VelocityDenoiser(network, VPSDE())
    assert len(list(denoiser.modules())) == len(list(network.modules())) + 1
    assert all(name.startswith("network.") for name in denoiser.state_dict())


def test_everything_described_is_plain_data():
    latents = LatentSpec((5, 3), "set", True)
    network = Transformer(latents, width=8, depth=1, heads=1)
    text = json.dumps(describe(MixedDenoiser(network, VESDE(), latents)))
    assert json.loads(text)["init_args"]["latents"] == {
        "latent_spec": {"shape": [5, 3], "layout": "set", "masked": True}
    }


def test_containers_and_paths():
    value = Keep([1, 2.5, "x"], {"k": Keep(0)}, c=Path("a") / "b")
    described = arguments(value)
    assert described["a"] == [1, 2.5, "x"]
    assert described["b"]["k"]["init_args"]["a"] == 0
    assert described["c"] == str(Path("a") / "b")


def test_nested_lists_are_plain_data_too():
    assert arguments(Keep([[1, 2], [3, 4]]))["a"] == [[1, 2], [3, 4]]
    assert arguments(Keep([{"k": 1}]))["a"] == [{"k": 1}]


def test_objects_that_cannot_be_written_become_none():
    assert arguments(Keep(object(), [object()]))["a"] is None
    assert arguments(Keep(object(), [object()]))["b"] is None


def test_class_paths_are_the_shortest_importable_ones():
    assert class_path(Transformer) == "latentgen.Transformer"
    assert class_path(Keep) == f"{Keep.__module__}.Keep"
    assert class_path(nn.Linear) == "torch.nn.Linear"


def test_a_name_that_a_package_gives_to_another_class_is_not_used(monkeypatch):
    package, module = types.ModuleType("pack"), types.ModuleType("pack.part")
    inside = type("Thing", (Component,), {"__module__": "pack.part"})
    package.Thing, module.Thing = type("Thing", (), {}), inside
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "pack", package)
    monkeypatch.setitem(sys.modules, "pack.part", module)
    assert class_path(inside) == "pack.part.Thing"


def test_signatures_survive_for_config_tools():
    assert list(inspect.signature(Keep).parameters) == ["a", "b", "c"]
    assert inspect.signature(Keep).parameters["c"].kind is inspect.Parameter.KEYWORD_ONLY
    assert list(inspect.signature(DDIM).parameters)[:3] == ["steps", "eta", "spacing"]


def test_wrong_arguments_fail_as_python_does():
    with pytest.raises(TypeError):
        Keep()
    with pytest.raises(TypeError):
        VPSDE(beta=3)


def test_a_wrong_argument_names_the_class_and_what_it_takes() -> None:
    with pytest.raises(TypeError, match=r"^VPSDE: got an unexpected keyword argument 'beta_mx'; it takes beta_min"):
        VPSDE(beta_mx=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^Grandchild: missing a required argument: 'a'; it takes a, b, c\.$"):
        Grandchild()
