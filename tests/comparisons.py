"""Small untrained models of the mixture, and tables made by hand, for tests of comparisons."""

from __future__ import annotations

import torch

import latentgen
from latentgen import DDGAN, LSGM, VAE, JointDDGAN
from modalities.mixtures import GaussianGrid


def small_models() -> dict[str, latentgen.LatentGenerativeModel]:
    """A score prior with a generator of 3 calls, and a plain normal prior."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        modality = GaussianGrid(train_size=200, test_size=200)
        joint = JointDDGAN(LSGM(width=16, depth=1, heads=2, momentum=0), DDGAN(3, width=16, depth=1))
        recipes = {"joint": joint, "vae": VAE()}
        return {name: recipe.prepare(modality).model.eval() for name, recipe in recipes.items()}


def row(name: str, seconds: float | None = None, calls: int | None = None, **values: float) -> dict:
    """A row of a comparison, sampled if it has seconds."""
    return {
        "name": name, "values": values, "seconds_per_sample": seconds, "calls": calls, "run": name, "sampler": "dpm",
    }


def table(*rows: dict, **better: str) -> dict:
    """A comparison on the figures q and c."""
    return {"rows": list(rows), "axes": {"quality": "q", "coverage": "c"}, "better": better}
