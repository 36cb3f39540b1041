"""Sentences as a modality: a fixed number of latent tokens for each, and a likelihood of its tokens."""

from modalities.text.decoding import Decoding
from modalities.text.modality import Text

__all__ = ["Decoding", "Text"]
