"""Graphs: quality, faithfulness, likelihood and speed of the latent score-based model, with all gates beside them.

    python benchmarks/graphs.py --data DATA --json benchmarks/results/graphs.json

Fresh communities and fresh planar graphs need no data; Community-small, Ego-small, Planar-64, SBM and QM9 are read from
DATA/graphs and DATA/molecules and left out without it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from budget import cpu_minutes
from graph_problems import PROBLEMS, Problem
from graph_training import mender_run, train, train_mender
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
    model: latentgen.LatentGenerativeModel, judge: Judge, problem: Problem, seed: int, table: Figures,
    mender: latentgen.LatentGenerativeModel | None = None,
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
            row = f"{model.calls} calls, ancestral"
            if problem.guidance != 1:
                guided = latentgen.autoguided(model, problem.guidance, (0,))
                batch = guided.sample(n, "ancestral", steps=calls, seed=sample_seed, batch_size=500)
                row = f"{guided.calls} calls, ancestral, autoguided"
                note(row, judge(batch))
            if mender is not None and problem.mender is not None:
                note(f"{row}, mended", judge(mender.reread(batch, problem.mender.passes, seed=sample_seed)))
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
        mended = "25 calls, ancestral, mended"
        add("planar64, GPU: V.U.N. at 25 ancestral calls, mended", mended, "vun", ">= 0.60")
    elif name == "qm9_gpu":
        add("QM9, GPU: raw validity at 25 calls", "25 calls", "valid", ">= 0.96")
        add("QM9, GPU: raw validity at 25 ancestral calls", "25 calls, ancestral", "valid", ">= 0.96")
        guided = "50 calls, ancestral, autoguided"
        add("QM9, GPU: raw validity at 25 ancestral steps, autoguided", guided, "valid", ">= 0.96")
        add("QM9, GPU: validity at 25 ancestral steps, autoguided, mended", f"{guided}, mended", "valid", ">= 0.96")
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
    args = arguments(
        __doc__ or "",
        "about 2.5 hours of one CPU core for all figures and three seeds, 1 more for kept GPU runs and their menders; "
        "--only for parts",
    )
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
                mender = train_mender(problem, args.data, run, seed) if problem.mender else None
                collect(model, judge, problem, seed, table, mender)
                models.append(model)
                minutes.append(cpu_minutes(run) + (cpu_minutes(mender_run(run)) if problem.mender else 0.0))
            goals(rows, name, table, models)
            report(rows, name, table, minutes)
        if name == "communities" and wanted(args.only, "joint against frozen"):
            compare_frozen(rows, problem, graphs, judge, runs, seeds)


if __name__ == "__main__":
    main()
