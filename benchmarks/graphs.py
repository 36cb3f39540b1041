"""Graphs: quality, faithfulness, likelihood and speed of the latent score-based model, with all gates beside them.

    python benchmarks/graphs.py --data DATA --json benchmarks/results/graphs.json

Fresh communities and fresh planar graphs need no data; Community-small, Ego-small, Planar-64, SBM and QM9 are read from
DATA/graphs and DATA/molecules and left out without it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from harness import Rows, arguments, mean_spread, wanted
from joint_step import joint_step_ratio

import latentgen
from latentgen.evaluation import sample_without_prior, select
from latentgen.tensors import Batch
from modalities.graphs import Graphs
from modalities.graphs.isomorphism import GraphSet
from modalities.graphs.mmd import graph_mmd
from modalities.graphs.statistics import GraphStatistics
from modalities.graphs.validity import vun


@dataclass(frozen=True)
class Problem:
    """One data set, how it is trained and how many graphs are judged."""

    name: str
    make: Callable[[Path | None], Graphs | None]
    steps: int
    samples: int
    kl_weight: float | latentgen.Schedule = 0.03
    batch_size: int = 64
    lr: float = 2e-3
    calls: tuple[int, ...] = (6, 10, 25)
    ancestral: tuple[int, ...] = ()
    passes: int = 0
    family: str = "spectre"
    seeds: int | None = None
    sets: int = 10
    gate_sets: int = 3
    gpu: bool = False
    recipe: dict[str, Any] = field(default_factory=dict)


def _file(name: str, **options: Any) -> Callable[[Path | None], Graphs | None]:
    def make(data: Path | None) -> Graphs | None:
        return None if data is None else Graphs(data=str(data / name), **options)

    return make


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
    "community_small": Problem(
        "community_small",
        _file("graphs/community_small.jsonl", protocol="gdss"),
        1500,
        20,
        kl_weight=0.3,
        batch_size=32,
        family="gdss",
        sets=30,
        gate_sets=30,
    ),
    "ego_small": Problem(
        "ego_small",
        _file("graphs/ego_small.jsonl", protocol="gdss"),
        1500,
        40,
        kl_weight=0.3,
        batch_size=32,
        family="gdss",
        sets=30,
        gate_sets=30,
    ),
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
        seeds=1,
        sets=1,
        gate_sets=1,
        family="molecules",
        gpu=True,
        recipe={"width": 192, "depth": 6, "heads": 6},
    ),
}


def options_of(problem: Problem, seed: int, share: float = 1.0) -> latentgen.TrainingOptions:
    """Training options; ``share`` scales the number of steps."""
    return latentgen.TrainingOptions(
        steps=int(problem.steps * share),
        batch_size=problem.batch_size,
        lr=problem.lr,
        autoencoder_lr=problem.lr,
        warmup=0.03,
        seed=seed,
        log_every=100,
        checkpoint_every=1000,
        keep=1,
    )


def train(
    problem: Problem, graphs: Graphs, run: Path, seed: int, recipe: str = "lsgm"
) -> latentgen.LatentGenerativeModel:
    """A trained model from the folder of kept runs, or a new one."""
    if (run / "export" / "model.safetensors").exists():
        model = latentgen.load(run)
        model.modality = graphs
        return model
    torch.manual_seed(seed)
    given = problem.kl_weight
    kl_weight = given if isinstance(given, latentgen.Schedule) else latentgen.Schedule(5e-4, given)
    share = 1.0
    if recipe == "lsgm":
        chosen: latentgen.Recipe = latentgen.LSGM(kl_weight=kl_weight, **problem.recipe)
    else:
        # a step of either stage costs about half of a joint step: together they use the joint run's CPU time
        share, first = 0.95, latentgen.VAE(kl_weight=kl_weight).prepare(graphs)
        latentgen.Trainer(first.model, first.objectives, run / "autoencoder", options_of(problem, seed, share)).fit()
        chosen = latentgen.LatentDiffusion(str(run / "autoencoder"), **problem.recipe)
    prepared = chosen.prepare(graphs)
    return latentgen.Trainer(prepared.model, prepared.objectives, run, options_of(problem, seed, share)).fit()


def cpu_minutes(run: Path) -> float:
    """CPU time that training took, stages added."""
    total = 0.0
    for log in (run / "metrics.jsonl", run / "autoencoder" / "metrics.jsonl"):
        if log.exists():
            rows = [json.loads(line) for line in log.read_text().splitlines() if line.strip()]
            total += max((row.get("cpu_seconds") or 0.0 for row in rows), default=0.0)
    return total / 60


class Judge:
    """Figures of sample sets of one data set."""

    def __init__(self, graphs: Graphs, family: str) -> None:
        self.graphs, self.family = graphs, family
        self.test = graphs.dataset("test").__getitems__(list(range(len(graphs.dataset("test")))))
        count = min(len(graphs.dataset("train")), 20000)
        self.train = graphs.dataset("train").__getitems__(list(range(count)))
        self.known = None if family == "molecules" else GraphSet(self.train)
        self.statistics = None if family == "molecules" else GraphStatistics.from_batch(self.test)

    def __call__(self, batch: Batch) -> dict[str, float]:
        """Figures of one sample set."""
        if self.family == "molecules":
            return self.graphs.evaluate(batch, self.test, self.train)
        assert self.statistics is not None and self.known is not None
        fake = GraphStatistics.from_batch(batch, drop_isolated=self.family == "gdss")
        figures = graph_mmd(self.statistics, fake, self.family)  # type: ignore[arg-type]
        return {**figures, **vun(batch, self.known, self.graphs.valid)}


def exact(model: latentgen.LatentGenerativeModel, batch: Batch, draw: bool = False) -> float:
    """Share of graphs whose every node and edge comes back, from the posterior's mean (or a draw of it)."""
    q = model.encode(batch)
    back = model.decode(q.rsample() if draw else q.mean, q.mask).mode()
    same = (back["edges"] == batch["edges"]).flatten(1).all(1) & (back["nodes"] == batch["nodes"]).all(1)
    return float(same.float().mean())


Figures = dict[str, dict[str, list[float]]]


def collect(
    model: latentgen.LatentGenerativeModel, judge: Judge, problem: Problem, seed: int, table: Figures
) -> None:
    """Figures of every row for one trained model, several sample sets each."""

    def note(row: str, figures: dict[str, float]) -> None:
        for key, value in figures.items():
            table.setdefault(row, {}).setdefault(key, []).append(value)

    n = problem.samples
    for number in range(problem.sets):
        generator = torch.Generator().manual_seed(1000 * seed + number)
        sample_seed = 10_000 * seed + number
        for calls in problem.calls:
            batch = model.sample(n, steps=calls, seed=sample_seed, batch_size=500)
            note(f"{model.calls} calls", judge(batch))
        for calls in problem.ancestral:
            batch = model.sample(n, "ancestral", steps=calls, seed=sample_seed, batch_size=500)
            note(f"{model.calls} calls, ancestral", judge(batch))
            if problem.passes:
                again = model.reread(batch, problem.passes, seed=sample_seed)
                note(f"{model.calls} calls, ancestral, read again", judge(again))
        if number >= problem.gate_sets:
            continue
        pick = torch.randperm(len(judge.train["mask"]), generator=generator)[:n]
        figures = judge(select(judge.train, pick))
        note("real", {key: value for key, value in figures.items() if key not in ("novel", "vun")})
        pick = torch.randperm(len(judge.test["mask"]), generator=generator)[:n]
        note("reconstruction", judge(model.reconstruct(select(judge.test, pick))))
        note("no prior", judge(sample_without_prior(model, judge.train, n, sample_seed)))
    note("exact", {"mean code": exact(model, judge.test), "posterior draw": exact(model, judge.test, draw=True)})


def report(rows: Rows, name: str, table: Figures, minutes: list[float]) -> None:
    """Rows of reference: everything that was measured, mean and spread over seeds and sets."""
    for row, figures in table.items():
        for key, values in figures.items():
            mean, spread = mean_spread(values)
            rows.add(f"{name}, {row}, {key}", mean, spread=spread, note=f"{len(values)} values")
    rows.add(f"{name}, training, CPU-minutes", mean_spread(minutes)[0], spread=mean_spread(minutes)[1])


def seconds_per_graph(model: latentgen.LatentGenerativeModel, calls: int, n: int = 128, repeats: int = 7) -> float:
    """Median time to generate one graph, decoder included, warm, batch of n."""
    import time

    found = []
    for number in range(repeats + 1):
        start = time.perf_counter()
        model.sample(n, steps=calls, seed=number, batch_size=n)
        found.append((time.perf_counter() - start) / n)
    return sorted(found[1:])[repeats // 2]


def goals(rows: Rows, name: str, table: Figures, models: list[latentgen.LatentGenerativeModel]) -> None:
    """The figures that have something to reach."""

    def add(figure: str, row: str, key: str, condition: str) -> None:
        mean, spread = mean_spread(table[row][key])
        rows.add(figure, mean, condition, spread=spread, note=f"{row}, {key}")

    if name == "communities":
        add("communities: V.U.N. at 6 calls (at most 25)", "6 calls", "vun", ">= 0.92")
        add("communities: V.U.N. at 25 calls", "25 calls", "vun", ">= 0.92")
        add("communities: V.U.N. at 10 calls", "10 calls", "vun", ">= 0.88")
        add("communities: degree MMD (TV) at 25 calls", "25 calls", "degree", "<= 0.002")
        add("communities: degree MMD (TV) at 10 calls", "10 calls", "degree", "<= 0.002")
        add("communities: exact reconstruction", "exact", "mean code", ">= 0.97")
    elif name == "planar20":
        add("planar20: V.U.N. at 25 calls", "25 calls", "vun", ">= 0.60")
        add("planar20: exact reconstruction", "exact", "mean code", ">= 0.99")
    elif name == "community_small":
        add("community_small: average MMD at 25 calls", "25 calls", "average", "<= 0.037")
        times = [seconds_per_graph(model, 25) for model in models]
        rows.add("community_small: seconds per graph at 25 calls", mean_spread(times)[0], "<= 0.005",
                 spread=mean_spread(times)[1], note="batch of 128, decoder included, median of 7")
        add("community_small: average MMD at 10 calls", "10 calls", "average", "<= 0.037")
        times = [seconds_per_graph(model, 10) for model in models]
        rows.add("community_small: seconds per graph at 10 calls", mean_spread(times)[0], "<= 0.005",
                 spread=mean_spread(times)[1], note="batch of 128, decoder included, median of 7")
    elif name == "planar64_gpu":
        add("planar64, GPU: V.U.N. at 25 calls", "25 calls", "vun", ">= 0.60")
        again = "25 calls, ancestral, read again"
        add("planar64, GPU: V.U.N. at 25 ancestral calls, read again 6 times", again, "vun", ">= 0.60")
    elif name == "qm9_gpu":
        add("QM9, GPU: raw validity at 25 calls", "25 calls", "valid", ">= 0.96")
        add("QM9, GPU: raw validity at 25 ancestral calls", "25 calls, ancestral", "valid", ">= 0.96")
    elif name == "ego_small":
        add("ego_small: average MMD at 25 calls", "25 calls", "average", "<= 0.026")


def compare_frozen(rows: Rows, problem: Problem, graphs: Graphs, judge: Judge, runs: Path, seeds: range) -> None:
    """Joint training against the same prior on the frozen autoencoder, equal numbers of steps."""
    found: dict[str, dict[str, list[float]]] = {}
    for recipe in ("lsgm", "frozen"):
        for seed in seeds:
            run = runs / f"{problem.name}-{recipe}-seed{seed}"
            model = train(problem, graphs, run, seed, recipe)
            cells = found.setdefault(recipe, {})
            for calls in (10, 25):
                batch = model.sample(problem.samples, steps=calls, seed=seed, batch_size=500)
                cells.setdefault(f"V.U.N. at {calls} calls", []).append(judge(batch)["vun"])
            parts = [select(judge.test, torch.arange(k, k + 128)) for k in range(0, 512, 128)]
            torch.manual_seed(seed)
            for method in ("bound", "ode"):
                draws = 8 if method == "bound" else 1
                cells.setdefault(f"NELBO ({method})", []).append(model.nelbo(parts, method, draws).mean)
            cells.setdefault("CPU-minutes", []).append(cpu_minutes(run))
    for figure in found["lsgm"]:
        joint, frozen = (mean_spread(found[recipe][figure]) for recipe in ("lsgm", "frozen"))
        note = f"frozen: {frozen[0]:.4g} +- {frozen[1]:.2g}"
        if figure == "CPU-minutes":
            rows.add(f"joint against frozen: {figure}", joint[0], spread=joint[1], note=note)
            continue
        better = joint[0] >= frozen[0] - frozen[1] if "V.U.N." in figure else joint[0] < frozen[0]
        condition = "no worse than frozen" if "V.U.N." in figure else "below frozen"
        rows.add(f"joint against frozen: {figure}", joint[0], condition, better, joint[1], note)


def main() -> None:
    """Run what was asked for."""
    args = arguments(__doc__ or "", "about 2.5 hours of one CPU core for all figures and three seeds; --only for parts")
    rows, runs = Rows(args.json), args.runs
    if wanted(args.only, "joint step"):
        ratio, spread = joint_step_ratio()
        rows.add("joint step: two-backward time / one-backward time", ratio, ">= 1.4", spread=spread)
    for name, problem in PROBLEMS.items():
        if not wanted(args.only, name) and not (name == "communities" and wanted(args.only, "joint against frozen")):
            continue
        graphs = problem.make(args.data)
        kept = (runs / f"{name}-lsgm-seed0" / "export").exists()
        if graphs is None or (problem.gpu and not (kept or torch.cuda.is_available())):
            reason = "--data was not given" if graphs is None else "it is trained on a GPU and no trained run is kept"
            print(f"{name}: left out, since {reason}", flush=True)
            continue
        seeds, judge = range(problem.seeds or args.seeds), Judge(graphs, problem.family)
        if wanted(args.only, name):
            table: Figures = {}
            models, minutes = [], []
            for seed in seeds:
                run = runs / f"{name}-lsgm-seed{seed}"
                model = train(problem, graphs, run, seed)
                collect(model, judge, problem, seed, table)
                models.append(model)
                minutes.append(cpu_minutes(run))
            goals(rows, name, table, models)
            report(rows, name, table, minutes)
        if name == "communities" and wanted(args.only, "joint against frozen"):
            compare_frozen(rows, problem, graphs, judge, runs, seeds)


if __name__ == "__main__":
    main()
