"""The public contract checks: sound parts pass, and each flaw is caught by its own rule with a fix."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from broken import LeadingAutoencoder, SetAutoencoder, Sets
from torch import Tensor, nn

from latentgen import (
    DDIM,
    VESDE,
    VPSDE,
    Ancestral,
    DPMSolver,
    GeometricVPSDE,
    LatentSpec,
    MixedDenoiser,
    NoiseDenoiser,
    Prediction,
    ProbabilityFlow,
    SubVPSDE,
    Transformer,
    VelocityDenoiser,
)
from latentgen.testing import (
    CheckResult,
    assert_passed,
    check_autoencoder,
    check_denoiser,
    check_modality,
    check_process,
    check_sampler,
    format_results,
)
from latentgen.testing.fixed_noise import FixedNoise
from latentgen.testing.modality import Examples

BATCH = Examples(Sets(), 8).few
SPEC = LatentSpec((6, 2), "set", masked=True)


def culprits(results: list[CheckResult]) -> list[str]:
    """Rules that failed of themselves."""
    return [r.name for r in results if not r.passed and not r.detail.startswith("not run")]


def found(results: list[CheckResult], name: str) -> CheckResult:
    return next(result for result in results if result.name == name)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer draws where the unit of log_prob is not the matter."""
    monkeypatch.setattr(importlib.import_module("latentgen.testing.nats"), "DRAWS", 1024)


# modalities


def test_a_sound_modality_passes_every_check() -> None:
    results = check_modality(Sets())
    assert_passed(results)
    assert len(results) == len({result.name for result in results}) == 23
    assert found(results, "padding").detail.startswith("equal with")
    assert found(results, "nats").detail.startswith("log_prob agrees")
    assert found(results, "adversarial").detail.startswith("losses ")


MODALITY_FLAWS = {
    "no test data": ("data", 'dataset("test") is empty'),
    "unseeded data": ("data repeat", "other data on another call"),
    "nan in data": ("batch", "batch['x'] has NaN or infinity in example 3"),
    "list batch": ("batch", "not a dictionary of tensors"),
    "batch axis last": ("batch", "batch['x'] has shape"),
    "double data": ("batch", "batch['x'] is torch.float64"),
    "latents as a tuple": ("latents", "latents is (6, 2)"),
    "integer mask": ("mask", "torch.int64"),
    "too few items": ("mask", "6 items and latents promise at most 5"),
    "no condition": ("condition", "condition_dim is 3, but the batch has no condition"),
    "no autoencoder": ("autoencoder", "raised NotImplementedError: later"),
    "random sizes": ("sample_mask", "differs when it is drawn alone"),
    "empty samples": ("sample_mask", "no item"),
    "items at the end": ("sample_mask", "real items first"),
    "forgets sizes": ("state", "latents differs after load_state(state())"),
    "reads data": ("state", 'dataset("train") is read after load_state'),
    "unsaved number": ("save and load", "sample()['x'] of the loaded model differs"),
    "gradient of sqrt": ("training", "gradients that are not finite in"),
    "stays in evaluation": ("adversarial", "no gradient reaches autoencoder.encoder.weight"),
    "tensor figures": ("figures", "evaluate returns {'center': tensor"),
    "better in other words": ("figures", "better() says 'smaller' of center"),
    "no png": ("picture", "did not write a PNG"),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("flaw", MODALITY_FLAWS)
def test_a_flaw_of_a_modality_is_found_by_its_own_rule(flaw: str) -> None:
    rule, message = MODALITY_FLAWS[flaw]
    results = check_modality(Sets(flaw), examples=6)
    assert culprits(results) == [rule], format_results(results)
    assert message in found(results, rule).detail
    assert found(results, rule).fix


@pytest.mark.usefixtures("quick")
def test_a_modality_that_cannot_be_built_from_its_configuration_is_found() -> None:
    results = check_modality(Sets("needs an object", payload=_Opaque()))
    assert culprits(results) == ["configuration"]
    assert "cannot be built from its configuration" in found(results, "configuration").detail


class _Opaque:
    """Not a plain value: a configuration holds None in its place."""

    def keys(self) -> list[str]:
        return []


# autoencoders

AUTOENCODER_FLAWS = {
    "wrong width": ("posterior", "mean has shape [8,"),
    "std of zero": ("posterior", "std is 0 somewhere"),
    "no mask in posterior": ("posterior", "mask is not the batch's"),
    "encode crashes": ("posterior", "raised RuntimeError: the sky fell down"),
    "scalar log_prob": ("likelihood", "log_prob has shape [] for 8 examples"),
    "infinite log_prob": ("likelihood", "not finite"),
    "numpy noise": ("seeding", "under the same torch seed differ"),
    "batch mean": ("independence", "the posterior of an example changes by"),
    "batch norm": ("independence", "in training mode"),
    "decoder mixes": ("independence", "the likelihood of an example changes by"),
    "padding leaks": ("padding", "the posterior changes by"),
    "decoder padding leaks": ("padding", "the likelihood changes by"),
    "detached encoder": ("gradient", "no gradient reaches the encoder"),
    "detached decoder": ("gradient", "no gradient reaches z"),
    "unused layer": ("gradient", "no gradient reaches unused.weight, unused.bias"),
    "no mask in samples": ("generated", "encode and log_prob cannot read what mode() gives"),
    "samples are double": ("generated", "{'x': torch.float64}"),
    "bits": ("nats", "log_prob is about 1."),
    "mean over items": ("nats", "times the log-density of what sample() draws"),
}


@pytest.mark.parametrize("flaw", AUTOENCODER_FLAWS)
def test_a_flaw_of_an_autoencoder_is_found_by_its_own_rule(
    flaw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule, message = AUTOENCODER_FLAWS[flaw]
    if rule != "nats":
        monkeypatch.setattr(importlib.import_module("latentgen.testing.nats"), "DRAWS", 1024)
    torch.manual_seed(1)
    results = check_autoencoder(SetAutoencoder(flaw), BATCH, SPEC)
    assert culprits(results) == [rule], format_results(results)
    assert message in found(results, rule).detail
    assert found(results, rule).fix


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("flaw", "culprit", "message"),
    [
        ("", None, ""),
        ("global item last in the mask", "posterior", "mask is not the batch's"),
        ("more items than promised", "posterior", "and the latents promise [8, 7, 2]"),
        ("global item counts padding", "padding", "the posterior changes by"),
        ("decoder padding leaks", "padding", "the likelihood changes by"),
    ],
)
def test_latents_may_have_items_before_those_of_the_data(flaw: str, culprit: str | None, message: str) -> None:
    """Such as global tokens: the latent of a set of N items then has more than N."""
    torch.manual_seed(1)
    results = check_autoencoder(LeadingAutoencoder(flaw), BATCH, LatentSpec((7, 2), "set", masked=True))
    assert culprits(results) == ([culprit] if culprit else []), format_results(results)
    assert message in found(results, culprit or "padding").detail
    if not flaw:
        assert found(results, "padding").detail.startswith("equal with")


def test_an_exception_is_reported_with_its_line() -> None:
    results = check_autoencoder(SetAutoencoder("encode crashes"), BATCH, SPEC)
    assert "broken.py:" in found(results, "posterior").fix
    assert found(results, "likelihood").detail == "not run, since 'posterior' failed"
    assert "mend 'posterior' first" in found(results, "likelihood").fix


def test_checks_leave_the_autoencoder_and_the_random_state_alone() -> None:
    autoencoder = SetAutoencoder().train()
    before = {name: value.clone() for name, value in autoencoder.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    check_autoencoder(autoencoder, BATCH, SPEC)
    assert torch.equal(torch.rand(3), expected)
    assert autoencoder.training
    assert all(torch.equal(value, before[name]) for name, value in autoencoder.state_dict().items())


def test_fixed_noise_depends_on_the_place_of_an_item_alone() -> None:
    with FixedNoise():
        few, many = torch.randn(2, 3, 4), torch.randn(5, 7, 4)
        like, filled = torch.rand_like(few), torch.empty(2, 3, 4).normal_()
    assert torch.equal(few[0], few[1]) and torch.equal(few[0], many[3, :3])
    assert len(few[0].unique()) == 12
    assert torch.equal(filled, few) and bool(((like > 0) & (like < 1)).all())
    with FixedNoise():
        normal = torch.randn(1, 200, 50)
    assert abs(float(normal.mean())) < 0.05 and abs(float(normal.std()) - 1) < 0.05


def test_results_are_readable_and_raise_together() -> None:
    results = [CheckResult("a rule", True, "fine"), CheckResult("another", False, "is 3", "make it 2")]
    text = format_results(results)
    assert "pass  a rule" in text and "FAIL  another" in text and "fix: make it 2" in text
    with pytest.raises(AssertionError, match=r"1 checks failed:(.|\n)*make it 2"):
        assert_passed(results)


# processes


class WrongDrift(VPSDE):
    def drift(self, t: Tensor) -> Tensor:
        return super().drift(t) * 2


class WrongDiffusion(VESDE):
    def diffusion2(self, t: Tensor) -> Tensor:
        return super().diffusion2(t) * 0.5


class Periodic(VPSDE):
    def log_alpha(self, t: Tensor) -> Tensor:
        return -1 - 4 * torch.sin(6 * t) ** 2

    def sigma2(self, t: Tensor) -> Tensor:
        return 1 - torch.exp(2 * self.log_alpha(t))

    def drift(self, t: Tensor) -> Tensor:
        return -48 * torch.sin(6 * t) * torch.cos(6 * t)

    def diffusion2(self, t: Tensor) -> Tensor:
        return (-2 * self.drift(t)).clamp_min(0)


class WrongInverse(VPSDE):
    def time_of_log_snr(self, log_snr: Tensor) -> Tensor:
        return super().time_of_log_snr(log_snr + 0.01)


class WrongBridge(VPSDE):
    def bridge(self, z_t: Tensor, z_0: Tensor, s: Tensor, t: Tensor) -> Any:
        q = super().bridge(z_t, z_0, s, t)
        q.std = q.std * 1.01
        return q


class WrongEnd(VESDE):
    def __init__(self) -> None:
        super().__init__()
        self.terminal_std = 1.0


class SinglePrecision(VPSDE):
    def sigma2(self, t: Tensor) -> Tensor:
        return super().sigma2(t).float()


class Infinite(VPSDE):
    def __init__(self) -> None:
        super().__init__(t_min=1e-2)
        self.t_min = 0.0


class Forgetful(VPSDE):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(beta_max=20.0 + self.count)
        type(self).count += 1

    count = 0


@pytest.mark.parametrize(
    "process",
    [VPSDE(), VPSDE(sigma2_0=1e-4, t_min=1e-5), SubVPSDE(), GeometricVPSDE(), VESDE()],
    ids=lambda process: type(process).__name__,
)
def test_the_processes_of_the_framework_pass(process: Any) -> None:
    assert_passed(check_process(process))


@pytest.mark.parametrize(
    ("process", "rule", "message"),
    [
        (WrongDrift, "drift", "drift(t) at t = "),
        (WrongDiffusion, "diffusion", "d sigma2 / dt - 2 f sigma2"),
        (WrongInverse, "inverse", "time_of_log_snr(log_snr(t)) is"),
        (WrongBridge, "bridge", "the bridge's variance"),
        (WrongEnd, "end", "z_1 has standard deviation 50"),
        (SinglePrecision, "forms", "sigma2(t) of 201 float64 times gives torch.float32"),
        (Infinite, "forms", "sigma2 is 0 at t = 0"),
        (Forgetful, "configuration", "another one"),
    ],
)
def test_a_flaw_of_a_process_is_found_by_its_own_rule(
    process: Callable[[], Any], rule: str, message: str
) -> None:
    results = check_process(process())
    assert culprits(results) == [rule], format_results(results)
    assert message in found(results, rule).detail


def test_a_process_whose_noise_falls_is_found() -> None:
    assert "log-SNR" in culprits(check_process(Periodic()))


# samplers


class Biased(DDIM):
    def run(self, *args: Any, **kwargs: Any) -> Tensor:
        return 1.2 * super().run(*args, **kwargs)


class Uncounted(DDIM):
    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        z = super().__call__(*args, **kwargs)
        self.calls = 1
        return z


class GlobalNoise(Ancestral):
    def run(
        self, denoiser: Any, predict: Any, z: Tensor, mask: Any, condition: Any, noise: Any, start: float
    ) -> Tensor:
        return super().run(denoiser, predict, z, mask, condition, None, start)


class FromOne(DPMSolver):
    def run(
        self, denoiser: Any, predict: Any, z: Tensor, mask: Any, condition: Any, noise: Any, start: float
    ) -> Tensor:
        return super().run(denoiser, predict, z, mask, condition, noise, 1.0)


class Unmasked(DDIM):
    def __call__(self, denoiser: Any, z_1: Tensor, mask: Any = None, **kwargs: Any) -> Tensor:
        return super().__call__(denoiser, z_1, None, **kwargs)


@pytest.mark.parametrize(
    "sampler", [ProbabilityFlow(), DPMSolver(60), Ancestral(100)], ids=lambda s: type(s).__name__
)
def test_samplers_of_the_framework_pass(sampler: Any) -> None:
    assert_passed(check_sampler(sampler, tolerance=0.08, samples=1024))


@pytest.mark.parametrize(
    ("sampler", "rules"),
    [
        (Biased(100), ["moments VP", "moments VE"]),
        (Uncounted(100), ["calls"]),
        (GlobalNoise(100), ["own noise"]),
        (FromOne(60), ["start"]),
        (Unmasked(100), ["mask"]),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, list) else "",
)
def test_a_flaw_of_a_sampler_is_found_by_its_own_rule(sampler: Any, rules: list[str]) -> None:
    results = check_sampler(sampler, tolerance=0.08, samples=1024)
    assert culprits(results) == rules, format_results(results)
    assert all(found(results, rule).fix for rule in rules)


# denoisers


class Mean(nn.Module):
    """A network with a flaw: it looks at masked items, or at other samples."""

    def __init__(self, flaw: str) -> None:
        super().__init__()
        self.flaw, self.layer, self.spare = flaw, nn.Linear(2, 2), nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(2)

    def forward(self, z: Tensor, log_snr: Tensor, mask: Tensor, condition: Tensor | None) -> Tensor:
        out = self.layer(z)
        if self.flaw == "padding":
            out = out + out.mean(1, keepdim=True)
        if self.flaw == "independence":
            out = self.norm(out.transpose(1, 2)).transpose(1, 2)
        if self.flaw != "independence":
            out = out + 0 * (self.norm.weight + self.norm.bias)
        out = out if self.flaw == "gradient" else out + 0 * self.spare(z)
        return out[..., :1] if self.flaw == "prediction" else out


class Unfaithful(NoiseDenoiser):
    def forward(self, *args: Any, **kwargs: Any) -> Prediction:
        p = super().forward(*args, **kwargs)
        return _Shifted(p.z_t, p.eps, p.alpha, p.sigma)


class _Shifted(Prediction):
    @property
    def mean(self) -> Tensor:
        return super().mean + 1


class Silent(NoiseDenoiser):
    def forward(self, *args: Any, **kwargs: Any) -> Prediction:
        p = super().forward(*args, **kwargs)
        self.calls = 0
        return p


@pytest.mark.parametrize("kind", [NoiseDenoiser, VelocityDenoiser, MixedDenoiser])
@pytest.mark.parametrize(
    "latents", [SPEC, LatentSpec((5,)), LatentSpec((2, 4, 4), "grid")], ids=lambda s: s.layout
)
def test_denoisers_of_the_framework_pass(kind: Any, latents: LatentSpec) -> None:
    network = Transformer(latents, width=16, depth=1, heads=2)
    extra = (latents,) if kind is MixedDenoiser else ()
    assert_passed(check_denoiser(kind(network, VPSDE(), *extra), latents))


@pytest.mark.parametrize("flaw", ["prediction", "independence", "padding", "gradient"])
def test_a_flaw_of_a_network_is_found_by_its_own_rule(flaw: str) -> None:
    results = check_denoiser(NoiseDenoiser(Mean(flaw), VPSDE()), SPEC)
    assert culprits(results) == [flaw], format_results(results)


@pytest.mark.parametrize(("kind", "flaw"), [(Unfaithful, "views"), (Silent, "calls")])
def test_a_flaw_of_a_denoiser_is_found_by_its_own_rule(kind: Any, flaw: str) -> None:
    results = check_denoiser(kind(Mean("none"), VPSDE()), SPEC)
    assert culprits(results) == [flaw], format_results(results)
