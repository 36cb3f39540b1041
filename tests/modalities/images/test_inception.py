"""Inception features: the file's checksum, what is missing, and what the extractor is given."""

from __future__ import annotations

import hashlib
import sys
import types
from pathlib import Path

import pytest
import torch

from modalities.images import Images
from modalities.images.inception import InceptionFeatures


class Extractor(torch.nn.Module):
    """In the place of the library's: 2,048 numbers, the mean of each channel first."""

    def __init__(self, name: str, features: list[str], feature_extractor_weights_path: str) -> None:
        super().__init__()
        assert features == ["2048"]
        self.path = feature_extractor_weights_path

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        assert x.dtype == torch.uint8
        assert x.shape[1] == 3
        return (torch.nn.functional.pad(x.double().mean((2, 3)), (0, 2045)),)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.ones(2)}, path)
    return path


@pytest.fixture
def library(monkeypatch) -> types.ModuleType:
    """A module in the place of the library's."""
    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = Extractor
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    return module


def test_grey_images_are_repeated_and_split(weights, library) -> None:
    features = Images("digits").features_from(weights)
    assert isinstance(features, InceptionFeatures)
    features.batch = 3
    x = torch.randint(0, 256, (7, 1, 8, 8), dtype=torch.uint8)
    found = features({"x": x})
    assert found.shape == (7, 2048)
    assert found.dtype == torch.float32
    assert torch.allclose(found[:, :3], x.float().mean((2, 3)).expand(-1, 3))


def test_the_name_says_which_weights_these_are(weights) -> None:
    checksum = hashlib.sha256(weights.read_bytes()).hexdigest()
    features = InceptionFeatures(weights)
    assert checksum[:12] in features.name
    assert "not the published file" in features.name
    assert InceptionFeatures(weights, checksum).checksum == checksum


def test_another_checksum_is_refused(weights) -> None:
    with pytest.raises(ValueError, match="take the published file"):
        InceptionFeatures(weights, "0" * 64)


def test_no_file(tmp_path) -> None:
    with pytest.raises(ValueError, match="which is no file"):
        InceptionFeatures(tmp_path / "none.pth")


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, folder) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return Path.mkdir, (self.folder,)


def test_a_file_of_anything_but_weights_is_refused_before_it_is_unpickled(tmp_path, library) -> None:
    path, x = tmp_path / "weights.pth", {"x": torch.zeros(1, 1, 8, 8, dtype=torch.uint8)}
    for content in (b"# a text", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"weights.pth, which holds no weights of Inception .*; get the pub"):
            InceptionFeatures(path)(x)
    torch.save({"weight": Payload(tmp_path / "made")}, path)
    with pytest.raises(ValueError, match="holds no weights of Inception"):
        InceptionFeatures(path)(x)
    assert not (tmp_path / "made").exists()


def test_weights_of_another_network_are_refused(weights, library, monkeypatch) -> None:
    def load(self, name, features, feature_extractor_weights_path) -> None:
        torch.nn.Module.__init__(self)
        torch.nn.Linear(2, 2).load_state_dict(torch.load(feature_extractor_weights_path))

    monkeypatch.setattr(Extractor, "__init__", load)
    with pytest.raises(ValueError, match=r"holds no weights of Inception \(Error.s. in loading state_dict"):
        InceptionFeatures(weights)({"x": torch.zeros(1, 1, 8, 8, dtype=torch.uint8)})


def test_the_missing_package_is_named_with_its_extra(weights, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(ImportError, match=r"latentgen\[inception\]"):
        InceptionFeatures(weights)({"x": torch.zeros(1, 1, 8, 8, dtype=torch.uint8)})
