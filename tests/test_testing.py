"""The public contract checks: sound parts pass, and each flaw is caught by its own rule with a fix."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from broken import LeadingAutoencoder, Rows, SetAutoencoder, Sets, StridedAutoencoder
from torch import Tensor, nn

from latentgen import (
    DDIM,
    LSGM,
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
from latentgen.tensors import item_mask
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
from latentgen.testing.data import Examples
from latentgen.testing.fixed_noise import FixedNoise
from latentgen.testing.result import Checks

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
    assert len(results) == len({result.name for result in results}) == 25
    assert found(results, "padding").detail.startswith("equal with")
    assert found(results, "nats").detail.startswith("log_prob agrees")
    assert found(results, "adversarial").detail.startswith("losses ")
    assert found(results, "batch").detail.endswith("finite in all 24 train and all 24 test")
    assert "warning" not in found(results, "sizes").detail


MODALITY_FLAWS = {
    "no test data": ("data", 'dataset("test") is empty'),
    "unseeded data": ("data repeat", "other data on another call"),
    "nan in data": ("batch", "batch['x'] has NaN or infinity in example 3"),
    "nan in the last test example": ("batch", "batch['x'] has NaN or infinity in example 23 of dataset(\"test\")"),
    "list batch": ("batch", "not a dictionary of tensors"),
    "batch axis last": ("batch", "batch['x'] has shape"),
    "double data": ("batch", "batch['x'] is torch.float64"),
    "latents as a tuple": ("latents", "latents is (6, 2)"),
    "integer mask": ("mask", "torch.int64"),
    "too few items": ("mask", "6 items and latents promise at most 5"),
    "items last in the data": ("mask", 'real items do not come first in the mask of example 2 of dataset("train")'),
    "masked is False": ("posterior", "the posterior has a mask, but latents.masked is False"),
    "no sample_mask": ("sample_mask", "sample_mask(u) is None for 7 numbers"),
    "narrow sample_mask": ("sample_mask", "sample_mask(u) is torch.bool of shape [7, 5] for 7 numbers"),
    "samples are larger": ("sizes", "sample_mask draws 5 to 6, 5.2 on average; the latents of all 24 train examples"),
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
    "no export": ("export", "which are no files"),
    "export elsewhere": ("export", "wrote outside of the folder"),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("flaw", MODALITY_FLAWS)
def test_a_flaw_of_a_modality_is_found_by_its_own_rule(flaw: str) -> None:
    rule, message = MODALITY_FLAWS[flaw]
    results = check_modality(Sets(flaw), examples=6)
    assert culprits(results) == [rule], format_results(results)
    assert message in found(results, rule).detail
    assert found(results, rule).fix


ROW_FLAWS = {
    "tensors by name": ("data", 'dataset("train") is a dict, whose entries are columns', "zip(*data.values())"),
    "loader": ("data", 'dataset("train") is a DataLoader, which has no length or no examples', "without its loader"),
    "tensor": ("data", 'dataset("train")[0] is a Tensor', "override collate"),
    "tuples": ("data", 'dataset("train")[0] is a tuple', "override collate"),
    "arrays": ("data", "dataset(\"train\")[0]['x'] is a ndarray", "torch.as_tensor"),
    "ragged": ("batch", "dataset(\"train\")[150]['x'] has shape [3], and that of example 128 [2]", 'add "mask" [B, N]'),
    "keys of its own": ("batch", "dataset(\"train\")[150] has the keys ['x', 'condition', 'y']", "the same keys"),
    "partly NaN condition": ("batch", "batch['condition'] has NaN or infinity in example 151", "NaN throughout"),
    "infinite condition": ("batch", "batch['condition'] has NaN or infinity in example 151", "NaN throughout"),
    "integer condition": ("condition", "batch['condition'] is torch.int64", "float32 [B, condition_dim]"),
    "kind as the condition": ("condition", "condition_dim is 3, but the batch has a condition of [64]", "one_hot"),
    "encoder reads NaN": ("posterior", "mean is torch.float32 or has entries that are not finite", "a row of NaN"),
    "encoder reads the condition": ("generated", "(KeyError: 'condition')", "a decoded batch has no condition"),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("flaw", ROW_FLAWS)
def test_a_flaw_of_conditional_rows_is_found_by_its_own_rule(flaw: str) -> None:
    rule, message, fix = ROW_FLAWS[flaw]
    results = check_modality(Rows(flaw), examples=6)
    assert culprits(results) == [rule], format_results(results)
    assert message in found(results, rule).detail
    assert fix in found(results, rule).fix


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("flaw", ["", "decoded condition"])
def test_rows_of_nan_say_that_there_is_no_condition(flaw: str) -> None:
    """They pass through every rule; a decoder may give conditions, which the encoder then may read."""
    results = check_modality(Rows(flaw))
    assert_passed(results)
    assert found(results, "condition").detail == "20 of 200 train examples without one"


def test_a_decoded_condition_can_be_encoded_again() -> None:
    """What the advice for encoders that read a condition relies on."""
    model = LSGM(width=16, depth=1, heads=2).prepare(Rows("decoded condition")).model
    again = model.reread(model.sample(2, steps=2, condition=torch.eye(3)[:2]), passes=2)
    assert again["condition"].shape == (2, 3)


@pytest.mark.usefixtures("quick")
def test_only_so_many_examples_are_looked_at_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("latentgen.testing.data"), "LIMIT", 140)
    results = check_modality(Rows("partly NaN condition"))
    assert_passed(results)
    assert found(results, "batch").detail.endswith("finite in 140 of 200 train and 140 of 200 test")


@pytest.mark.usefixtures("quick")
def test_sizes_of_samples_unlike_the_data_are_remarked() -> None:
    results = check_modality(Sets("samples are large", size=100))
    assert_passed(results)
    assert found(results, "sizes").detail.endswith("warning: other sizes than the data's")


@pytest.mark.usefixtures("quick")
def test_a_mask_of_the_data_alone_is_left_to_the_autoencoder() -> None:
    results = check_modality(Sets("mask of the data alone"))
    assert_passed(results)
    assert "batch['mask'] is left to the autoencoder" in found(results, "mask").detail


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


def test_masks_that_come_late_are_refused() -> None:
    late = {key: value.flip(1) for key, value in BATCH.items()}
    results = check_autoencoder(SetAutoencoder(), late, SPEC)
    assert culprits(results) == ["padding"], format_results(results)
    assert "put real items first" in found(results, "padding").fix


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        ("", "equal with 5 and 6 items, 3 of x an item"),
        ("cuts x itself", "equal with 5 and 6 items, 3 of x an item"),
        ("padding leaks", "the posterior changes by"),
        ("fixed number of items", "encode refuses 5 items"),
    ],
)
def test_a_latent_item_may_stand_for_several_steps(flaw: str, message: str) -> None:
    torch.manual_seed(1)
    mask = torch.arange(6) < torch.tensor([[2], [3], [5], [5]])
    batch = {"x": torch.randn(4, 18, 2) * mask.repeat_interleave(3, 1).unsqueeze(-1), "mask": mask}
    results = check_autoencoder(StridedAutoencoder(flaw), batch, SPEC)
    assert culprits(results) == ([] if message.startswith("equal") else ["padding"]), format_results(results)
    assert message in found(results, "padding").detail
    assert "refuses" not in message or 'read x[:, : stride * batch["mask"].shape[1]]' in found(results, "padding").fix


def test_an_exception_within_latentgen_is_reported_with_the_users_line() -> None:
    results = check_autoencoder(SetAutoencoder("crashes in latentgen"), BATCH, SPEC)
    assert "mask has shape" in found(results, "posterior").detail
    assert found(results, "posterior").fix.startswith("mend ") and "broken.py:" in found(results, "posterior").fix
    checks = Checks()
    checks.run("a rule", functools.partial(item_mask, torch.ones(2, 3), torch.ones(3, 2)))  # type: ignore[arg-type]
    assert checks.results[0].fix.startswith("look at what the part under test gives: the exception arose in ")
    assert "tensors.py:" in checks.results[0].fix


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
