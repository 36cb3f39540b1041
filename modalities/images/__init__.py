"""Images: data, networks, likelihoods, figures."""

from .modality import Images
from .networks import ImageAutoencoder, PixelAutoencoder
from .stacked import StackedDigits

__all__ = ["ImageAutoencoder", "Images", "PixelAutoencoder", "StackedDigits"]
