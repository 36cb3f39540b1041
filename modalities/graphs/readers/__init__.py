"""Readers of graphs: every format becomes one list of simple undirected PyG graphs."""

from modalities.graphs.readers.collection import GraphCollection
from modalities.graphs.readers.read import Source, read_collection, read_graphs

__all__ = ["GraphCollection", "Source", "read_collection", "read_graphs"]
