"""Readers of images: every format becomes one tensor of bytes, with labels where there are some."""

from modalities.images.readers.image_set import ImageSet
from modalities.images.readers.read import read_images

__all__ = ["ImageSet", "read_images"]
