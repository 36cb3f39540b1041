r"""Autoguidance: a denoiser is led away from what a weaker one would do, for samples of higher quality."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .component import describe
from .denoiser import Denoiser, GuidedDenoiser
from .gan_prior import DenoisingGANPrior, ScoreGANPrior
from .model import LatentGenerativeModel
from .prior import Prior, ScorePrior


class AutoguidedDenoiser(Denoiser):
    r"""eps = eps_weak + w (eps_hat - eps_weak) (Karras et al. 2024, *Guiding a diffusion model with a bad version of
    itself*).

    Where the two differ is where the weak one errs most, and the better one, likely, in the same direction less:
    w > 1 goes on in the direction of improvement. With two exact scores it is at every noise level the score of
    p_t (p_t / p_weak,t)^(w - 1); these are not the noised forms of one density, and samples are more concentrated than
    p (p / p_weak)^(w - 1). The weak one is another denoiser, trained less or smaller, or the same network without some
    of its blocks (Hyung et al. 2024), which needs no training. Both are given the guided prediction of z_0 where they
    take an earlier one.

    Args:
        denoiser: the trained denoiser, no guided one.
        guidance: w; 1 is no guidance.
        without: numbers of the blocks that the weak network lacks.
        weak: a denoiser of the same latents and process, instead of ``without``.

    Raises:
        ValueError: if w is not finite; unless one of ``without`` and ``weak`` is given; if the network has no such
            blocks; if ``weak`` is of another process or of other conditions; if the denoiser is guided already.
    """

    def __init__(
        self, denoiser: Denoiser, guidance: float, without: Sequence[int] = (), weak: Denoiser | None = None
    ) -> None:
        super().__init__(denoiser.network, denoiser.process)
        del self._modules["network"]  # every weight is stored once, by the denoiser
        if not math.isfinite(guidance):
            raise ValueError(f"guidance is {guidance}; give a finite weight, 1.5 to 3 are usual.")
        if isinstance(denoiser, AutoguidedDenoiser | GuidedDenoiser):
            raise ValueError(f"denoiser is a {type(denoiser).__name__} already; guide the trained one inside.")
        if bool(without) == (weak is not None):
            given = "both" if weak is not None else "neither"
            raise ValueError(f"without and weak: {given} is given; name the blocks to leave out, or a weak denoiser.")
        if weak is not None:
            _check_weak(weak, denoiser)
        self.inner, self.guidance, self.without = denoiser, guidance, tuple(without)
        self.weak = weak
        # held outside of the module tree: it shares every weight with the denoiser
        self._shallow: list[Denoiser] = [] if weak is not None else [without_blocks(denoiser, self.without)]
        self.training = denoiser.training

    @property
    def network(self) -> nn.Module:  # type: ignore[override]
        """The trained denoiser's."""
        return self.inner.network

    @property
    def cost(self) -> int:
        """That of both denoisers."""
        return self.inner.cost + self._weak.cost

    @property
    def _weak(self) -> Denoiser:
        return self.weak if self.weak is not None else self._shallow[0]

    def noise(
        self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None, previous: Tensor | None = None
    ) -> Tensor:
        """eps_weak + w (eps_hat - eps_weak), shape [B, *E]."""
        weak = self._weak
        earlier = torch.zeros_like(z_t) if previous is None else previous
        astray = weak.noise(z_t, t, mask, condition, earlier if weak.self_condition else None)
        return astray + self.guidance * (self.inner.noise(z_t, t, mask, condition, previous) - astray)


def autoguided(
    model: LatentGenerativeModel,
    guidance: float,
    without: Sequence[int] = (),
    weak: LatentGenerativeModel | None = None,
) -> LatentGenerativeModel:
    """The same model, its score prior autoguided.

    It shares the weights of the model that is given and is for sampling: by every sampler of the score prior, and by
    "gan" where the generator starts from that prior's mean (:meth:`Generator.refine`); a call of it then evaluates
    three networks, and counts as one; its chain keeps the moments that were measured without guidance, unless it is
    matched again (:meth:`DenoisingGANPrior.match`). Its likelihoods are those of the guided process.

    Args:
        model: with a score prior.
        guidance: w; 1.5 to 3 are usual.
        without: numbers of the blocks that the weak network lacks.
        weak: a weaker model on the same autoencoder, instead of ``without``: smaller or trained less.

    Raises:
        ValueError: if a model has no score prior, or the two differ in latents, autoencoder, process or conditions, and
            as :class:`AutoguidedDenoiser`.
    """
    score = _score_prior(model, "model")
    other: Denoiser | None = None
    if weak is not None:
        found = _score_prior(weak, "weak")
        if found.latents != score.latents:
            raise ValueError(f"weak has latents {found.latents}, the model {score.latents}; give one of the same.")
        if not _same_weights(model.autoencoder, weak.autoencoder):
            raise ValueError("weak has another autoencoder than the model; give one on the same, frozen autoencoder.")
        other = found.denoiser
    blocks = tuple(int(number) for number in without)
    guided = ScorePrior(score.latents, AutoguidedDenoiser(score.denoiser, float(guidance), blocks, other))
    guided.training = score.training
    prior: Prior = guided
    if isinstance(model.prior, ScoreGANPrior):
        generator = model.prior.gan.generator
        twin = copy.copy(generator)  # shares every weight, but can be matched by itself
        twin._modules = {**generator._modules, "matching": copy.deepcopy(generator.matching)}
        gan = DenoisingGANPrior(score.latents, twin, model.prior.gan.condition_dropout)
        prior = ScoreGANPrior(guided, gan, refine=generator.refines)
        gan.training = model.prior.gan.training
    prior.training = model.prior.training
    led = LatentGenerativeModel(model.modality, model.autoencoder, prior)
    led.training = model.training
    return led


def without_blocks(denoiser: Denoiser, without: Sequence[int]) -> Denoiser:
    """The denoiser without these blocks of its network; it shares the weights of the others.

    Raises:
        ValueError: if the network has no list of blocks or several, or not these, or no block would remain.
    """
    lists = [
        name for name, part in denoiser.network.named_modules()
        if name.rsplit(".")[-1] == "blocks" and isinstance(part, nn.ModuleList)
    ]
    if len(lists) != 1:
        kind, found = type(denoiser.network).__name__, "no list" if not lists else f"{len(lists)} lists"
        raise ValueError(f"without is {list(without)} but a {kind} has {found} of blocks; give a weak model instead.")
    path = f"network.{lists[0]}"
    blocks = denoiser.get_submodule(path)
    assert isinstance(blocks, nn.ModuleList)
    count = len(blocks)
    if len(set(without)) < len(without) or not set(without) < set(range(count)):
        raise ValueError(
            f"without is {list(without)}; name some of the {count} blocks, 0 to {count - 1}, once and not all."
        )
    kept = nn.ModuleList(block for number, block in enumerate(blocks) if number not in without)
    kept.training = blocks.training
    found_denoiser = _with_part(denoiser, path.split("."), kept)
    assert isinstance(found_denoiser, Denoiser)
    return found_denoiser


def _check_weak(weak: Denoiser, denoiser: Denoiser) -> None:
    if describe(weak.process) != describe(denoiser.process):
        raise ValueError(
            f"weak was trained with {describe(weak.process)}, the model with {describe(denoiser.process)}; "
            "autoguidance needs the same process."
        )
    sizes = [getattr(one.network, "condition_dim", 0) for one in (weak, denoiser)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"weak takes conditions of size {sizes[0]}, the model of {sizes[1]}; give one of the same.")


def _same_weights(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(
        value.shape == right[name].shape and torch.equal(value, right[name].to(value)) for name, value in left.items()
    )


def _with_part(module: nn.Module, path: Sequence[str], part: nn.Module) -> nn.Module:
    """A copy that shares everything but the part at this path."""
    twin = copy.copy(module)
    head, *rest = path
    inner = part if not rest else _with_part(module.get_submodule(head), rest, part)
    twin.__dict__["_modules"] = {**module._modules, head: inner}
    return twin


def _score_prior(model: LatentGenerativeModel, name: str) -> ScorePrior:
    score = model.prior.score_prior
    if score is None:
        raise ValueError(f"{name} has a {type(model.prior).__name__}; autoguidance needs a score prior.")
    return score
