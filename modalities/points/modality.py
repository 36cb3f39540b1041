"""The modality of shapes: sets of points, two autoencoders, the published protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from latentgen.autoencoder import Autoencoder
from latentgen.class_names import PACKED, pack_names, unpack_names
from latentgen.export import away_from_data
from latentgen.latents import LatentSpec
from latentgen.metrics import FeatureMap
from latentgen.modality import Modality
from latentgen.tensors import Batch

from .dataset import REDRAWS, PointData, masks
from .features import ShapeFeatures
from .figures import BETTER, PointSets, points_figures
from .hierarchical import LatentPointAutoencoder
from .networks import TokenAutoencoder
from .normalisation import Normalisation, NormalisationName
from .procedural import KINDS, shapes
from .readers.shape import FeatureName
from .shape_set import ShapeSet
from .state import check_state

AutoencoderName = Literal["tokens", "points"]


class Points(Modality):
    """Shapes as sets of points. A batch has ``x`` [B, N, 3 + F], normalised, and ``mask`` [B, N].

    Args:
        data: "furniture" (embedded: procedural chairs, tables and lamps), a path, or arrays (see
            ``modalities.points.readers``).
        kinds: of "furniture".
        points: points of a set, drawn anew at every visit in training; smaller clouds give all of theirs.
        least: if given, sizes of sets are drawn uniformly from ``least`` to ``points``.
        features: numbers beside the coordinates to read of files: "normals", "colours", "columns".
        normalisation: "dataset", "sphere", "box" or "none".
        condition: "label" trains a class-conditional model.
        train_size: shapes that "furniture" draws for training.
        test_size: shapes that "furniture" draws for testing.
        encoder: "tokens" (a fixed number of latent tokens, decoded to any number of points) or "points" (global tokens
            and a latent for every point).
        tokens: K, latent tokens of "tokens", global ones of "points".
        latent: size of a latent token.
        width: of the autoencoder.
        depth: of the autoencoder.
        heads: attention heads of the autoencoder.
        components: components that a token places, of "tokens".
        noise: s of the likelihood of "tokens", units of the normalised data.

    Raises:
        ValueError: if an argument is not one of its values.
    """

    def __init__(
        self,
        data: Any = "furniture",
        kinds: Sequence[str] = KINDS,
        points: int = 512,
        least: int | None = None,
        features: Sequence[FeatureName] = (),
        normalisation: NormalisationName = "dataset",
        condition: str | None = None,
        train_size: int = 2000,
        test_size: int = 256,
        encoder: AutoencoderName = "tokens",
        tokens: int = 32,
        latent: int = 8,
        width: int = 96,
        depth: int = 2,
        heads: int = 4,
        components: int = 8,
        noise: float = 0.02,
    ) -> None:
        if encoder not in ("tokens", "points"):
            raise ValueError(f"encoder is {encoder!r}; choose tokens or points.")
        if condition not in (None, "label"):
            raise ValueError(f"condition is {condition!r}; choose label, or leave it out.")
        self.data, self.kinds, self.points, self.least = data, tuple(kinds), points, least
        self.features, self.condition = tuple(features), condition
        self.train_size, self.test_size = train_size, test_size
        self.encoder: AutoencoderName = encoder
        self.tokens, self.latent, self.width, self.depth, self.heads = tokens, latent, width, depth, heads
        self.components, self.noise = components, noise
        self.normalisation = Normalisation(normalisation)
        self._state: dict[str, Tensor] = {}
        self._shapes: dict[str, ShapeSet] = {}

    def shapes(self, split: str) -> ShapeSet:
        """What points of "train", "valid" or "test" are drawn from."""
        if self.data is None:
            raise ValueError("data is None; a model loaded from a file has no data: build Points(data=...) for that.")
        if split not in self._shapes:
            if isinstance(self.data, str) and self.data == "furniture":
                size, seed = (self.train_size, 0) if split == "train" else (self.test_size, 1 if split == "test" else 2)
                self._shapes[split] = shapes(size, seed, self.kinds)
            else:
                from .readers import read_shapes

                self._shapes[split] = read_shapes(self.data, split, self.features)
        return self._shapes[split]

    def _learned(self) -> dict[str, Tensor]:
        """Normalisation, sizes of sets, numbers of features and of classes and their names, of the training shapes."""
        if not self._state:
            found = self.shapes("train")
            self.normalisation.fit(found.shapes.bounds())
            data = PointData(found, self.normalisation, self.points, self.least)
            self._state = {
                **self.normalisation.state(),
                "sizes": data.size_shares(),
                "features": torch.tensor(found.shapes.channels - 3),
                "classes": torch.tensor(len(found.names)),
            }
            if found.names:
                self._state[PACKED] = pack_names(found.names)
        return self._state

    def state(self) -> dict[str, Tensor]:
        """Normalisation, sizes of sets, numbers of features and of classes, and the classes' names."""
        return dict(self._learned())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave.

        Raises:
            ValueError: if it is not whole, or not such a state; it is not taken from the data instead.
        """
        self._state = check_state(state, more=type(self).state is not Points.state)
        self.normalisation.load_state(self._state)

    @property
    def condition_dim(self) -> int:  # type: ignore[override]
        """Number of classes of a class-conditional model, else 0.

        Raises:
            ValueError: if the model is to be class-conditional, and the data know no classes.
        """
        count = int(self._learned()["classes"]) if self.condition else 0
        if self.condition and not count:
            raise ValueError(f"condition is {self.condition!r}, and the data have no classes; leave it out.")
        return count

    @property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the classes, where they are known; of a loaded model those that were stored with it."""
        try:
            return unpack_names(self._learned().get(PACKED))
        except (OSError, ValueError):  # no data
            return ()

    def dataset(self, split: str) -> PointData:
        """Sets of points of "train" (drawn anew), "valid" or "test" (always the same)."""
        self._learned()
        return PointData(
            self.shapes(split), self.normalisation, self.points, self.least, REDRAWS if split == "train" else 1,
            self.condition_dim, seed=0 if split == "train" else 1,
        )

    @property
    def latents(self) -> LatentSpec:
        """A sequence of K tokens, or a set of K global tokens and one for every point."""
        if self.encoder == "tokens":
            return LatentSpec((self.tokens, self.latent), "sequence")
        return LatentSpec((self.tokens + self.points, self.latent), "set", masked=True)

    def autoencoder(self) -> Autoencoder:
        """The autoencoder that ``encoder`` names."""
        extra = int(self._learned()["features"])
        if self.encoder == "points":
            return LatentPointAutoencoder(
                self.points, extra, self.tokens, self.latent, self.width, self.depth, self.heads
            )
        return TokenAutoencoder(
            self.points, extra, self.tokens, self.latent, self.width, self.depth, self.heads, self.components,
            self.noise,
        )

    def sample_mask(self, u: Tensor) -> Tensor | None:
        """Global tokens, and points by the inverse distribution function of the training sets' sizes."""
        if self.encoder == "tokens":
            return None
        found = masks(u, self._learned()["sizes"])
        return torch.cat([found.new_ones(len(u), self.tokens), found], dim=1)

    def clouds(self, batch: Batch) -> PointSets:
        """Points in the data's own units, as far as they have some."""
        return PointSets(self.normalisation.restore(batch["x"].cpu()), batch["mask"].cpu())

    def evaluate(self, generated: Batch, reference: Batch, train: Batch) -> dict[str, float]:
        """The published protocol, see :func:`points_figures`; Earth mover's distances on a stated subset."""
        return points_figures(self.clouds(generated), self.clouds(reference), self.clouds(train))

    def better(self) -> dict[str, str]:
        """As for points."""
        return dict(BETTER)

    def feature_map(self) -> FeatureMap:
        """Distances of pairs of points and moments of coordinates."""
        return ShapeFeatures()

    def axes(self) -> dict[str, str]:
        """Quality: the 1-nearest-neighbour accuracy; coverage: that by the Chamfer distance."""
        return {"quality": "nna_cd", "coverage": "cov_cd"}

    @property
    def dimensions(self) -> int:
        """Numbers of a set of ``points`` points."""
        return self.points * (3 + int(self._learned()["features"]))

    def render(self, batch: Batch, path: Path) -> None:
        """Shapes from two views."""
        from .render import draw_batch

        draw_batch(batch["x"].cpu(), batch["mask"].cpu(), path)

    def export(self, batch: Batch, folder: Path) -> list[Path]:
        """A .ply file for each shape in ``shapes/``."""
        from .export import write_batch

        cloud, written = self.clouds(batch), away_from_data(folder / "shapes", self.data)
        write_batch(cloud.x, cloud.mask, written, self.features)
        return [written]
