"""Graphs as a source lists them, the limits that they must keep, and their repair."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral

import numpy as np
import numpy.typing as npt

from modalities.graphs.simple import IntArray

Labels = npt.NDArray[np.int64] | npt.NDArray[np.str_]

# A dense graph takes memory quadratic in its nodes, so a larger one is most likely a mistake (or
# an attack); the caller may say otherwise with max_nodes.
NODE_LIMIT = 100_000
TOTAL_NODE_LIMIT = 50_000_000
LABEL_LENGTH_LIMIT = 64
SHOWN_LENGTH = 80


@dataclass(frozen=True, slots=True)
class RawGraph:
    """One graph as its source lists it, before any repair.

    Attributes:
        where: Place of the graph in the source, for messages.
        n: Number of nodes.
        pairs: Listed ends of edges, [M, 2].
        both_directions: Whether the source is expected to list each edge from both ends.
        node_labels: Label of each node, [n], if the source has any.
        edge_labels: Label of each listed edge, [M], if the source has any.
        graph_label: Class of the graph, if the source has any.
        split: Part that the graph belongs to, if the source says so.
    """

    where: str
    n: int
    pairs: IntArray
    both_directions: bool = False
    node_labels: Labels | None = None
    edge_labels: Labels | None = None
    graph_label: int | None = None
    split: str | None = None


@dataclass(slots=True)
class Repairs:
    """Counts of what was repaired, over all graphs of a source."""

    loops: int = 0
    repeated: int = 0
    one_way: int = 0
    changed: dict[str, int] = field(default_factory=dict)

    def add(self, loops: int, repeated: int, one_way: int) -> None:
        """Count the repairs of one more graph."""
        self.loops += loops
        self.repeated += repeated
        self.one_way += one_way
        for kind, count in (("loops", loops), ("repeated", repeated), ("one_way", one_way)):
            self.changed[kind] = self.changed.get(kind, 0) + (count > 0)

    def notes(self) -> list[str]:
        """One sentence for each kind of repair that was needed."""
        said = []
        if self.loops:
            said.append(
                f"removed {plural(self.loops, 'self-loop')} in "
                f"{plural(self.changed['loops'], 'graph')}, since graphs here have none."
            )
        if self.one_way:
            said.append(
                f"{plural(self.one_way, 'directed edge')} in "
                f"{plural(self.changed['one_way'], 'graph')} became undirected, since graphs "
                "here are undirected."
            )
        if self.repeated:
            said.append(
                f"merged {plural(self.repeated, 'repeated edge')} in "
                f"{plural(self.changed['repeated'], 'graph')}, since graphs here have at most "
                "one edge between two nodes."
            )
        return said


def shown(value: object) -> str:
    """A value for a message, cut to a readable length.

    Args:
        value: Anything, of any size.
    """
    text = reprlib.repr(value)
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 3] + "..."


def plural(count: int, noun: str) -> str:
    """A count with its noun, such as "1 graph" or "2,000 graphs"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def note_passed_over(names: set[str], notes: list[str]) -> None:
    """Note which attributes were not read.

    Args:
        names: Names of the attributes.
        notes: Receives the sentence.
    """
    if names:
        listed = ", ".join(sorted(shown(name) for name in names)[:8])
        notes.append(f"attributes were not read, since only types are used: {listed}.")


def check_size(where: str, n: object, max_nodes: int | None) -> int:
    """The number of nodes, once it is known to be an integer within the limit.

    Raises:
        ValueError: If `n` is no integer, below 1, or above `max_nodes`.
    """
    if type(n) is not int or n < 1:
        raise ValueError(
            f"{where}: n must be an integer of at least 1, got {shown(n)}; "
            "give the number of nodes or remove the graph."
        )
    limit = NODE_LIMIT if max_nodes is None else max_nodes
    if n > limit:
        name = f"the default limit of {limit:,}" if max_nodes is None else f"max_nodes={limit:,}"
        raise ValueError(
            f"{where}: n must be at most {name}, got {shown(n)}; raise max_nodes or "
            "remove the graph."
        )
    return n


def check_class(where: str, label: object) -> int | None:
    """The class of a graph, once it is known to be an integer of 64 bits; None stands for no class.

    Raises:
        ValueError: If it is something else.
    """
    if label is None:
        return None
    if isinstance(label, Integral) and not isinstance(label, bool) and abs(int(label)) < 2**63:
        return int(label)
    raise ValueError(
        f"{where}: graph_label must be an integer, got {shown(label)}; number the classes or leave it out."
    )


def label_array(where: str, name: str, values: Sequence[object]) -> Labels:
    """Labels as one array of integers or of strings.

    Whole floats count as integers, as several formats store integers that way.

    Raises:
        ValueError: If the labels are neither all integers nor all short strings.
    """
    if all(type(value) is int for value in values):
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            raise ValueError(
                f"{where}: {name} must fit 64 bits, got {shown(values)}; renumber them."
            ) from None
    if all(isinstance(value, str) and len(value) <= LABEL_LENGTH_LIMIT for value in values):
        return np.array(values, dtype=np.str_)
    whole = [_whole(value) for value in values]
    if None in whole:
        bad = values[whole.index(None)]
        raise ValueError(
            f"{where}: {name} must be all integers or all strings of at most "
            f"{LABEL_LENGTH_LIMIT} characters, got {shown(bad)}; give categories, one "
            "each, or leave them out."
        )
    return np.array(whole, dtype=np.int64)


def tidy(raw: RawGraph, repairs: Repairs) -> RawGraph:
    """The graph with every undirected edge listed once, smaller end first, in sorted order.

    Args:
        raw: A graph as its source lists it.
        repairs: Counts, updated in place.

    Raises:
        ValueError: If an edge names a node that does not exist, or has two labels.
    """
    outside = ((raw.pairs < 0) | (raw.pairs >= raw.n)).any(axis=1)
    if outside.any():
        pair = raw.pairs[int(outside.argmax())].tolist()
        raise ValueError(
            f"{raw.where}: edges must name nodes 0..{raw.n - 1}, got the edge {pair}; "
            "correct it or raise the number of nodes."
        )
    loop = raw.pairs[:, 0] == raw.pairs[:, 1]
    pairs = raw.pairs[~loop]
    labels = None if raw.edge_labels is None else raw.edge_labels[~loop]
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    keys, first, group = np.unique(low * raw.n + high, return_index=True, return_inverse=True)
    if labels is not None:
        _refuse_two_labels(raw, pairs, labels, labels[first][group])
    repeated, one_way = len(pairs) - len(keys), 0
    if raw.both_directions:
        arcs = np.unique(pairs[:, 0] * raw.n + pairs[:, 1])
        repeated, one_way = len(pairs) - len(arcs), 2 * len(keys) - len(arcs)
    repairs.add(int(loop.sum()), repeated, one_way)
    return replace(
        raw,
        pairs=np.stack(np.divmod(keys, raw.n), axis=1).astype(np.int64),
        both_directions=False,
        edge_labels=None if labels is None else labels[first],
    )


def _refuse_two_labels(raw: RawGraph, pairs: IntArray, labels: Labels, expected: Labels) -> None:
    """Refuse an edge that is listed twice with different labels."""
    differs = labels != expected
    if differs.any():
        at = int(differs.argmax())
        raise ValueError(
            f"{raw.where}: an undirected edge must have one label, got {expected[at]} and "
            f"{labels[at]} for the edge {pairs[at].tolist()}; keep one of them."
        )


def _whole(value: object) -> int | None:
    """The integer that a number stands for, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    number = float(value)
    return int(number) if abs(number) < 2**53 and number == int(number) else None
