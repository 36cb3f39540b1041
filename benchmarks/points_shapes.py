"""Chairs by the published protocol: reconstruction, generation at few calls, and the rows that bound them."""

from __future__ import annotations

from pathlib import Path

import torch
from budget import trained_for, training_record
from harness import Rows, mean_spread

import latentgen
from latentgen import DDGAN, VAE, JointDDGAN, LatentDiffusion, NormalPrior, Schedule
from latentgen.adversarial_recipe import REFINED
from latentgen.evaluation import gather
from latentgen.tensors import Batch
from modalities.points import Points
from modalities.points.chamfer import chamfer
from modalities.points.dataset import PointData
from modalities.points.figures import points_figures
from modalities.points.hierarchical import PointArchitecture

FIRST = 0.5
"""Share of the time for the autoencoder."""
LEVELS = (3.5, -1.0)
SETS = 3
HALF = 128
RATES = {"lr": 2e-3, "autoencoder_lr": 2e-3, "generator_lr": 2e-4, "discriminator_lr": 2e-4, "warmup": 0.03}
PER_CENT = ("nna_cd", "cov_cd")


def two_stage(
    minutes: float, shapes: Points, run: Path, seed: int, network: latentgen.Architecture | None = None
) -> latentgen.LatentGenerativeModel:
    """A kept or new model: the autoencoder, then a score prior and a generator on its frozen latents."""
    first = run.with_name(run.name + "-autoencoder")
    options = latentgen.TrainingOptions(seed=seed, batch_size=16, **RATES)  # type: ignore[arg-type]
    trained_for(minutes * FIRST, lambda: VAE(Schedule(1e-3, 1.0, portion=0.5)), shapes, first, options)
    options = latentgen.TrainingOptions(seed=seed, batch_size=32, **RATES)  # type: ignore[arg-type]
    recipe = lambda: JointDDGAN(  # noqa: E731
        LatentDiffusion(str(first), network=network),
        DDGAN(4, **{**REFINED, "levels": LEVELS, "network": network}),
        begins=0.7,
    )
    return trained_for(minutes * (1 - FIRST), recipe, shapes, run, options)


def half(batch: Batch, number: int) -> Batch:
    """The first or the second 128 examples."""
    return {key: value[number * HALF : (number + 1) * HALF] for key, value in batch.items()}


def second_draw(shapes: Points) -> Batch:
    """Other points of the same test surfaces."""
    data = PointData(shapes.shapes("test"), shapes.normalisation, shapes.points, shapes.least, seed=77)
    return data.__getitems__(range(len(data)))


class Judge:
    """Figures of clouds against the second half of the test shapes, the first being what is reconstructed."""

    def __init__(self, shapes: Points, reference: Batch) -> None:
        self.shapes, self.reference = shapes, shapes.clouds(reference)
        self.found: dict[str, dict[str, list[float]]] = {}

    def note(self, name: str, batch: Batch) -> None:
        """Add one set of clouds to a row."""
        figures = points_figures(self.shapes.clouds(batch), self.reference)
        for key, value in figures.items():
            scaled = 100 * value if key in PER_CENT or key.startswith("nna") else value
            self.found.setdefault(name, {}).setdefault(key, []).append(scaled)

    def mean(self, name: str, key: str) -> float:
        """Of all sets of a row."""
        return mean_spread(self.found[name][key])[0]

    def rows(self, rows: Rows, what: str) -> None:
        """Everything that was noted."""
        for name, cells in self.found.items():
            for key, values in cells.items():
                mean, spread = mean_spread(values)
                rows.add(f"{what}, {name}: {key}", mean, spread=spread, note=f"{len(values)} sets")


def generated(
    judge: Judge, model: latentgen.LatentGenerativeModel, shapes: Points, count: int, seed: int, sets: int = SETS
) -> None:
    """Rows of the prior and of the latents without one."""
    nothing = latentgen.LatentGenerativeModel(shapes, model.autoencoder, NormalPrior(shapes.latents))
    for number in range(sets):
        one = 100 * seed + number
        judge.note("no prior", nothing.sample(count, seed=one, batch_size=64))
        for name, sampler, steps in (("25 calls", "dpm", 25), ("10 calls", "dpm", 10), ("gan, 4 calls", "gan", None)):
            judge.note(name, model.sample(count, sampler, steps=steps, seed=one, batch_size=64))


def chairs(rows: Rows, runs: Path, minutes: float, seeds: range) -> None:
    """Procedural chairs of 512 points, 128 shapes against 128 others."""
    shapes = Points(kinds=("chair",), points=512, train_size=2000, test_size=2 * HALF)
    judge, distance, note = judged_chairs(shapes, runs, "chairs", minutes, seeds)
    level = judge.mean("reconstruction", "nna_cd")
    rows.add("chairs: 1-NNA-CD of reconstructions (%)", level, "<= 65", note=note)
    for name, limit in (("25 calls", 8), ("gan, 4 calls", 12)):
        rows.add(f"chairs, {name}: 1-NNA-CD above that of reconstructions (points)", judge.mean(name, "nna_cd") - level,
                 f"<= {limit}", note=note)
        rows.add(f"chairs, {name}: MMD-CD over that of reconstructions",
                 judge.mean(name, "mmd_cd") / judge.mean("reconstruction", "mmd_cd"), "<= 1.15")
        rows.add(f"chairs, {name}: COV-CD over that of reconstructions",
                 judge.mean(name, "cov_cd") / judge.mean("reconstruction", "cov_cd"), ">= 0.8")
    rows.add("chairs: Chamfer distance of reconstructions over two samplings of the surface", distance, "<= 1.5")
    judge.rows(rows, "chairs")


def latent_points(rows: Rows, runs: Path, minutes: float, seeds: range) -> None:
    """The same chairs by the hierarchical autoencoder, with a latent for every point; reported without goals."""
    shapes = Points(kinds=("chair",), points=512, train_size=2000, test_size=2 * HALF, encoder="points", tokens=8,
                    latent=4)
    judge, distance, note = judged_chairs(shapes, runs, "latent-points", minutes, seeds, PointArchitecture(8), 1)
    rows.add("latent points: Chamfer distance of reconstructions over two samplings of the surface", distance,
             note=note)
    judge.rows(rows, "latent points")


def judged_chairs(
    shapes: Points,
    runs: Path,
    name: str,
    minutes: float,
    seeds: range,
    network: latentgen.Architecture | None = None,
    sets: int = SETS,
) -> tuple[Judge, float, str]:
    """Train what is not kept and judge it.

    Returns:
        The figures; the Chamfer distance of reconstructions over that of two samplings of the surface; what was spent.
    """
    judge: Judge | None = None
    rebuilding, sampling = [], []
    note = ""
    for seed in seeds:
        run = runs / f"{name}-seed{seed}"
        model = two_stage(minutes, shapes, run, seed, network)
        note = spent(run)
        test = gather(model, "test", 2 * HALF)
        judge = judge or Judge(shapes, half(test, 1))
        again, rebuilt = second_draw(shapes), model.reconstruct(test)
        judge.note("real", half(test, 0))
        judge.note("real, other points", half(again, 0))
        judge.note("reconstruction", half(rebuilt, 0))
        rebuilding.append(float(chamfer(rebuilt["x"], test["x"]).mean()))
        sampling.append(float(chamfer(again["x"], test["x"]).mean()))
        generated(judge, model, shapes, HALF, seed, sets)
    assert judge is not None
    return judge, sum(rebuilding) / sum(sampling), note


def spent(run: Path) -> str:
    """Steps and minutes of both stages."""
    records = [training_record(part) for part in (run.with_name(run.name + "-autoencoder"), run)]
    steps = " + ".join(f"{record['steps']:.0f}" for record in records)
    return f"{steps} steps, {sum(record['CPU-minutes'] for record in records):.1f} CPU-minutes"


def modelnet(rows: Rows, data: Path, runs: Path, minutes: float, seeds: range) -> None:
    """ModelNet10's chairs, centres of surface voxels, as published: test shapes against what is generated."""
    shapes = Points(data / "shapes3d" / "modelnet10_chair_vox32.npz", points=512)
    judge: Judge | None = None
    note = ""
    for seed in seeds:
        run = runs / f"modelnet-chairs-seed{seed}"
        model = two_stage(minutes, shapes, run, seed)
        note = spent(run)
        test = gather(model, "test", 1000)
        train = gather(model, "train", 4000)
        count = len(test["x"])
        judge = judge or Judge(shapes, test)
        for number in range(SETS):
            order = torch.randperm(len(train["x"]), generator=torch.Generator().manual_seed(10 * seed + number))[:count]
            some = {key: value[order] for key, value in train.items()}
            judge.note("real training shapes", some)
            noisy = some["x"] + 0.05 * torch.randn(some["x"].shape, generator=torch.Generator().manual_seed(number))
            judge.note("training shapes plus noise of .05", {**some, "x": noisy * some["mask"].unsqueeze(-1)})
            judge.note("reconstruction of training shapes", model.reconstruct(some))
        generated(judge, model, shapes, count, seed)
    assert judge is not None
    rows.add("ModelNet10 chairs, 25 calls: 1-NNA-CD better than without a prior (points)",
             judge.mean("no prior", "nna_cd") - judge.mean("25 calls", "nna_cd"), ">= 15", note=note)
    judge.rows(rows, "ModelNet10 chairs")
