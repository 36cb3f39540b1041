"""The graph modality: data, sizes, autoencoder, figures and pictures of graphs and molecules."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch_geometric.data import Data

from latentgen.autoencoder import Autoencoder
from latentgen.class_names import PACKED, pack_names, unpack_names
from latentgen.export import away_from_data
from latentgen.latents import LatentSpec
from latentgen.metrics import FeatureMap
from latentgen.modality import Modality
from latentgen.tensors import Batch

from .classes import class_names, mask_by_class, one_hot_classes, sizes_by_class
from .dense import DenseGraphs, from_batch
from .features import RandomGINFeatures
from .generators import GENERATORS
from .mmd import graph_mmd
from .networks import GraphAutoencoder
from .readers import GraphCollection, read_collection
from .state import CLASS_SIZES, LABELS, STATE, Labels, check_state, pack_labels, unpack_labels
from .statistics import GraphStatistics
from .validity import vun

Protocol = Literal["gdss", "spectre", "molecules"]


class Graphs(Modality):
    """Undirected graphs with kinds of nodes and of edges; a plain graph has one kind of each.

    Args:
        data: the name of a generator ("communities", "planar", "trees", "sbm", "grids": fresh graphs, no file), a
            path (see ``modalities.graphs.readers.read_collection``), a list of networkx or PyG graphs, or a mapping
            from "train", "valid" and "test" to such lists.
        protocol: which figures :meth:`evaluate` gives: "gdss" or "spectre" kernels, or "molecules".
        valid: the rule by which a graph counts as valid: connected, planar, tree, sbm_lite or community.
        atoms: for molecules, the elements by node type; found in the data when left out.
        latent: size d of a node's latent.
        width: width of the autoencoder.
        encoder_depth: encoder layers.
        decoder_depth: decoder blocks.
        train_size: number of training graphs of a generator.
        test_size: number of test graphs of a generator.
        seed: of a generator.
        max_nodes: largest graph; found in the data when left out.
        options: further arguments of a generator, such as ``{"nodes": 20}``.
        limit: use at most this many training graphs of a file.
        draws: draw nodes and edges from their probabilities instead of taking the most probable graph: for graphs that
            are random given a few numbers, such as block models, whose latents need not carry every edge.
        corruption: largest probability with which the encoder sees a pair or a node drawn anew in training, see
            ``GraphAutoencoder``; for models that mend samples of others by ``model.reread``.
        condition: "label" trains a class-conditional model, by the labels of whole graphs.

    Raises:
        ValueError: if ``protocol`` or ``condition`` is unknown, or ``corruption`` not in [0, 1].
    """

    def __init__(
        self,
        data: str | Path | Sequence[Any] | Mapping[str, Any] | None = "communities",
        protocol: Protocol = "spectre",
        valid: str = "connected",
        atoms: Sequence[str] | None = None,
        latent: int = 8,
        width: int = 64,
        encoder_depth: int = 4,
        decoder_depth: int = 3,
        train_size: int = 2000,
        test_size: int = 1000,
        seed: int = 0,
        max_nodes: int | None = None,
        options: Mapping[str, Any] | None = None,
        limit: int | None = None,
        draws: bool = False,
        corruption: float = 0.0,
        condition: Literal["label"] | None = None,
    ) -> None:
        if protocol not in ("gdss", "spectre", "molecules"):
            raise ValueError(f"protocol is {protocol!r}; choose gdss, spectre or molecules.")
        self.data, self.protocol, self.valid, self.atoms = data, protocol, valid, atoms
        self.latent, self.width, self.encoder_depth, self.decoder_depth = latent, width, encoder_depth, decoder_depth
        self.train_size, self.test_size, self.seed = train_size, test_size, seed
        self.limit_nodes, self.options, self.limit = max_nodes, dict(options or {}), limit
        if not 0 <= corruption <= 1:
            raise ValueError(f"corruption is {corruption}; give a largest probability, in [0, 1].")
        if condition not in ("label", None):
            raise ValueError(f"condition is {condition!r}; choose label, or leave it out.")
        self.draws, self.corruption, self.condition = draws, corruption, condition
        self._state: dict[str, Tensor] = {}

    @cached_property
    def collection(self) -> GraphCollection:
        """The graphs read or generated, with notes on what was done to them."""
        if self.data is None:
            raise ValueError("data is None; a model loaded from a file has no data: build Graphs(data=...) for that.")
        if isinstance(self.data, str) and self.data in GENERATORS:
            graphs = GENERATORS[self.data](self.train_size + self.test_size, self.seed, **self.options)
            parts = {"train": graphs[: self.train_size], "test": graphs[self.train_size :]}
            return GraphCollection(parts, node_types=1, edge_types=2, notes=[])
        # other molecules than a model was trained on are read with its own types
        known = tuple(map(str, unpack_labels(self._state.get(LABELS))[0])) if self.protocol == "molecules" else ()
        found = read_collection(self.data, max_nodes=self.limit_nodes, atoms=self.atoms or known or None)
        if self.limit is not None and "train" in found.graphs:
            found = dataclasses.replace(found, graphs={**found.graphs, "train": found.graphs["train"][: self.limit]})
        return found

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """For molecules, the element of every node type."""
        return tuple(self.atoms) if self.atoms else tuple(map(str, self.labels[0] or self.collection.node_labels))

    @property
    def labels(self) -> tuple[Labels, Labels]:
        """The data's labels of node types 0, 1, ... and of edge types 1, 2, ...; empty where they have none."""
        assert len(self.sizes)
        return unpack_labels(self._state.get(LABELS))

    @property
    def latents(self) -> LatentSpec:
        """A set of at most ``max_nodes`` vectors."""
        return LatentSpec((len(self.sizes) - 1, self.latent), "set", masked=True)

    @property
    def sizes(self) -> Tensor:
        """Share of training graphs with n nodes, n = 0 .. max_nodes; float64."""
        if "sizes" not in self._state:
            counts = torch.bincount(self._dense("train").sizes.long(), minlength=(self.limit_nodes or 0) + 1)
            self._state["sizes"] = counts.double() / counts.sum()
            kinds = [self.collection.node_types, self.collection.edge_types]
            self._state["kinds"] = torch.tensor(kinds)
            if self.collection.node_labels or self.collection.edge_labels:
                self._state[LABELS] = pack_labels(self.collection.node_labels, self.collection.edge_labels)
            if self.condition and (names := class_names(self.collection.select())):
                self._state[PACKED] = pack_names(names)
                condition = one_hot_classes(self.collection.select("train"), names)
                sizes = self._dense("train").sizes
                self._state[CLASS_SIZES] = sizes_by_class(sizes, condition, self._state["sizes"])
        return self._state["sizes"]

    @property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Labels of whole graphs, as words, in rising order: those that a class-conditional model knows."""
        return unpack_names(self._state.get(PACKED)) if self.condition and len(self.sizes) else ()

    @property
    def condition_dim(self) -> int:  # type: ignore[override]
        """Number of classes of a class-conditional model, else 0.

        Raises:
            ValueError: if the model is to be class-conditional, and the data have fewer than two classes.
        """
        if self.condition is None:
            return 0
        if len(self.classes) < 2:
            raise ValueError(
                f"condition is {self.condition!r}, and the graphs have {len(self.classes)} classes; give graphs a "
                "graph_label (PyG: y) of two kinds or more, or leave condition out."
            )
        return len(self.classes)

    def state(self) -> dict[str, Tensor]:
        """``sizes`` (node-count distribution), ``kinds`` (numbers of types), perhaps ``labels``, classes' ``names`` and
        ``class_sizes``.
        """
        assert len(self.sizes)
        return {name: self._state[name] for name in STATE if name in self._state}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave.

        Raises:
            ValueError: if it is not whole, or not such a state; it is not taken from the data instead.
        """
        self._state = check_state(state, more=type(self).state is not Graphs.state)

    def dataset(self, split: str) -> DenseGraphs:
        """Graphs of "train", "valid" or "test"."""
        found = self._dense(split)
        if self.condition and found.condition is None and self.condition_dim:
            found.condition = one_hot_classes(self.collection.select(split), self.classes)
        return found

    def _dense(self, split: str) -> DenseGraphs:
        cache: dict[str, DenseGraphs] = self.__dict__.setdefault("_datasets", {})
        if split not in cache:
            cache[split] = DenseGraphs(self.collection.select(split))
        return cache[split]

    def collate(self, items: Sequence[Data]) -> Batch:
        """A batch of PyG graphs."""
        given = one_hot_classes(items, self.classes) if self.condition_dim else None
        return DenseGraphs(items, condition=given).__getitems__(list(range(len(items))))

    def autoencoder(self) -> Autoencoder:
        """A permutation-equivariant encoder and a pairwise decoder for this data's types."""
        sizes = self.sizes
        assert len(sizes)
        node_types, edge_types = self._state["kinds"].tolist()
        return GraphAutoencoder(
            node_types, edge_types, self.latent, self.width, self.encoder_depth, self.decoder_depth,
            corruption=self.corruption,
        )

    def sample_mask(self, u: Tensor) -> Tensor:
        """Node counts by the inverse distribution function of the training graphs' sizes."""
        counts = torch.searchsorted(self.sizes.cumsum(0).to(u.device), u.double(), right=True)
        counts = counts.clamp(max=len(self.sizes) - 1)
        return torch.arange(len(self.sizes) - 1, device=u.device) < counts.unsqueeze(1)

    def conditional_mask(self, u: Tensor, condition: Tensor | None) -> Tensor:
        """Node counts of the training graphs of a class, or of all of them where there is no condition."""
        if condition is None or CLASS_SIZES not in self._state:
            return self.sample_mask(u)
        return mask_by_class(u, condition.to(u.device), self._state[CLASS_SIZES], self.sizes)

    def evaluate(self, generated: Batch, reference: Batch, train: Batch) -> dict[str, float]:
        """MMD of graph statistics against reference graphs, and validity, uniqueness, novelty against ``train``."""
        if self.protocol == "molecules":
            return self._molecules(generated, train)
        # the GDSS protocol removes isolated nodes from what was generated
        fake = GraphStatistics.from_batch(generated, drop_isolated=self.protocol == "gdss")
        figures = graph_mmd(self._statistics(reference), fake, self.protocol)
        return {**figures, **vun(generated, train, self.valid)}

    def _statistics(self, batch: Batch) -> GraphStatistics:
        cache: dict[int, tuple[Tensor, GraphStatistics]] = self.__dict__.setdefault("_known", {})
        key = id(batch["edges"])
        if key not in cache:
            cache[key] = (batch["edges"], GraphStatistics.from_batch(batch))
        return cache[key][1]

    def _molecules(self, generated: Batch, train: Batch) -> dict[str, float]:
        from .molecules import batch_to_molecules, canonical_smiles, molecule_metrics

        cache: dict[int, tuple[Tensor, frozenset[str]]] = self.__dict__.setdefault("_known_smiles", {})
        key = id(train["edges"])
        if key not in cache:
            cache[key] = (train["edges"], canonical_smiles(self.smiles(train)))
        return molecule_metrics(batch_to_molecules(generated, self.elements), cache[key][1])

    def smiles(self, batch: Batch) -> list[str]:
        """Canonical SMILES of the largest fragment of each graph, for molecules."""
        from .molecules import batch_to_molecules, repaired_smiles

        texts = (repaired_smiles(molecule) for molecule in batch_to_molecules(batch, self.elements))
        return [text for text in texts if text is not None]

    def better(self) -> dict[str, str]:
        """MMD: lower; shares: higher."""
        lower = ("degree", "clustering", "orbit", "spectral", "average")
        higher = ("valid", "unique", "novel", "connected", "vun")
        return {**dict.fromkeys(lower, "lower"), **dict.fromkeys(higher, "higher")}

    def feature_map(self) -> FeatureMap:
        """A random graph isomorphism network."""
        assert len(self.sizes)
        node_types, edge_types = self._state["kinds"].tolist()
        return RandomGINFeatures(node_types, edge_types)

    def axes(self) -> dict[str, str]:
        """Quality: valid graphs; coverage: of real graphs' neighbourhoods on the feature map."""
        return {"quality": "valid", "coverage": "coverage"}

    def render(self, batch: Batch, path: Path) -> None:
        """Draw the first 16 graphs."""
        from .render import draw_graphs

        draw_graphs(batch, path)

    def export(self, batch: Batch, folder: Path) -> list[Path]:
        """``graphs.jsonl``, an object a line; for molecules ``molecules.csv`` too, their :meth:`smiles`.

        Without rdkit, or elements (an older model without its data), a warning takes that one's place.
        """
        from .export import write_json_lines, write_smiles

        lines, table = (away_from_data(folder / name, self.data) for name in ("graphs.jsonl", "molecules.csv"))
        batch = {key: value.cpu() for key, value in batch.items()}
        written = [write_json_lines(self.graphs(batch), lines, *self.labels)]
        if self.protocol == "molecules":
            try:
                written.append(write_smiles(self.smiles(batch), table))
            except (ImportError, ValueError) as error:
                warnings.warn(f"molecules.csv is not written: {error}", stacklevel=2)
        return written

    def graphs(self, batch: Batch) -> list[Data]:
        """The batch as PyG graphs."""
        return from_batch(batch)
