"""Shapes as sets of points: autoencoders, readers, procedural furniture, distances of sets, protocols, pictures."""

from .hierarchical import PointArchitecture
from .modality import Points

__all__ = ["PointArchitecture", "Points"]
