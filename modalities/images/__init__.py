"""Images: data, networks, likelihoods, figures."""

from .modality import Images
from .networks import ImageAutoencoder, PixelAutoencoder

__all__ = ["ImageAutoencoder", "Images", "PixelAutoencoder"]
