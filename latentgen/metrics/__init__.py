"""Metrics for any modality."""

from .modes import mode_statistics

__all__ = ["mode_statistics"]
