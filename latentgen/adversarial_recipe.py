"""Recipes with a generator: the denoising diffusion GAN, alone and beside a score prior on the same latents."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from .adversarial import Discriminate, Generate
from .architecture import Architecture, TransformerArchitecture, VectorArchitecture
from .autoencoder import Autoencoder, IdentityAutoencoder
from .chain import Chain
from .component import require_kind
from .gan_prior import DenoisingGANPrior, ScoreGANPrior
from .generator import Generator
from .latents import LatentSpec
from .modality import Modality
from .model import LatentGenerativeModel
from .nn.augment import GridAugmentation
from .nn.augmented_discriminator import AdaptiveProbability, AugmentedDiscriminator
from .nn.discriminator import GridDiscriminator, TokenDiscriminator
from .nn.vector import VectorDiscriminator
from .objective import JointELBO, Schedule, ScoreMatching
from .prior import ScorePrior
from .process import VPSDE, Process
from .recipe import CONDITION_DROPOUT, LSGM, LatentDiffusion, Prepared, Recipe, standardized, trained_autoencoder
from .stream import batches

REFINED: dict[str, Any] = {
    "levels": (3.8, -0.5),
    "width": 96,
    "depth": 3,
    "discriminator_depth": 2,
    "regression": 10.0,
}
"""Options of a generator that corrects a score prior's mean: small networks, a mean that is held on to."""


def make_generator(
    latents: LatentSpec,
    chain: Chain,
    width: int = 128,
    depth: int = 4,
    heads: int = 4,
    condition_dim: int = 0,
    expansion: int = 2,
    noise_dim: int = 64,
    gate: float = 1.0,
    network: Architecture | None = None,
) -> Generator:
    """The generator that fits a latent: a residual MLP for vectors, the shared transformer for everything else.

    Arguments as in :func:`latentgen.parameterisation.make_denoiser`; ``noise_dim`` and ``gate`` as in
    :class:`Generator`.
    """
    vector = latents.layout == "vector"
    if network is None:
        network = VectorArchitecture(width, depth) if vector else TransformerArchitecture(
            width, depth, heads, expansion
        )
    style_dim = min(width, noise_dim) if vector else width
    built = network.network(latents, condition_dim, self_condition=True, style_dim=style_dim)
    return Generator(built, chain, noise_dim, gate=gate, latents=latents)


def make_discriminator(
    latents: LatentSpec, width: int = 128, depth: int = 3, condition_dim: int = 0, minibatch_std: int = 0
) -> nn.Module:
    """The discriminator that fits a latent: convolutions for a grid, an MLP for a vector, else a transformer.

    Arguments as in :class:`DDGAN`.

    Raises:
        ValueError: if minibatch statistics are asked for where the latent is no grid.
    """
    if minibatch_std and latents.layout != "grid":
        raise ValueError(f"minibatch_std is {minibatch_std} for layout {latents.layout!r}; only grids have it, give 0.")
    if latents.layout == "vector":
        return VectorDiscriminator(latents, width, depth, condition_dim)
    if latents.layout == "grid":
        return GridDiscriminator(latents, width // 2, depth, condition_dim=condition_dim, group=minibatch_std)
    return TokenDiscriminator(latents, width, depth, condition_dim=condition_dim)


class DDGAN(Recipe):
    """A denoising diffusion GAN on latents, ``[Discriminate, Generate]``: T calls a sample, no likelihood.

    Encoder and decoder are trained with it, unless the modality's autoencoder is the identity or ``autoencoder`` names
    a trained one, which then stays frozen.

    Args:
        steps: T; 1 is a one-shot GAN.
        autoencoder: a trained one to freeze, or the path of a model that holds it; None trains the modality's own.
        process: the forward process; a linear VP process unless given.
        spacing: of the chain's times, "log_snr" or "time" (the published one), see :class:`Chain`.
        levels: log-SNRs of t_1 and t_{T-1} for spacing "log_snr". They belong where latents take their shape: at noise
            between the distance of modes and the width of one.
        times: t_1 < ... < t_T = 1 themselves.
        kl_weight: beta of the end-to-end loss, or a schedule of it.
        adversarial_weight: weight of the adversarial signal in the encoder's loss.
        r1: gamma of the gradient penalty.
        r1_interval: steps between penalties.
        width: of generator and discriminator.
        depth: of the generator.
        heads: of the generator.
        expansion: of the generator.
        noise_dim: size of the generator's noise vector.
        discriminator_depth: of the discriminator.
        momentum: of the running statistics that standardise trained latents.
        regression: weight of the generator's squared error beside its adversarial loss.
        posterior_noise: share of the posterior's noise in the latents that the generator learns, where the autoencoder
            is not trained with it.
        matching: chains on which the moments are measured after training, see :class:`Generate`.
        network: another architecture of the generator, such as ``UNetArchitecture``.
        minibatch_std: samples whose standard deviation the discriminator of a grid sees (4 is usual for a one-shot
            GAN); 0 is without.
        augmentation: transforms of what the discriminator of a grid sees (Karras et al. 2020); None is without.
        control: what moves their probability; as published unless given. A short training needs one that gets from 0
            to 1 in fewer ``images``.
        condition_dropout: share of conditions that both players are not told (rows of NaN), where there are conditions;
            samples without a condition need it. 0 is without.
    """

    def __init__(
        self,
        steps: int = 4,
        autoencoder: str | Autoencoder | None = None,
        process: Process | None = None,
        spacing: Literal["time", "log_snr"] = "log_snr",
        levels: tuple[float, float] = (3.8, -0.5),
        times: Sequence[float] | None = None,
        kl_weight: float | Schedule | None = None,
        adversarial_weight: float = 1.0,
        r1: float = 0.05,
        r1_interval: int = 4,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        expansion: int = 2,
        noise_dim: int = 64,
        discriminator_depth: int = 3,
        momentum: float = 0.01,
        posterior_noise: float = 1.0,
        regression: float = 0.0,
        matching: int = 2048,
        network: Architecture | None = None,
        minibatch_std: int = 0,
        augmentation: GridAugmentation | None = None,
        control: AdaptiveProbability | None = None,
        condition_dropout: float = CONDITION_DROPOUT,
    ) -> None:
        if not 0 <= condition_dropout < 1:
            raise ValueError(f"condition_dropout is {condition_dropout}; give a share in [0, 1).")
        self.augmentation, self.control, self.condition_dropout = augmentation, control, condition_dropout
        self.posterior_noise, self.regression, self.matching = posterior_noise, regression, matching
        self.network, self.minibatch_std = network, minibatch_std
        process = process if process is not None else VPSDE()
        self.chain = Chain(process, steps, spacing=spacing, levels=levels, times=times)
        self.autoencoder, self.momentum = autoencoder, momentum
        self.kl_weight = kl_weight if kl_weight is not None else Schedule(1e-3, 1.0)
        self.adversarial_weight, self.r1, self.r1_interval = adversarial_weight, r1, r1_interval
        self.width, self.depth, self.heads, self.expansion = width, depth, heads, expansion
        self.noise_dim, self.discriminator_depth = noise_dim, discriminator_depth

    def prepare(self, modality: Modality) -> Prepared:
        """The discriminator's update, then the generator's."""
        autoencoder, trained = self._autoencoder(modality)
        latents, condition_dim = modality.latents, modality.condition_dim
        prior, discriminator = self.players(latents, condition_dim)
        noise = 1.0 if trained else self.posterior_noise
        objectives = [
            Discriminate(autoencoder, prior, discriminator, self.r1, self.r1_interval, noise),
            Generate(
                autoencoder,
                prior,
                discriminator,
                trained,
                self.kl_weight,
                self.adversarial_weight,
                noise,
                self.regression,
                self.matching,
            ),
        ]
        return Prepared(LatentGenerativeModel(modality, autoencoder, prior), objectives)

    def players(
        self, latents: LatentSpec, condition_dim: int, gate: float = 1.0
    ) -> tuple[DenoisingGANPrior, nn.Module]:
        """A new prior with its generator, whose noise starts at ``gate``, and a new discriminator."""
        if self.augmentation is not None:
            self.augmentation.check_shape(latents.shape)
        generator = make_generator(
            latents, self.chain, self.width, self.depth, self.heads, condition_dim, self.expansion, self.noise_dim,
            gate, self.network,
        )
        discriminator = make_discriminator(
            latents, self.width, self.discriminator_depth, condition_dim, self.minibatch_std
        )
        if self.augmentation is not None:
            control = copy.deepcopy(self.control) if self.control is not None else AdaptiveProbability()
            discriminator = AugmentedDiscriminator(discriminator, copy.deepcopy(self.augmentation), control)
        prior = DenoisingGANPrior(latents, generator, self.condition_dropout if condition_dim else 0.0)
        return prior, discriminator

    def _autoencoder(self, modality: Modality) -> tuple[Autoencoder, bool]:
        """The autoencoder and whether it is trained."""
        if self.autoencoder is None:
            own = modality.autoencoder()
            if isinstance(own, IdentityAutoencoder):
                return own, False
            return standardized(own, modality.latents, self.momentum), True
        fixed = standardized(trained_autoencoder(self.autoencoder), modality.latents)
        fixed.fit(batches(modality, modality.dataset("train"), limit=4096))
        return fixed.requires_grad_(False), False


class JointDDGAN(Recipe):
    """LSGM and a denoising diffusion GAN on the same latents, ``[JointELBO, Discriminate, Generate]``.

    The score prior shapes the latents and gives likelihoods and every sampler; the generator learns the same latents
    and samples them in T calls (``sampler="gan"``). On a frozen autoencoder (``LatentDiffusion``) the first objective
    is ``ScoreMatching``.

    Args:
        lsgm: the recipe of autoencoder and score prior, or of a score prior on a frozen autoencoder.
        gan: the recipe of generator and discriminator; its process is its own, its autoencoder is the LSGM's.
        refine: whether the generator starts from the score prior's E[z_0 | z_t] and corrects it.
        gate: the generator's initial share of noise, see :class:`Generator`.
        begins: share of training before which there is LSGM alone. A game on latents that still move, against a score
            prior that is still poor, leaves the generator worse than where it started.

    Raises:
        ValueError: if ``begins`` is not in [0, 1).
    """

    def __init__(
        self,
        lsgm: LSGM | LatentDiffusion | None = None,
        gan: DDGAN | None = None,
        refine: bool = True,
        gate: float = 0.4,
        begins: float = 0.7,
    ) -> None:
        if not 0 <= begins < 1:
            raise ValueError(f"begins is {begins}; give the share of training at which the game begins, in [0, 1).")
        require_kind("gan", gan, DDGAN)
        if not isinstance(lsgm, LSGM | LatentDiffusion | None):
            raise TypeError(f"lsgm is a {type(lsgm).__name__}; give an LSGM or a LatentDiffusion.")
        self.refine, self.gate, self.begins = refine, gate, begins
        self.lsgm, self.gan = lsgm if lsgm is not None else LSGM(), gan if gan is not None else DDGAN(**REFINED)

    def prepare(self, modality: Modality) -> Prepared:
        """The score prior's update, then the discriminator's, then the generator's."""
        first = self.lsgm.prepare(modality)
        (joint,) = first.objectives
        assert isinstance(joint, JointELBO | ScoreMatching)
        score, gan = joint.prior, self.gan
        assert isinstance(score, ScorePrior)
        latents, condition_dim = modality.latents, modality.condition_dim
        prior, discriminator = gan.players(latents, condition_dim, self.gate if self.refine else 1.0)
        autoencoder = joint.autoencoder
        discriminate = Discriminate(autoencoder, prior, discriminator, gan.r1, gan.r1_interval, gan.posterior_noise)
        generate = Generate(
            autoencoder, prior, discriminator, posterior_noise=gan.posterior_noise, regression=gan.regression,
            matching=gan.matching,
        )
        discriminate.begins = generate.begins = self.begins
        both = ScoreGANPrior(score, prior, self.refine)
        return Prepared(LatentGenerativeModel(modality, autoencoder, both), [joint, discriminate, generate])
