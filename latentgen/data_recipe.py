"""Recipes without an autoencoder: diffusion models of the data themselves, the baselines of latent ones."""

from __future__ import annotations

from .architecture import Architecture
from .autoencoder import Autoencoder, IdentityAutoencoder
from .modality import Modality
from .model import LatentGenerativeModel
from .objective import ScoreMatching
from .parameterisation import Parameterisation, make_denoiser
from .prior import ScorePrior
from .process import VPSDE, Process
from .recipe import CONDITION_DROPOUT, Prepared, Recipe, standardized
from .stream import batches
from .times import TimeSampler, UniformTimes
from .weighting import UnweightedWeighting, Weighting


class DataDiffusion(Recipe):
    r"""A score prior in data space: DDPM (Ho et al. 2020) and score SDEs (Song et al. 2021).

    As it stands, the loss is DDPM's: ||eps - eps_hat||^2 at uniform t under the linear VP process, whose 1,000-step
    discretisation has betas from 1e-4 to 0.02. The sampler makes the method: ``Ancestral(1000, spacing="time")`` is
    DDPM's (both variances), ``DDIM(50, spacing="time")`` DDIM's, ``PredictorCorrector`` and ``ProbabilityFlow`` those
    of score SDEs. The modality's autoencoder must be the identity, such as that of images with ``layout="pixels"``.

    Args:
        process: the forward process; a linear VP process unless given.
        weighting: of the error; unweighted unless given.
        times: proposal of t; uniform unless given.
        parameterisation: of the denoiser.
        network: architecture; the shared transformer unless given.
        standardize: shift and scale the data, channel by channel, to zero mean and unit variance.
    """

    def __init__(
        self,
        process: Process | None = None,
        weighting: Weighting | None = None,
        times: TimeSampler | None = None,
        parameterisation: Parameterisation = "noise",
        network: Architecture | None = None,
        standardize: bool = True,
    ) -> None:
        self.process = process if process is not None else VPSDE()
        self.weighting = weighting if weighting is not None else UnweightedWeighting()
        self.times = times if times is not None else UniformTimes()
        self.parameterisation: Parameterisation = parameterisation
        self.network, self.standardize = network, standardize

    def prepare(self, modality: Modality) -> Prepared:
        """``ScoreMatching`` alone.

        Raises:
            ValueError: if the modality has an autoencoder that is not the identity.
        """
        autoencoder: Autoencoder = modality.autoencoder()
        if not isinstance(autoencoder, IdentityAutoencoder):
            raise ValueError(
                f"the modality's autoencoder is {type(autoencoder).__name__}; a model of the data takes the "
                'IdentityAutoencoder(), which images have with layout="pixels" and a modality of your own returns.'
            )
        latents, condition_dim = modality.latents, modality.condition_dim
        if self.standardize:
            scaled = standardized(autoencoder, latents)
            scaled.fit(batches(modality, modality.dataset("train"), limit=4096))
            autoencoder = scaled
        denoiser = make_denoiser(
            latents, self.process, self.parameterisation, condition_dim=condition_dim, network=self.network
        )
        prior = ScorePrior(latents, denoiser, CONDITION_DROPOUT if condition_dim else 0.0)
        objective = ScoreMatching(autoencoder, prior, self.weighting, self.times)
        return Prepared(LatentGenerativeModel(modality, autoencoder, prior), [objective])
