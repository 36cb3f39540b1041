"""Exported images are read back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from modalities.images import Images
from modalities.images.readers.read import read_images


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 6, 10)])
def test_images_come_back(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randint(256, (25, *shape), dtype=torch.uint8)
    images = Images(x)
    for count in (25, 20):  # the second export is shorter
        (folder,) = images.export({"x": x[:count]}, tmp_path)
        found = torch.cat([torch.as_tensor(read_images(folder, part).pixels) for part in ("train", "test")])
        assert len(found) == count
        assert sorted(found.flatten(1).tolist()) == sorted(x[:count].flatten(1).tolist())
