"""How the graph benchmark trains: end to end, in two stages, and the autoencoder that mends samples."""

from __future__ import annotations

from pathlib import Path

import torch
from graph_problems import Problem

import latentgen
from modalities.graphs import Graphs


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


def train_mender(problem: Problem, data: Path | None, source: Path, seed: int) -> latentgen.LatentGenerativeModel:
    """A kept or new mender of the model in the folder ``source``; trained on a CPU, too."""
    run, mender = mender_run(source), problem.mender
    assert mender is not None
    seeing = problem.make(data, corruption=mender.corruption)
    assert seeing is not None
    if not (run / "export" / "model.safetensors").exists():
        torch.manual_seed(seed)
        prepared = latentgen.VAE(mender.kl_weight, str(source)).prepare(seeing)
        options = latentgen.TrainingOptions(
            steps=mender.steps, batch_size=mender.batch_size, autoencoder_lr=mender.lr, warmup=0.05, seed=seed,
            log_every=20, checkpoint_every=0, keep=1,
        )
        latentgen.Trainer(prepared.model, prepared.objectives, run, options).fit()
    model = latentgen.load(run)
    model.modality = seeing
    return model


def mender_run(source: Path) -> Path:
    """Where the mender of the model in ``source`` is kept."""
    return source.with_name(source.name + "-mender")
