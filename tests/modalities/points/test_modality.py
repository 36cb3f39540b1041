"""The modality keeps the framework's contract with both encoders."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

import latentgen
from latentgen.class_names import pack_names
from latentgen.cli import main
from latentgen.testing import check_modality
from modalities.points import Points


@pytest.mark.parametrize("encoder", ["tokens", "points"])
def test_the_contract_is_kept(encoder: str) -> None:
    results = check_modality(
        Points(
            encoder=encoder, points=24, least=12, train_size=16, test_size=8, width=16, depth=1, heads=2, tokens=3,
            latent=4, noise=0.3,  # the rule on nats supposes log-ratios that are about normal
        )
    )
    assert [result for result in results if not result.passed] == []
    assert len(results) > 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": None}, "must hold centre, classes, features, scale, sizes, got centre, classes, features, scale;"),
        ({"sizes": 1.0}, r"sizes must be numbers \[N \+ 1\]"),
        ({"sizes": [0.0, float("nan")]}, "sizes must be shares from 0 on that sum to 1"),
        ({"centre": [0.0, 0.0]}, r"centre must be numbers \[3\], got torch.float32 \[2\]"),
        ({"centre": [0.0, 0.0, float("inf")]}, "centre must be finite"),
        ({"scale": 0.0}, "scale must be finite, and a scale above 0, got 0.0"),
        ({"scale": [1.0]}, r"scale must be numbers \[\], got torch.float32 \[1\]"),
        ({"features": 0.5}, "features must be one whole number, got torch.float32"),
        ({"features": -3}, "features must be a number from 0 to 16,777,216, got -3"),
        ({"classes": 10**12}, "classes must be a number from 0 to 16,777,216, got 1000000000000"),
    ],
)
def test_a_state_that_no_model_gave_is_refused(changes: dict[str, object], message: str) -> None:
    given = {"centre": [0.0] * 3, "scale": 1.0, "sizes": [0.0, 0.5, 0.5], "features": 0, "classes": 2}
    points = Points(data=None)
    made = {name: torch.as_tensor(value) for name, value in {**given, **changes}.items() if value is not None}
    with pytest.raises(ValueError, match=f"^state of Points.*{message}"):
        points.load_state(made)
    points.load_state({name: torch.as_tensor(value) for name, value in given.items()})
    assert points.dimensions == 3 * 512


class Centred(Points):
    """Has state of its own."""

    def state(self) -> dict[str, torch.Tensor]:
        return {**super().state(), "mean": self.mean}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        super().load_state(state)
        self.mean = state["mean"]


def test_a_subclass_may_have_state_of_its_own() -> None:
    given = {"centre": torch.zeros(3), "scale": torch.tensor(1.0), "sizes": torch.tensor([0.0, 0.5, 0.5]),
             "features": torch.tensor(0), "classes": torch.tensor(2)}
    centred = Centred(data=None)
    centred.load_state({**given, "mean": torch.ones(2)})
    assert centred.state().keys() == {*given, "mean"} and centred.mean.tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"^state of Points must hold"):
        centred.load_state({"mean": torch.ones(2)})


def test_names_of_classes_go_with_the_model(tmp_path: Path) -> None:
    for kind in ("cat", "dög\n"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for number in range(4):
            np.save(tmp_path / "data" / kind / f"{number}.npy", np.random.default_rng(number).normal(size=(8, 3)))
    points = Points(
        str(tmp_path / "data"), condition="label", points=8, tokens=2, latent=2, width=16, depth=1, heads=2
    )
    model = latentgen.LSGM(width=16, depth=1, heads=2).prepare(points).model
    model.save_pretrained(tmp_path / "model")
    shutil.rmtree(tmp_path / "data")
    assert latentgen.load(tmp_path / "model").modality.classes == ("cat", "dög\n")
    words = ["sample", str(tmp_path / "model"), "--n", "2", "--steps", "2", "--out", str(tmp_path / "out")]
    assert main([*words, "--label", "cat"]) == 0
    assert Points(str(tmp_path / "data")).classes == ()


def test_names_that_no_model_gave_are_refused() -> None:
    given = {"centre": torch.zeros(3), "scale": torch.tensor(1.0), "sizes": torch.tensor([0.0, 0.5, 0.5]),
             "features": torch.tensor(0), "classes": torch.tensor(2)}
    found = Points(data=None)
    for names, message in (
        (torch.ones(3), r"names must be bytes \[L\], got torch.float32 \[3\]"),
        (torch.tensor([255], dtype=torch.uint8), "names must be UTF-8 text, got the error"),
        (pack_names(["a", "b", "c"]), "names must be those of 2 classes, got 3"),
    ):
        with pytest.raises(ValueError, match=f"^state of Points: {message}"):
            found.load_state({**given, "names": names})
    found.load_state(given)
    assert found.classes == ()
    found.load_state({**given, "names": pack_names(["a", ""])})
    assert found.classes == ("a", "")
