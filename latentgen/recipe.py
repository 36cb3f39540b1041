"""Recipes: the few lines that turn a modality into a model and its objectives."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from .architecture import Architecture
from .autoencoder import Autoencoder, StandardizedAutoencoder, channel_divergences
from .component import Component, require_kind
from .latents import LatentSpec
from .modality import Modality
from .model import LatentGenerativeModel
from .nn.spectral import checked_weights
from .objective import ELBO, JointELBO, Objective, Schedule, ScoreMatching
from .parameterisation import Parameterisation, make_denoiser
from .prior import NormalPrior, ScorePrior
from .process import VPSDE, Process
from .stream import batches
from .times import ImportanceTimes, TimeSampler
from .weighting import LogNormalWeighting, Weighting

CONDITION_DROPOUT = 0.1
"""Share of conditions left out in training, for classifier-free guidance (Ho and Salimans 2021)."""


@dataclass
class Prepared:
    """A model and the objectives that train it."""

    model: LatentGenerativeModel
    objectives: Sequence[Objective]


class Recipe(Component, ABC):
    """How a model is put together and trained."""

    @abstractmethod
    def prepare(self, modality: Modality) -> Prepared:
        """A new model for a modality, and its objectives."""


def standardized(autoencoder: Autoencoder, latents: LatentSpec, momentum: float = 0.0) -> StandardizedAutoencoder:
    """The autoencoder with standardised latents: running statistics, or to be measured by ``fit``."""
    return StandardizedAutoencoder(autoencoder, latents.channels, 1 if latents.layout == "grid" else -1, momentum)


def trained_autoencoder(given: str | Autoencoder) -> Autoencoder:
    """The autoencoder itself, or that of the model at a path, without the wrapper that standardises latents."""
    found = LatentGenerativeModel.from_pretrained(given).autoencoder if isinstance(given, str) else given
    return found.autoencoder if isinstance(found, StandardizedAutoencoder) else found


def trained_prior(given: str | ScorePrior, latents: LatentSpec) -> ScorePrior:
    """The score prior itself, or that of the model at a path.

    Raises:
        ValueError: if the model has none, or one of other latents.
    """
    found = LatentGenerativeModel.from_pretrained(given).prior.score_prior if isinstance(given, str) else given
    if found is None:
        raise ValueError(f"prior is {given!r}, a model without a score prior; give one of LSGM or LatentDiffusion.")
    if found.latents != latents:
        raise ValueError(f"prior is of latents {found.latents}, but the modality's are {latents}; give one of those.")
    return found


class VAE(Recipe):
    """An autoencoder with a standard normal prior.

    Args:
        kl_weight: beta, or a schedule of it.
        autoencoder: a trained one whose weights are where training starts, or the path of a model that holds it; all
            else is as the modality says, such as what its encoder sees in training.

    Raises:
        ValueError: in ``prepare``, if its weights do not fit the modality's autoencoder.
    """

    def __init__(self, kl_weight: float | Schedule = 1.0, autoencoder: str | Autoencoder | None = None) -> None:
        self.kl_weight, self.autoencoder = kl_weight, autoencoder

    def prepare(self, modality: Modality) -> Prepared:
        """``ELBO`` alone."""
        autoencoder, prior = modality.autoencoder(), NormalPrior(modality.latents)
        if self.autoencoder is not None:
            given = trained_autoencoder(self.autoencoder).state_dict()
            own = autoencoder.state_dict()
            if {name: value.shape for name, value in given.items()} != {n: value.shape for n, value in own.items()}:
                raise ValueError(
                    "autoencoder has other weights than the modality's own; build the modality with the sizes that it "
                    "was trained with."
                )
            autoencoder.load_state_dict(given)
        model = LatentGenerativeModel(modality, autoencoder, prior)
        return Prepared(model, [ELBO(autoencoder, prior, self.kl_weight)])


class LSGM(Recipe):
    """Autoencoder and score prior trained end to end (``JointELBO``).

    Args:
        process: the forward process; a linear VP process unless given.
        kl_weight: beta, or a schedule of it; the knob between faithful reconstruction and few-call sampling.
        weighting: of the prior's error.
        times: proposal of t; importance-sampled for the weighting unless given.
        prior_times: a separate proposal for the prior (disjoint mode).
        parameterisation: of the denoiser.
        width: of the transformer.
        depth: of the transformer.
        heads: of the transformer.
        expansion: of the transformer.
        self_condition: whether the network takes its own earlier prediction of z_0.
        momentum: of the running statistics that standardise the latents; 0 leaves their scale free.
        network: another architecture in the place of the transformer.
        autoencoder: a trained one to start from, or the path of a model that holds it, with its own settings; None
            starts from scratch.
        prior: a score prior to start from, or the path of a model that holds it, which learned the latents of
            ``autoencoder`` (``LatentDiffusion``). Most of the time then goes into steps that are cheap, as the
            autoencoder stands still, and end-to-end training is the last stage. Process, parameterisation and sizes are
            that prior's own.
        initial_logit: start of the mixing logits of the parameterisation "mixed"; -3 and -6 are the published ones.
        spectral: weight of the spectral norms of the prior's convolutions, or of a transformer's linear layers; 0 is
            without.
        gains: weight of the largest gains of its norms; as ``spectral`` unless given.
        drop_inactive: nats an example, .1 is published: channels whose divergence from N(0, I) is at most that in
            ``autoencoder``, trained by :class:`VAE`, keep that normal prior and are hidden from a "mixed" network. From
            scratch, and at 0, none is.

    Raises:
        ValueError: if ``prior`` is given without ``autoencoder``, a weight is negative, channels are dropped from
            another parameterisation, or all of them are.
    """

    def __init__(
        self,
        process: Process | None = None,
        kl_weight: float | Schedule | None = None,
        weighting: Weighting | None = None,
        times: TimeSampler | None = None,
        prior_times: TimeSampler | None = None,
        parameterisation: Parameterisation = "velocity",
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        expansion: int = 2,
        self_condition: bool = False,
        momentum: float = 0.01,
        network: Architecture | None = None,
        autoencoder: str | Autoencoder | None = None,
        prior: str | ScorePrior | None = None,
        initial_logit: float = -3.0,
        spectral: float = 0.0,
        gains: float | None = None,
        drop_inactive: float = 0.0,
    ) -> None:
        checked_weights(spectral, gains)
        if not 0 <= drop_inactive < math.inf:
            raise ValueError(f"drop_inactive is {drop_inactive}; give nats of at least 0, 0 keeps every channel.")
        if drop_inactive and (parameterisation != "mixed" or prior is not None):
            raise ValueError(
                f"drop_inactive is {drop_inactive} for parameterisation {parameterisation!r} and prior {prior!r}; it "
                "needs 'mixed' and a new prior, give 0."
            )
        self.spectral, self.gains, self.drop_inactive = spectral, gains, drop_inactive
        if prior is not None and autoencoder is None:
            raise ValueError("prior is given without autoencoder; give the one whose latents it learned as well.")
        for name, value, kind in (
            ("process", process, Process), ("weighting", weighting, Weighting), ("times", times, TimeSampler),
            ("prior_times", prior_times, TimeSampler), ("network", network, Architecture),
        ):
            require_kind(name, value, kind)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}; give the share of a batch in running statistics, in [0, 1).")
        self.self_condition, self.momentum, self.network = self_condition, momentum, network
        self.autoencoder, self.prior, self.initial_logit = autoencoder, prior, initial_logit
        self.process = process if process is not None else VPSDE()
        self.kl_weight = kl_weight if kl_weight is not None else Schedule(1e-3, 1.0)
        self.weighting = weighting if weighting is not None else LogNormalWeighting()
        self.times, self.prior_times = times if times is not None else ImportanceTimes(self.weighting), prior_times
        self.parameterisation: Parameterisation = parameterisation
        self.width, self.depth, self.heads, self.expansion = width, depth, heads, expansion

    def prepare(self, modality: Modality) -> Prepared:
        """``JointELBO`` alone."""
        autoencoder = modality.autoencoder() if self.autoencoder is None else trained_autoencoder(self.autoencoder)
        active = self._active(modality, autoencoder)
        if self.momentum > 0:
            scaled = standardized(autoencoder, modality.latents, self.momentum)
            if self.autoencoder is not None:  # its latents have a scale already, which the prior should not see change
                scaled.fit(batches(modality, modality.dataset("train"), limit=4096))
            autoencoder = scaled
        prior = self._prior(modality, active) if self.prior is None else trained_prior(self.prior, modality.latents)
        objective = JointELBO(
            autoencoder, prior, self.weighting, self.times, self.kl_weight, prior_times=self.prior_times,
            spectral=self.spectral, gains=self.gains,
        )
        return Prepared(LatentGenerativeModel(modality, autoencoder, prior), [objective])

    def _active(self, modality: Modality, autoencoder: Autoencoder) -> Tensor | None:
        """Which channels the prior learns, bool [C]; None is all."""
        if not self.drop_inactive or self.autoencoder is None:
            return None
        data = batches(modality, modality.dataset("train"), limit=1024)
        found = channel_divergences(autoencoder, data, 1 if modality.latents.layout == "grid" else -1)
        if not (found > self.drop_inactive).any():
            raise ValueError(
                f"drop_inactive is {self.drop_inactive}, and no channel of autoencoder holds more, at most "
                f"{float(found.max()):.2g} nats; give less, or train the autoencoder with a smaller kl_weight."
            )
        return found > self.drop_inactive

    def _prior(self, modality: Modality, active: Tensor | None) -> ScorePrior:
        """A new one."""
        denoiser = make_denoiser(
            modality.latents,
            self.process,
            self.parameterisation,
            self.width,
            self.depth,
            self.heads,
            modality.condition_dim,
            self.expansion,
            self.self_condition,
            self.network,
            self.initial_logit,
            active,
        )
        return ScorePrior(modality.latents, denoiser, CONDITION_DROPOUT if modality.condition_dim else 0.0)


class LatentDiffusion(Recipe):
    """A score prior on the standardised latents of a frozen, trained autoencoder.

    Args:
        autoencoder: a trained one, or the path of a model that holds it (any recipe's run or export).
        process: the forward process; a linear VP process unless given.
        weighting: of the error.
        times: proposal of t; importance-sampled for the weighting unless given.
        parameterisation: of the denoiser.
        width: of the transformer.
        depth: of the transformer.
        heads: of the transformer.
        expansion: of the transformer.
        self_condition: whether the network takes its own earlier prediction of z_0.
        network: another architecture in the place of the transformer.
    """

    def __init__(
        self,
        autoencoder: str | Autoencoder,
        process: Process | None = None,
        weighting: Weighting | None = None,
        times: TimeSampler | None = None,
        parameterisation: Parameterisation = "velocity",
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        expansion: int = 2,
        self_condition: bool = False,
        network: Architecture | None = None,
    ) -> None:
        self.self_condition, self.network = self_condition, network
        self.autoencoder, self.process = autoencoder, process if process is not None else VPSDE()
        self.weighting = weighting if weighting is not None else LogNormalWeighting()
        self.times = times if times is not None else ImportanceTimes(self.weighting)
        self.parameterisation: Parameterisation = parameterisation
        self.width, self.depth, self.heads, self.expansion = width, depth, heads, expansion

    def prepare(self, modality: Modality) -> Prepared:
        """Measure the latents, then ``ScoreMatching``."""
        inner, latents = trained_autoencoder(self.autoencoder), modality.latents
        frozen = standardized(inner, latents)
        frozen.fit(batches(modality, modality.dataset("train"), limit=4096))
        denoiser = make_denoiser(
            latents,
            self.process,
            self.parameterisation,
            self.width,
            self.depth,
            self.heads,
            modality.condition_dim,
            self.expansion,
            self.self_condition,
            self.network,
        )
        prior = ScorePrior(latents, denoiser, CONDITION_DROPOUT if modality.condition_dim else 0.0)
        objective = ScoreMatching(frozen, prior, self.weighting, self.times)
        return Prepared(LatentGenerativeModel(modality, frozen, prior), [objective])
