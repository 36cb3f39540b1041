"""Read graphs with their parts, types and the account of what was done to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch_geometric.data import Data

from modalities.graphs.readers.raw import plural, shown

SPLITS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
}
TEST_SHARE = 0.2


@dataclass(frozen=True)
class GraphCollection:
    """The graphs of one source.

    Attributes:
        graphs: Graphs of each part; the keys are among "train", "valid" and "test".
        node_types: Number of node types; `x` holds 0..node_types-1.
        edge_types: Number of edge types with "no edge" as type 0; `edge_attr` holds
            1..edge_types-1.
        notes: One sentence for each thing that was done to the graphs.
        node_labels: The source's label of each node type; empty where it has none.
        edge_labels: The source's label of edge types 1, 2, ...; empty where it has none.
    """

    graphs: dict[str, list[Data]]
    node_types: int
    edge_types: int
    notes: list[str]
    node_labels: tuple[int | str, ...] = ()
    edge_labels: tuple[int | str, ...] = ()

    def select(self, split: str | None = None) -> list[Data]:
        """The graphs of one part, or all of them: train, then valid, then test.

        Args:
            split: Name of the part ("val" means "valid"), or None.

        Raises:
            ValueError: If there is no such part.
        """
        if split is None:
            parts = ("train", "valid", "test")
            return [graph for part in parts for graph in self.graphs.get(part, [])]
        name = canonical_split("split", split)
        if name not in self.graphs:
            raise ValueError(
                f"split must be one of the parts of this source, {', '.join(self.graphs)}, got "
                f"{split!r}; choose one of them."
            )
        return self.graphs[name]


def canonical_split(where: str, name: object) -> str:
    """One of "train", "valid" and "test".

    Raises:
        ValueError: If the name is none of the usual ones.
    """
    known = SPLITS.get(name.lower()) if isinstance(name, str) else None
    if known is None:
        raise ValueError(
            f"{where}: split must be train, valid or test, got {shown(name)}; rename it."
        )
    return known


def divide(
    graphs: Sequence[Data], wheres: Sequence[str], splits: Sequence[str | None], valid: float
) -> tuple[dict[str, list[Data]], list[str]]:
    """The graphs by parts, and notes on how the parts were made.

    Without parts in the source the first 20 % are the test set, in the order of the source (the
    convention of Jo et al. 2022). Where there is no validation set, the first `valid` share of
    the training graphs becomes one.

    Args:
        graphs: The graphs.
        wheres: Place of each graph, for messages.
        splits: Part of each graph as the source names it.
        valid: Share of the training graphs that validate, in [0, 1).

    Raises:
        ValueError: If only some graphs name a part, or a name is unknown.
    """
    given = [split is not None for split in splits]
    parts: dict[str, list[Data]] = {"train": [], "valid": [], "test": []}
    if any(given):
        if not all(given):
            raise ValueError(
                f"{wheres[given.index(False)]}: either every graph or none must name its split, "
                f"got {sum(given)} of {len(given)}; add or remove the field split."
            )
        for graph, where, split in zip(graphs, wheres, splits, strict=True):
            parts[canonical_split(where, split)].append(graph)
        notes = ["the parts are those that the source names."]
    else:
        tests = int(TEST_SHARE * len(graphs))
        parts["test"], parts["train"] = list(graphs[:tests]), list(graphs[tests:])
        notes = [f"the first {plural(tests, 'graph')} of {len(graphs):,} became the test set."]
    count = int(valid * len(parts["train"]))
    if count and not parts["valid"]:
        parts["valid"], parts["train"] = parts["train"][:count], parts["train"][count:]
        notes.append(f"the first {plural(count, 'training graph')} became the validation set.")
    return {name: part for name, part in parts.items() if part}, notes
