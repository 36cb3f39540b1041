"""The data sets of the graph benchmark, how each is trained and how many graphs are judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import latentgen
from modalities.graphs import Graphs


@dataclass(frozen=True)
class Mender:
    """An autoencoder that goes on from a trained model's, sees changed graphs, and reads samples again.

    Attributes:
        corruption: of what its encoder sees.
        steps: of training, a few minutes on a CPU.
        batch_size: graphs a step.
        passes: times that a sample is read again.
        lr: learning rate.
        kl_weight: of the loss.
    """

    corruption: float
    steps: int
    batch_size: int
    passes: int
    lr: float = 5e-4
    kl_weight: float = 0.03


@dataclass(frozen=True)
class Problem:
    """One data set, how it is trained and how many graphs are judged."""

    name: str
    make: Callable[..., Graphs | None]
    steps: int
    samples: int
    kl_weight: float | latentgen.Schedule = 0.03
    batch_size: int = 64
    lr: float = 2e-3
    calls: tuple[int, ...] = (6, 10, 25)
    ancestral: tuple[int, ...] = ()
    passes: int = 0
    guidance: float = 1.0
    mender: Mender | None = None
    family: str = "spectre"
    seeds: int | None = None
    sets: int = 10
    gate_sets: int = 3
    gpu: bool = False
    recipe: dict[str, Any] = field(default_factory=dict)


def _file(name: str, **options: Any) -> Callable[..., Graphs | None]:
    def make(data: Path | None, **more: Any) -> Graphs | None:
        return None if data is None else Graphs(data=str(data / name), **options, **more)

    return make


def _small(name: str, samples: int) -> Problem:
    """A file of a few graphs, with the protocol of GDSS."""
    return Problem(
        name, _file(f"graphs/{name}.jsonl", protocol="gdss"), 1500, samples, kl_weight=0.3, batch_size=32,
        family="gdss", sets=30, gate_sets=30,
    )


PROBLEMS = {
    "communities": Problem(
        "communities", lambda data: Graphs(data="communities", train_size=2000, test_size=1000), 2750, 1000
    ),
    "planar20": Problem(
        "planar20",
        lambda data: Graphs(data="planar", valid="planar", train_size=4000, test_size=1000, options={"nodes": 20}),
        4350,
        1000,
        batch_size=32,
    ),
    "community_small": _small("community_small", 20),
    "ego_small": _small("ego_small", 40),
    "planar64": Problem(
        "planar64", _file("graphs/planar.jsonl", valid="planar", latent=12), 600, 40, batch_size=16, seeds=1
    ),
    # a block model's edges are random given the blocks: latents carry the blocks, edges are drawn
    "sbm": Problem(
        "sbm",
        _file("graphs/sbm.jsonl", valid="sbm_lite", draws=True),
        1200,
        40,
        kl_weight=latentgen.Schedule(1e-3, 0.3, portion=0.8, begins=0.4),
        batch_size=8,
        seeds=1,
    ),
    "qm9": Problem(
        "qm9", _file("molecules/qm9.csv", protocol="molecules"), 2500, 2000, seeds=1, family="molecules"
    ),
    "planar64_gpu": Problem(
        "planar64_gpu",
        _file("graphs/planar.jsonl", valid="planar", latent=12, width=128),
        3059,
        40,
        batch_size=32,
        calls=(10, 25, 100),
        ancestral=(25,),
        passes=6,
        mender=Mender(corruption=0.06, steps=2000, batch_size=16, passes=12, lr=4e-4),
        seeds=1,
        gpu=True,
        recipe={"width": 192, "depth": 6, "heads": 6},
    ),
    "sbm_gpu": Problem(
        "sbm_gpu",
        _file("graphs/sbm.jsonl", valid="sbm_lite", width=96, draws=True),
        2000,
        40,
        kl_weight=latentgen.Schedule(1e-3, 0.3, portion=0.8, begins=0.4),
        batch_size=16,
        calls=(10, 25, 100),
        seeds=1,
        gpu=True,
        recipe={"width": 192, "depth": 6, "heads": 6},
    ),
    "qm9_gpu": Problem(
        "qm9_gpu",
        _file("molecules/qm9.csv", protocol="molecules", width=128),
        2452,
        10000,
        kl_weight=0.1,
        batch_size=512,
        calls=(6, 10, 25),
        ancestral=(25,),
        guidance=1.5,
        mender=Mender(corruption=0.15, steps=600, batch_size=128, passes=12),
        seeds=1,
        sets=1,
        gate_sets=1,
        family="molecules",
        gpu=True,
        recipe={"width": 192, "depth": 6, "heads": 6},
    ),
}
