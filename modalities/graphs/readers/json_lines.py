"""Graphs as JSON lines, one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import numpy as np

from modalities.graphs.readers.raw import Labels, RawGraph, check_class, check_size, label_array, shown
from modalities.graphs.readers.text import numbered_lines
from modalities.graphs.simple import IntArray

EXAMPLE = '{"n": 3, "edges": [[0, 1], [1, 2]]}'


def read_json_lines(path: Path, max_nodes: int | None) -> Iterator[RawGraph]:
    """The graphs of a file whose lines are objects with `n` and `edges`.

    `split` (a word), `node_labels` ([n]), `edge_labels` (one per edge) and `graph_label` (an
    integer) may be given too; other keys are passed over.

    Args:
        path: The file.
        max_nodes: Greatest allowed number of nodes of a graph.

    Raises:
        ValueError: If a line is malformed; the message names the line.
    """
    with path.open("rb") as stream:
        for number, line in numbered_lines(stream, path.name):
            yield _parse(f"source {path.name}, line {number}", line, max_nodes)


def _parse(where: str, line: str, max_nodes: int | None) -> RawGraph:
    """The graph of one line."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where}: expected one JSON object such as {EXAMPLE}, got text that is not JSON "
            f"({error}); correct or remove the line."
        ) from None
    if not isinstance(record, dict) or not {"n", "edges"} <= record.keys():
        raise ValueError(
            f"{where}: expected an object with the keys n and edges such as {EXAMPLE}, got "
            f"{shown(record)}; correct or remove the line."
        )
    n = check_size(where, record["n"], max_nodes)
    pairs = _pairs(where, record["edges"])
    return RawGraph(
        where=where,
        n=n,
        pairs=pairs,
        node_labels=_labels(where, "node_labels", record.get("node_labels"), n),
        edge_labels=_labels(where, "edge_labels", record.get("edge_labels"), len(pairs)),
        graph_label=check_class(where, record.get("graph_label")),
        split=record.get("split"),
    )


def _pairs(where: str, edges: object) -> IntArray:
    """The listed edges, [M, 2]."""
    bad = edges
    if isinstance(edges, list):
        if set(map(type, edges)) <= {list} and set(map(len, edges)) <= {2}:
            ends = list(chain.from_iterable(edges))
            if set(map(type, ends)) <= {int}:
                with suppress(OverflowError):
                    return np.array(ends, dtype=np.int64).reshape(-1, 2)
        bad = next(edge for edge in edges if not _is_pair(edge))
    raise ValueError(
        f"{where}: edges must be a list of pairs of node indices such as [[0, 1]], got "
        f"{shown(bad)}; correct it."
    )


def _is_pair(edge: object) -> bool:
    """Whether this is a list of two integers that fit 64 bits."""
    return (
        isinstance(edge, list)
        and len(edge) == 2
        and type(edge[0]) is int
        and type(edge[1]) is int
        and min(edge) >= -(2**63)
        and max(edge) < 2**63
    )


def _labels(where: str, name: str, values: object, count: int) -> Labels | None:
    """The labels of a line, one for each of `count` nodes or edges, if it has any."""
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != count:
        given = f"{len(values)}" if isinstance(values, list) else shown(values)
        raise ValueError(
            f"{where}: {name} must be a list of {count} labels, got {given}; give one label "
            f"each or leave {name} out."
        )
    return label_array(where, name, values)
