"""Metrics for any modality, on any feature map."""

from .features import FeatureMap, FlattenFeatures, NetworkFeatures
from .frechet import Moments, frechet_distance
from .gather import gather_features
from .kernel import kernel_distance, mmd
from .modes import mode_statistics
from .neighbours import density_coverage, nearest_neighbour_accuracy, precision_recall
from .report import BETTER, FeatureReport, feature_metrics, metrics_of_features

__all__ = [
    "BETTER",
    "FeatureMap",
    "FeatureReport",
    "FlattenFeatures",
    "Moments",
    "NetworkFeatures",
    "density_coverage",
    "feature_metrics",
    "frechet_distance",
    "gather_features",
    "kernel_distance",
    "metrics_of_features",
    "mmd",
    "mode_statistics",
    "nearest_neighbour_accuracy",
    "precision_recall",
]
