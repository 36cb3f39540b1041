"""Shapes as sets of points: autoencoders, readers, procedural furniture, distances of sets, published protocols, pictures."""

from .modality import Points

__all__ = ["Points"]
