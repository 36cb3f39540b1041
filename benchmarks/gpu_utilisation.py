"""Training and sampling rates on a GPU, and the share of its matrix-product rate that training reaches.

Random images of CIFAR-10's size: rates do not depend on what they show.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from harness import Rows
from torch.utils.flop_counter import FlopCounterMode

import latentgen
from latentgen import LSGM, Recipe, Schedule, TransformerArchitecture, UNetArchitecture
from latentgen.stream import batches
from modalities.images import Images

WARM, TIMED = 15, 30


def matmul_rate(size: int = 8192, repeats: int = 20) -> float:
    """Floating-point operations a second of a bf16 matrix product on random data."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        a @ b
    torch.cuda.synchronize()
    return 2 * size**3 * repeats / (time.perf_counter() - start)


def operations_a_step(recipe: Recipe, modality: Images, batch_size: int) -> float:
    """Operations of one forward and backward pass of the objective, counted by torch (products and convolutions)."""
    prepared = recipe.prepare(modality)
    (objective,) = prepared.objectives
    objective.cuda().train()
    batch = next(iter(batches(modality, modality.dataset("train"), limit=batch_size, batch_size=batch_size)))
    batch = {key: value.cuda() for key, value in batch.items()}
    with FlopCounterMode(display=False) as counter, torch.autocast("cuda", torch.bfloat16):
        objective(batch)["loss"].backward()
    return float(counter.get_total_flops())


def seconds_a_step(recipe: Recipe, modality: Images, options: latentgen.TrainingOptions) -> float:
    """Mean seconds of a step of the trainer itself: data, transfer, optimizer and averages included."""
    times: list[float] = []

    def note(trainer: latentgen.Trainer) -> None:
        if trainer.step in (WARM, WARM + TIMED):
            torch.cuda.synchronize()
            times.append(time.perf_counter())

    prepared = recipe.prepare(modality)
    with tempfile.TemporaryDirectory() as folder:
        full = replace(options, steps=WARM + TIMED, checkpoint_every=0, keep=1)
        latentgen.Trainer(prepared.model, prepared.objectives, Path(folder), full, [note], quiet=True).fit()
    return (times[1] - times[0]) / TIMED


def lsgm(network: UNetArchitecture | TransformerArchitecture) -> Callable[[], Recipe]:
    """A maker of LSGM's recipe with a network."""
    return lambda: LSGM(kl_weight=Schedule(1e-3, 0.7), network=network)


def utilisation(rows: Rows, only: str = "") -> None:
    """Rates of the GPU configurations of CIFAR-10."""
    rate = matmul_rate()
    rows.add("CIFAR-10: bf16 matrix products (TFLOP/s)", rate / 1e12, note=torch.cuda.get_device_name())
    pixels = np.random.default_rng(0).integers(0, 256, (4096, 32, 32, 3), dtype=np.uint8)
    small = Images(pixels, likelihood="logistic_mixture", components=10, latent=16, halvings=2, width=64)
    grouped = Images(
        pixels, likelihood="logistic_mixture", components=10, architecture="nvae", groups=(2, 2), latent=16, halvings=2,
        width=64,
    )
    unet, transformer = UNetArchitecture(256, (1, 1), 4, (8,)), TransformerArchitecture(1024, 12, 16, 4)
    settings = {
        "U-Net, hierarchical autoencoder, no compilation": (grouped, lsgm(unet), False, 256),
        "U-Net, hierarchical autoencoder": (grouped, lsgm(unet), True, 256),
        "U-Net": (small, lsgm(unet), True, 512),
        "transformer": (small, lsgm(transformer), True, 512),
    }
    for name, (modality, make, compiled, size) in settings.items():
        if only and only != name:
            continue
        options = latentgen.TrainingOptions(batch_size=size, precision="bf16", compile=compiled)
        operations = operations_a_step(make(), modality, size)
        seconds = seconds_a_step(make(), modality, options)
        share = operations / seconds / rate
        note = f"batch {size}, {operations / 1e12:.2f} TFLOP a step, {'compiled' if compiled else 'not compiled'}"
        rows.add(f"CIFAR-10, {name}: training images a second", size / seconds, note=note)
        rows.add(f"CIFAR-10, {name}: share of the matrix-product rate in training", share,
                 ">= 0.35" if name == "transformer" else "", note=note)
        model = make().prepare(modality).model.cuda().eval()
        with torch.autocast("cuda", torch.bfloat16):
            model.sample(512, "dpm", steps=25, batch_size=512)
            torch.cuda.synchronize()
            start = time.perf_counter()
            model.sample(512, "dpm", steps=25, batch_size=512)
            torch.cuda.synchronize()
        rows.add(f"CIFAR-10, {name}: images a second, 25 calls, decoder included",
                 512 / (time.perf_counter() - start), note="batch 512, bf16, not compiled")
