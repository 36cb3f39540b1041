r"""Autoguidance: a denoiser is led away from what a weaker one would do, for samples of higher quality."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor, nn

from .component import describe
from .denoiser import Denoiser
from .gan_prior import DenoisingGANPrior, ScoreGANPrior
from .model import LatentGenerativeModel
from .prior import Prior, ScorePrior


class AutoguidedDenoiser(Denoiser):
    r"""eps = eps_weak + w (eps_hat - eps_weak) (Karras et al. 2024, *Guiding a diffusion model with a bad version of
    itself*).

    Where the two differ is where the weak one errs most, and the better one, likely, in the same direction less:
    w > 1 goes on in the direction of improvement. The score is that of p (p / p_weak)^(w - 1) at every noise level. The
    weak one is another denoiser, trained less or smaller, or the same network without some of its blocks (Hyung et al.
    2024), which needs no training. One prediction costs two function calls.

    Args:
        denoiser: the trained denoiser.
        guidance: w; 1 is no guidance.
        without: numbers of the blocks that the weak network lacks.
        weak: a denoiser of the same latents and process, instead of ``without``.

    Raises:
        ValueError: unless one of ``without`` and ``weak`` is given; if the network has no such blocks; if ``weak`` is
            of another process.
    """

    def __init__(
        self, denoiser: Denoiser, guidance: float, without: Sequence[int] = (), weak: Denoiser | None = None
    ) -> None:
        super().__init__(denoiser.network, denoiser.process)
        if bool(without) == (weak is not None):
            given = "both" if weak is not None else "neither"
            raise ValueError(f"without and weak: {given} is given; name the blocks to leave out, or a weak denoiser.")
        if weak is not None and describe(weak.process) != describe(denoiser.process):
            raise ValueError(
                f"weak was trained with {describe(weak.process)}, the model with {describe(denoiser.process)}; "
                "autoguidance needs the same process."
            )
        self.inner, self.guidance, self.without = denoiser, guidance, tuple(without)
        self.weak = weak
        # held outside of the module tree: it shares every weight with the denoiser
        self._shallow: list[Denoiser] = [] if weak is not None else [without_blocks(denoiser, self.without)]
        self.train(denoiser.training)

    def noise(
        self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None, previous: Tensor | None = None
    ) -> Tensor:
        """eps_weak + w (eps_hat - eps_weak); one call more than without guidance."""
        if not self.training:
            self.calls += 1
        weak = self.weak if self.weak is not None else self._shallow[0]
        astray = weak.noise(z_t, t, mask, condition, previous if weak.self_condition else None)
        return astray + self.guidance * (self.inner.noise(z_t, t, mask, condition, previous) - astray)


def autoguided(
    model: LatentGenerativeModel,
    guidance: float,
    without: Sequence[int] = (),
    weak: LatentGenerativeModel | None = None,
) -> LatentGenerativeModel:
    """The same model, its score prior autoguided: every sampler of it is.

    It shares the weights of the model that is given, and is for sampling; its likelihoods are those of the guided
    prior. A generator that starts from the score prior's mean (:meth:`Generator.refine`) starts from the guided one.

    Args:
        model: with a score prior.
        guidance: w; 1.5 to 3 are usual.
        without: numbers of the blocks that the weak network lacks; the first ones tell most.
        weak: a weaker model of the same latents, instead of ``without``: smaller or trained less, on the same frozen
            autoencoder.

    Raises:
        ValueError: if a model has no score prior, or the two differ in latents or process, and as
            :class:`AutoguidedDenoiser`.
    """
    score = _score_prior(model, "model")
    other: Denoiser | None = None
    if weak is not None:
        found = _score_prior(weak, "weak")
        if found.latents != score.latents:
            raise ValueError(f"weak has latents {found.latents}, the model {score.latents}; give one of the same.")
        other = found.denoiser
    guided = ScorePrior(score.latents, AutoguidedDenoiser(score.denoiser, guidance, without, other))
    prior: Prior = guided
    if isinstance(model.prior, ScoreGANPrior):
        generator = model.prior.gan.generator
        twin = copy.copy(generator)  # shares every weight
        prior = ScoreGANPrior(guided, DenoisingGANPrior(score.latents, twin), refine=generator.refines)
    return LatentGenerativeModel(model.modality, model.autoencoder, prior).train(model.training)


def without_blocks(denoiser: Denoiser, without: Sequence[int]) -> Denoiser:
    """The denoiser without these blocks of its network; it shares the weights of the others.

    Raises:
        ValueError: if the network has no list of blocks, or not these, or no block would remain.
    """
    lists = [name for name, part in denoiser.network.named_modules() if name.rsplit(".")[-1] == "blocks"]
    if not lists:
        kind = type(denoiser.network).__name__
        raise ValueError(f"without is {list(without)} but a {kind} has no list of blocks; give a weak model instead.")
    path = f"network.{lists[0]}"
    blocks = denoiser.get_submodule(path)
    assert isinstance(blocks, nn.ModuleList)
    count = len(blocks)
    if not set(without) <= set(range(count)) or len(set(without)) == count:
        raise ValueError(f"without is {list(without)}; name some of the {count} blocks, 0 to {count - 1}, not all.")
    kept = nn.ModuleList(block for number, block in enumerate(blocks) if number not in without)
    found = _with_part(denoiser, path.split("."), kept)
    assert isinstance(found, Denoiser)
    return found


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
