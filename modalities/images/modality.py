"""The image modality: data, latents, autoencoder, figures and pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from latentgen.autoencoder import Autoencoder
from latentgen.class_names import PACKED, pack_names, unpack_names
from latentgen.export import away_from_data
from latentgen.latents import LatentSpec
from latentgen.metrics import BETTER, FeatureMap, NetworkFeatures
from latentgen.modality import Modality
from latentgen.tensors import Batch

from .classifier import ClassifierFeatures, load_classifier
from .dataset import REDRAWS, PixelData
from .features import LowResolutionFeatures, image_figures
from .hierarchical import HierarchicalAutoencoder
from .inception import InceptionFeatures
from .likelihood import WHITE
from .networks import LIKELIHOODS, ImageAutoencoder, LikelihoodName, PixelAutoencoder, halved
from .readers import ImageSet, read_images
from .state import check_state

LatentName = Literal["grid", "vector", "pixels"]
SMALLEST_GRID = 8
"""Grids are halved until their shorter side is at most this long."""


class Images(Modality):
    """Grey or colour images of one size. A batch has ``x``, uint8 [B, C, H, W].

    Args:
        data: "digits" (embedded), a path, ``hf:NAME``, paths of archives, or arrays (see
            ``modalities.images.readers.read_images``).
        size: height and width to cut and resize to; None keeps the images' own.
        pad: rows and columns of zeros put on every side.
        channels: 1 (grey) or 3 (colour) to convert to; None keeps the images' own.
        invert: whether dark and bright change places.
        limit: use at most this many training images, evenly spaced.
        likelihood: of pixels: "logistic_mixture", "bernoulli" (black and white), "normal" or "laplace".
        components: of the mixture.
        binarize: "dynamic" draws black and white pixels by their grey values, anew for 64 draws of each training image
            and once for each test image; None leaves them grey.
        condition: "label" trains class-conditional models, with a one-hot condition.
        layout: of the latent: "grid" (C', h, w), "vector" (d,), or "pixels", for models in pixel space: no autoencoder.
        latent: C' or d.
        halvings: how often the image's size is halved (rounding up) to h x w; None halves at least once and until the
            shorter side is at most 8.
        width: channels of the autoencoder at full size; they double with each halving, up to four times.
        depth: residual blocks of the autoencoder at each size below the full one.
        architecture: of the autoencoder: "small", or "nvae" for a hierarchical one (grids only).
        groups: of "nvae": latent groups at each scale from the smallest up; those of the first one, ``latent`` channels
            each, are what the prior models.
        spectral: of "nvae": weight of the convolutions' spectral norms and the norms' largest gains while training.
        features: a classifier's file (see ``modalities.images.classifier``), whose hidden layer is the feature map of
            all figures; None takes pixels averaged to 8 x 8.
        seed: of binarisation.
    """

    def __init__(
        self,
        data: Any = "digits",
        size: int | Sequence[int] | None = None,
        pad: int | Sequence[int] = 0,
        channels: int | None = None,
        invert: bool = False,
        limit: int | None = None,
        likelihood: LikelihoodName = "logistic_mixture",
        components: int = 5,
        binarize: Literal["dynamic"] | None = None,
        condition: Literal["label"] | None = None,
        layout: LatentName = "grid",
        latent: int = 8,
        halvings: int | None = None,
        width: int = 16,
        depth: int = 1,
        architecture: Literal["small", "nvae"] = "small",
        groups: Sequence[int] = (2,),
        spectral: float = 0.0,
        features: str | Path | None = None,
        seed: int = 0,
    ) -> None:
        _choose("likelihood", likelihood, LIKELIHOODS)
        _choose("binarize", binarize, ("dynamic", None))
        _choose("condition", condition, ("label", None))
        _choose("layout", layout, ("grid", "vector", "pixels"))
        _choose("architecture", architecture, ("small", "nvae"))
        if not isinstance(groups, Sequence) or isinstance(groups, str):
            raise ValueError(f"groups is {groups!r}; give the number at each scale, from the smallest up: (3, 2).")
        if architecture == "nvae" and (layout != "grid" or not groups):
            raise ValueError(f"architecture is 'nvae', layout {layout!r}, groups {groups}; choose a grid and groups.")
        if binarize and likelihood != "bernoulli" and layout != "pixels":
            raise ValueError(f"likelihood is {likelihood!r} for binarised images; choose bernoulli.")
        for name, value, least in (
            ("limit", limit, 1), ("components", components, 1), ("latent", latent, 1), ("halvings", halvings, 0),
            ("width", width, 1), ("depth", depth, 0),
        ):
            if value is not None and (not isinstance(value, Integral) or value < least):
                raise ValueError(f"{name} is {value!r}; give a whole number of at least {least}.")
        if spectral < 0:
            raise ValueError(f"spectral is {spectral}; give a weight of at least 0.")
        self.data, self.limit, self.seed = data, limit, seed
        self.reading: dict[str, Any] = {"size": size, "pad": pad, "channels": channels, "invert": invert}
        self.likelihood: LikelihoodName = likelihood
        self.components, self.binarize, self.condition = components, binarize, condition
        self.layout: LatentName = layout
        self.latent, self.halvings, self.width, self.depth = latent, halvings, width, depth
        self.architecture, self.groups, self.spectral = architecture, tuple(groups), spectral
        self.features = features
        self._state: dict[str, Tensor] = {}
        self._sets: dict[str, ImageSet] = {}

    def images(self, split: str) -> ImageSet:
        """The images of "train", "valid" or "test", as read."""
        if self.data is None:
            raise ValueError("data is None; a model loaded from a file has no data: build Images(data=...) for that.")
        if split not in self._sets:
            found = read_images(self.data, split, **self.reading)
            if split == "train" and self.limit is not None and self.limit < len(found):
                found = found.select(torch.linspace(0, len(found) - 1, self.limit).long())
            self._sets[split] = found
        return self._sets[split]

    def _learned(self) -> dict[str, Tensor]:
        """What is taken from the data: ``shape`` (C, H, W), ``classes`` (their number, 0 without labels), ``names``."""
        if not self._state:
            train = self.images("train")
            count = 0 if train.labels is None else max(int(train.labels.max()) + 1, len(train.classes))
            self._state = {"shape": torch.tensor(train.pixels.shape[1:]), "classes": torch.tensor([count])}
            if train.classes and len(train.classes) <= count:
                self._state[PACKED] = pack_names(train.classes)
        return self._state

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W."""
        channels, height, width = self._learned()["shape"].tolist()
        return channels, height, width

    @property
    def condition_dim(self) -> int:  # type: ignore[override]
        """Number of classes of class-conditional models, else 0."""
        if self.condition is None:
            return 0
        count = int(self._learned()["classes"])
        if count < 2:
            raise ValueError(f"condition is {self.condition!r} for images without classes; leave it out.")
        return count

    @property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the classes, where they are known; of a loaded model those that were stored with it."""
        try:
            return unpack_names(self._learned().get(PACKED))
        except (OSError, ValueError):  # no data
            return ()

    @property
    def depth_of_grid(self) -> int:
        """How often the image is halved."""
        if self.halvings is not None:
            return self.halvings
        size, count = self.shape[1:], 1
        while min(halved(size, count)[-1]) > SMALLEST_GRID:
            count += 1
        return count

    @property
    def latents(self) -> LatentSpec:
        """A grid, a vector, or the pixels themselves."""
        if self.layout == "vector":
            return LatentSpec((self.latent,))
        if self.layout == "pixels":
            return LatentSpec(self.shape, "grid")
        channels = self.latent * (self.groups[0] if self.architecture == "nvae" else 1)
        return LatentSpec((channels, *halved(self.shape[1:], self.depth_of_grid)[-1]), "grid")

    def state(self) -> dict[str, Tensor]:
        """``shape`` and ``classes``, and the classes' names, where they are known."""
        return dict(self._learned())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave.

        Raises:
            ValueError: if it is not whole, or not such a state; it is not taken from the data instead.
        """
        self._state = check_state(state, more=type(self).state is not Images.state)

    def dataset(self, split: str) -> PixelData:
        """Images of "train", "valid" or "test"."""
        redraws = REDRAWS if split == "train" else 1
        return PixelData(self.images(split), self.condition_dim, self.binarize is not None, redraws, self.seed)

    def autoencoder(self) -> Autoencoder:
        """Convolutions, or the identity for models in pixel space."""
        if self.layout == "pixels":
            return PixelAutoencoder()
        if self.architecture == "nvae":
            return HierarchicalAutoencoder(
                self.shape, self.latent, self.groups, self.depth_of_grid, self.width, self.depth, self.likelihood,
                self.components, self.binarize is not None, spectral=self.spectral,
            )
        return ImageAutoencoder(
            self.shape, self.latent, self.layout, self.depth_of_grid, self.width, self.depth, self.likelihood,
            self.components, self.binarize is not None,
        )

    @cached_property
    def _map(self) -> FeatureMap:
        return LowResolutionFeatures() if self.features is None else self._classifier_map(self.features)

    def _classifier_map(self, path: str | Path) -> FeatureMap:
        classifier = load_classifier(path)
        if self.shape[0] % classifier.channels:
            raise ValueError(
                f"features is a classifier of {classifier.channels} channels, and the images have {self.shape[0]}; "
                "train one on them."
            )
        return NetworkFeatures(ClassifierFeatures(classifier), classifier.label)

    def feature_map(self) -> FeatureMap:
        """The classifier's hidden layer, or pixels at low resolution."""
        return self._map

    def features_from(self, path: str | Path) -> FeatureMap:
        """A classifier that was trained on such images (safetensors), or Inception's weights (any other file)."""
        return self._classifier_map(path) if Path(path).suffix == ".safetensors" else InceptionFeatures(path)

    def use_features(self, features: FeatureMap) -> None:
        """Take this feature map in the place of its own."""
        self.__dict__["_map"] = features
        self.__dict__.pop("_known", None)

    @property
    def dimensions(self) -> int | None:
        """C H W; None where grey values count as shares of white draws, which is no likelihood of bytes."""
        return None if self._counts_shares else math.prod(self.shape)

    @property
    def _counts_shares(self) -> bool:
        """Whether the likelihood of black and white pixels is asked of images that have greys, or are not there."""
        if self.likelihood != "bernoulli" or self.binarize is not None or self.layout == "pixels":
            return False
        try:
            pixels = self.images("test").pixels
        except (OSError, ValueError):  # no data
            return True
        return bool(((pixels > 0) & (pixels < WHITE)).any())

    def evaluate(self, generated: Batch, reference: Batch, train: Batch) -> dict[str, float]:
        """Frechet distance, precision, recall and coverage on the feature map."""
        return image_figures(self._real_features(reference), self._map(generated).cpu())

    def _real_features(self, batch: Batch) -> Tensor:
        cache: dict[int, tuple[Tensor, Tensor]] = self.__dict__.setdefault("_known", {})
        key = id(batch["x"])
        if key not in cache:
            cache.clear()  # holds the batch, so that its id stays its own
            cache[key] = (batch["x"], self._map(batch).cpu())
        return cache[key][1]

    def better(self) -> dict[str, str]:
        """Distance: lower; shares: higher."""
        return {name: BETTER[name] for name in ("frechet", "precision", "recall", "coverage")}

    def notes(self) -> list[str]:
        """The feature map's name, and that a likelihood of black and white pixels is none of grey ones."""
        shares = "likelihood bernoulli counts a grey value as a share of white draws: no NELBO is one of bytes."
        return [f"figures on features: {self._map.name}.", *([shares] if self._counts_shares else [])]

    def render(self, batch: Batch, path: Path) -> None:
        """Draw the first 16 images."""
        from .render import draw_images

        draw_images(batch["x"], path)

    def export(self, batch: Batch, folder: Path) -> list[Path]:
        """A PNG for each image in ``images/``."""
        from .render import write_images

        return [write_images(batch["x"], away_from_data(folder / "images", self.data))]


def _choose(name: str, value: object, known: Sequence[object]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; choose {', '.join(map(str, known))}.")
