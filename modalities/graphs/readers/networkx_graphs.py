"""Graphs held by networkx, in memory or in its GraphML and edge-list files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import networkx as nx
import numpy as np

from modalities.graphs.readers.raw import Labels, RawGraph, check_class, check_size, label_array, shown
from modalities.graphs.readers.text import numbered_lines

TYPE = "type"
CLASS = "graph_label"
GRAPHML = ".graphml"
EDGE_LISTS = (".edgelist", ".txt")
LINE_LENGTH_LIMIT = 10_000
GRAPHML_ERRORS = (
    ParseError,
    nx.NetworkXException,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
)


def raw_from_networkx(
    where: str, graph: nx.Graph, max_nodes: int | None, passed_over: set[str]
) -> RawGraph:
    """A networkx graph of any class; the attribute `type` of nodes and edges is their label.

    The graph's own attribute `graph_label` is its class, an integer.

    Nodes named 0..n-1 keep their numbers; others are numbered in the order of the graph.

    Args:
        where: Place of the graph, for messages.
        graph: The graph.
        max_nodes: Greatest allowed number of nodes.
        passed_over: Receives the names of the attributes that are not read.

    Raises:
        ValueError: If the graph is empty, too large, or only partly labelled, or its class is no
            integer.
    """
    n = check_size(where, graph.number_of_nodes(), max_nodes)
    names = list(graph)
    if set(names) == set(range(n)):
        names.sort()
    index = {name: position for position, name in enumerate(names)}
    edges = list(graph.edges(data=True))
    ends = [(index[start], index[end]) for start, end, _ in edges]
    node_data = [graph.nodes[name] for name in names]
    edge_data = [data for _, _, data in edges]
    passed_over.update(str(key) for data in node_data + edge_data for key in data if key != TYPE)
    return RawGraph(
        where=where,
        n=n,
        pairs=np.array(ends, dtype=np.int64).reshape(-1, 2),
        both_directions=graph.is_directed(),
        node_labels=_types(where, "node", node_data),
        edge_labels=_types(where, "edge", edge_data),
        graph_label=check_class(where, graph.graph.get(CLASS)),
    )


def read_graphml(path: Path, max_nodes: int | None, passed_over: set[str]) -> Iterator[RawGraph]:
    """The graphs of a GraphML file.

    Args:
        path: The file.
        max_nodes: Greatest allowed number of nodes of a graph.
        passed_over: Receives the names of the attributes that are not read.

    Raises:
        ValueError: If the file is not GraphML, or declares entities.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"source {path.name}: the file must be UTF-8 text, got the byte "
            f"0x{content[error.start]:02x} at {error.start}; save it as UTF-8."
        ) from None
    if "<!ENTITY" in text or "\0" in text:
        raise ValueError(
            f"source {path.name}: GraphML must not declare XML entities or hold NUL bytes, got "
            "some; write the file again with networkx.write_graphml."
        )
    space = nx.GraphMLReader.NS_GRAPHML
    content = content.replace(b"<graphml>", f'<graphml xmlns="{space}">'.encode())
    try:
        graphs = list(nx.GraphMLReader()(string=content))
    except GRAPHML_ERRORS as error:
        raise ValueError(
            f"source {path.name} must be GraphML as networkx reads it, got the error '{error}'; "
            "write the file again with networkx.write_graphml."
        ) from None
    for index, graph in enumerate(graphs):
        where = f"source {path.name}" + (f", graph {index + 1}" if len(graphs) > 1 else "")
        yield raw_from_networkx(where, graph, max_nodes, passed_over)


def read_edge_list(path: Path, max_nodes: int | None, passed_over: set[str]) -> RawGraph:
    """The one graph of a file with two node names a line, separated by blanks or a comma.

    A third column may hold the type of the edge or, as networkx writes it, a dictionary. What
    follows a # is a remark. Nodes without edges cannot be written in this format.

    Args:
        path: The file.
        max_nodes: Greatest allowed number of nodes.
        passed_over: Receives the names of the attributes that are not read.

    Raises:
        ValueError: If a line is malformed; the message names the line.
    """
    graph = nx.MultiGraph()
    with path.open("rb") as stream:
        for number, line in numbered_lines(stream, path.name):
            names, brace, attributes = line.split("#")[0].partition("{")
            words = names.replace(",", " ") + brace + attributes
            if words.strip():
                graph.add_edges_from([_edge(f"source {path.name}, line {number}", words)])
    if all(name.isdecimal() and len(name) < 19 for name in graph):
        order = {name: int(name) for name in graph}
        numbered = nx.MultiGraph()
        numbered.add_nodes_from(sorted(order, key=order.__getitem__))
        numbered.add_edges_from(graph.edges(data=True))
        graph = numbered
    return raw_from_networkx(f"source {path.name}", graph, max_nodes, passed_over)


def _edge(where: str, words: str) -> tuple[str, str, dict[str, Any]]:
    """The ends of the edge of one line, and its attributes."""
    columns = words.split(maxsplit=2)
    try:
        if len(columns) < 2 or len(words) > LINE_LENGTH_LIMIT:
            raise ValueError("a malformed line")
        if len(columns) == 2:
            return columns[0], columns[1], {}
        if not columns[2].startswith("{"):
            return columns[0], columns[1], {TYPE: int(columns[2])}
        ((start, end, data),) = nx.parse_edgelist([words], data=True).edges(data=True)
        return start, end, data
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise ValueError(
            f"{where}: expected two node names and at most one integer edge type, got "
            f"{shown(words)}; correct the line or remove its other columns."
        ) from None


def _types(where: str, name: str, attributes: list[dict[str, Any]]) -> Labels | None:
    """The labels under the attribute `type`, if there are any."""
    values = [data[TYPE] for data in attributes if TYPE in data]
    if not values:
        return None
    if len(values) < len(attributes):
        raise ValueError(
            f"{where}: either every {name} or none must have the attribute {TYPE!r}, got "
            f"{len(values)} of {len(attributes)}; add or remove it."
        )
    return label_array(where, f"{name} attribute {TYPE!r}", values)
