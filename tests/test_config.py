"""Only known components are built from a configuration, and they come back as they were."""

import json

import pytest
import yaml
from problems import CosinePath

from latentgen.autoencoder import IdentityAutoencoder, StandardizedAutoencoder
from latentgen.component import describe
from latentgen.config import build, find_component, trusted_packages
from latentgen.denoiser import MixedDenoiser, NoiseDenoiser, VelocityDenoiser
from latentgen.latents import LatentSpec
from latentgen.nn import Transformer
from latentgen.objective import JointELBO, Schedule
from latentgen.prior import NormalPrior, ScorePrior
from latentgen.process import VESDE, VPSDE, GeometricVPSDE, SubVPSDE
from latentgen.sampler import DDIM, Ancestral, EulerMaruyama, PredictorCorrector, ProbabilityFlow
from latentgen.times import ImportanceTimes, LogSNRTimes, UniformTimes
from latentgen.weighting import LikelihoodWeighting, LogNormalWeighting, ReweightedWeighting, VelocityWeighting

SETS = LatentSpec((5, 3), "set", masked=True)


def network(**options) -> Transformer:
    return Transformer(SETS, width=8, depth=1, heads=2, **options)


NESTED = {
    "process": VPSDE(beta_max=12.5, t_min=1e-3),
    "geometric": GeometricVPSDE(sigma2_0=None),
    "sub-vp": SubVPSDE(),
    "ve": VESDE(latent_std=0.5),
    "times": ImportanceTimes(LogNormalWeighting(1.0, 2.0), points=32, stratified=False),
    "log-snr times": LogSNRTimes(),
    "uniform times": UniformTimes(stratified=False),
    "weighting": VelocityWeighting(),
    "ddim": DDIM(7, eta=0.3, spacing="karras"),
    "ancestral": Ancestral(9, "large"),
    "euler": EulerMaruyama(5),
    "pc": PredictorCorrector(5, corrections=2, snr=0.1),
    "ode": ProbabilityFlow(1e-2),
    "network": network(condition_dim=4),
    "denoiser": VelocityDenoiser(network(), VPSDE()),
    "noise denoiser": NoiseDenoiser(network(), SubVPSDE()),
    "prior": ScorePrior(SETS, MixedDenoiser(network(), VESDE(), SETS, initial_logit=-6.0)),
    "normal prior": NormalPrior(LatentSpec((4, 8, 8), "grid")),
    "standardized": StandardizedAutoencoder(IdentityAutoencoder("points", 0.01), 3),
    "objective": JointELBO(
        IdentityAutoencoder(),
        ScorePrior(SETS, VelocityDenoiser(network(), GeometricVPSDE())),
        ReweightedWeighting(),
        LogSNRTimes(),
        Schedule(0.01, 1.0, 0.5),
        ImportanceTimes(LikelihoodWeighting()),
    ),
}


@pytest.mark.parametrize("name", list(NESTED))
def test_components_come_back_as_they_were(name):
    described = describe(NESTED[name])
    again = build(described)
    assert type(again) is type(NESTED[name])
    assert describe(again) == described


@pytest.mark.parametrize("name", list(NESTED))
def test_components_survive_yaml_and_json(name):
    described = describe(NESTED[name])
    assert json.loads(json.dumps(described)) == described
    text = yaml.safe_dump(described)
    assert describe(build(yaml.safe_load(text))) == described


def test_values_reach_the_objects():
    prior = build(describe(NESTED["prior"]))
    assert prior.latents == SETS
    assert prior.process.sigma2_max == 2500.0
    assert prior.denoiser.logit.tolist() == [-6.0] * 3
    assert build(describe(NESTED["geometric"])).sigma2_0 == 3e-5


def test_plain_values_pass_through():
    value = {"a": [1, 2.5, None, True, "x"], "b": {"c": "d"}}
    assert build(value) == value


def test_components_inside_lists_and_mappings_are_built():
    built = build({"processes": [describe(VPSDE()), describe(VESDE())]})
    assert [type(process) for process in built["processes"]] == [VPSDE, VESDE]


def test_paths_with_a_colon_and_by_module():
    assert find_component("latentgen.process:VPSDE") is VPSDE
    assert find_component("latentgen.process.VPSDE") is VPSDE


def test_init_args_may_be_left_out():
    assert isinstance(build({"class_path": "latentgen.process.VPSDE"}), VPSDE)
    assert isinstance(build({"class_path": "latentgen.process.VPSDE", "init_args": None}), VPSDE)


def test_built_in_packages_are_trusted():
    assert {"latentgen", "modalities"} <= trusted_packages()


@pytest.mark.parametrize(
    "path", ["os.system", "subprocess.Popen", "builtins.eval", "torch.nn.Linear", "latentgen_evil.Thing", "VPSDE", ""]
)
def test_packages_of_strangers_are_refused_before_they_are_imported(path, monkeypatch):
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"imported {name}"))
    with pytest.raises(ValueError, match=r"whose package is not one of .*latentgen.*pass trust_remote_code=True"):
        build({"class_path": path, "init_args": {}})


def test_a_stranger_inside_a_trusted_component_is_refused_too():
    value = describe(NESTED["times"])
    value["init_args"]["weighting"] = {"class_path": "this.Poem", "init_args": {}}
    with pytest.raises(ValueError, match=r"class_path is 'this\.Poem', whose package"):
        build(value)


def test_a_component_that_the_program_has_imported_needs_no_trust():
    assert isinstance(build(describe(CosinePath(end=0.9))), CosinePath)


def test_a_stranger_can_be_trusted():
    built = build(describe(CosinePath(end=0.9)), trust_remote_code=True)
    assert isinstance(built, CosinePath)
    assert describe(built)["init_args"] == {"end": 0.9, "t_min": 0.01}


@pytest.mark.parametrize(
    "path",
    [
        "latentgen.config.build",
        "latentgen.latents.LatentSpec",
        "latentgen.distributions.DiagonalGaussian",
        "latentgen.sampler.SAMPLERS",
        "latentgen.process.torch",
        "latentgen.nn.mlp.MLP",
    ],
)
def test_what_is_no_component_is_refused(path):
    with pytest.raises(ValueError, match="which is not a latentgen component"):
        build({"class_path": path})


@pytest.mark.parametrize("path", ["os.system", "subprocess.Popen", "torch.nn.Linear", "builtins.exec"])
def test_trust_does_not_make_a_component(path):
    with pytest.raises(ValueError, match="which is not a latentgen component"):
        build({"class_path": path}, trust_remote_code=True)


@pytest.mark.parametrize(
    "path",
    ["latentgen.process.Missing", "latentgen.nowhere.Thing", "latentgen.config.importlib.os.system", "latentgen."],
)
def test_what_cannot_be_imported_is_named(path):
    with pytest.raises(ValueError, match=r"class_path is .* (cannot be imported|not a latentgen component)"):
        build({"class_path": path})


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"latentgen\.process\.VPSDE cannot be built from its init_args: .*beta"):
        build({"class_path": "latentgen.process.VPSDE", "init_args": {"beta": 3}})


def test_abstract_classes_cannot_be_built():
    with pytest.raises(ValueError, match=r"latentgen\.process\.Process cannot be built"):
        build({"class_path": "latentgen.process.Process"})


def test_refusals_of_constructors_pass_through():
    with pytest.raises(ValueError, match=r"beta_min is -1"):
        build({"class_path": "latentgen.process.VPSDE", "init_args": {"beta_min": -1}})
