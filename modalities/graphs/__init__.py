"""Graphs and molecules: data, networks, likelihood, metrics."""

from .modality import Graphs
from .networks import GraphAutoencoder

__all__ = ["GraphAutoencoder", "Graphs"]
