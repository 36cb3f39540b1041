"""Mixtures of Gaussians in the plane, whose modes are known: where mode coverage can be counted."""

from .modality import GaussianGrid

__all__ = ["GaussianGrid"]
