"""The feature map of published Frechet inception distances, from a weights file that the user has."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latentgen.metrics import FeatureMap
from latentgen.tensors import Batch

PUBLISHED = "6726825d"
"""Start of the SHA-256 of ``pt_inception-2015-12-05-6726825d.pth``, the port of the original network."""


class InceptionFeatures(FeatureMap):
    """pool3 of Inception v3, 2,048 numbers, on bytes; the extractor resizes to 299 x 299, grey images are repeated.

    The network is the one that ``torchmetrics`` takes for its Frechet distance, of the package ``torch-fidelity``,
    which also reads the file. Only the file with the published checksum gives the features of published figures.

    Args:
        path: the file of weights.
        sha256: its checksum; a file with another one is refused. None takes any, and the name says which it was.
        batch: images seen at a time.

    Raises:
        ValueError: if there is no such file, or it has another checksum; at the first use, if it holds anything but
            this network's weights.
        ImportError: if ``torch-fidelity`` is missing.
    """

    def __init__(self, path: str | Path, sha256: str | None = None, batch: int = 64) -> None:
        self.path, self.sha256, self.batch = str(path), sha256, batch
        if not Path(path).is_file():
            raise ValueError(f"features is {str(path)!r}, which is no file; give Inception's weights.")
        self.checksum = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        if sha256 is not None and self.checksum != sha256:
            raise ValueError(
                f"features is {Path(path).name} with SHA-256 {self.checksum[:16]}..., not {sha256[:16]}...; take the "
                "published file, or leave the checksum out."
            )
        self._network: Any = None

    @property
    def name(self) -> str:
        """With the checksum's start where the file is not the published one."""
        if self.checksum.startswith(PUBLISHED):
            return "Inception v3, pool3, published weights"
        return f"Inception v3, pool3, weights {self.checksum[:12]} (not the published file)"

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Shape [B, 2048] for ``x`` uint8 [B, C, H, W]."""
        x = batch["x"]
        network = self._load().to(x.device)
        x = x if x.shape[1] == 3 else x[:, :1].expand(-1, 3, -1, -1)
        return torch.cat([network(part)[0].float() for part in torch.split(x, self.batch)])

    def _load(self) -> Any:
        if self._network is None:
            self._refuse_code()
            try:
                from torch_fidelity.feature_extractor_inceptionv3 import (  # type: ignore[import-not-found]
                    FeatureExtractorInceptionV3,
                )
            except ImportError as error:
                raise ImportError(
                    'the package torch-fidelity is missing, which Inception features need: pip install "latentgen'
                    '[inception]".'
                ) from error
            try:
                self._network = FeatureExtractorInceptionV3(
                    "inception-v3-compat", ["2048"], feature_extractor_weights_path=self.path
                ).eval()
            except (KeyError, RuntimeError, TypeError) as error:  # weights of another network
                raise self._refusal(str(error).splitlines()[0]) from error
        return self._network

    def _refuse_code(self) -> None:
        """Refuse a file with anything but tensors in it: ``torch-fidelity`` would run the code of any other."""
        try:
            torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged files are answered with errors of any kind
            raise self._refusal(type(error).__name__) from None

    def _refusal(self, reason: str) -> ValueError:
        return ValueError(
            f"features is {Path(self.path).name}, which holds no weights of Inception ({reason}); get the published "
            "file again, or give a classifier as .safetensors."
        )
