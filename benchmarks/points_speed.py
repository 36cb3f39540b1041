"""Chamfer distance, sampling and memory: the same work on both sides, interleaved."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import torch
from harness import Rows
from torch import Tensor

import latentgen
from modalities.points import Points
from modalities.points.chamfer import chamfer

POINTS = 2048


def by_cdist(x: Tensor, y: Tensor) -> Tensor:
    """The reference: all squared distances, with gradient."""
    distances = torch.cdist(x, y).square()
    return distances.amin(dim=2).mean(dim=1) + distances.amin(dim=1).mean(dim=1)


def chamfer_speed(rows: Rows, repeats: int = 15) -> None:
    """Forward and backward of 16 pairs of 512 points."""
    torch.manual_seed(0)
    x, y = (torch.randn(16, 512, 3) for _ in range(2))
    times: dict[str, list[float]] = {"own": [], "cdist": []}
    gradients: dict[str, Tensor] = {}
    ways: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"own": chamfer, "cdist": by_cdist}
    for _ in range(repeats + 1):
        for name, distance in ways.items():
            moved = x.clone().requires_grad_()
            start = time.perf_counter()
            torch.autograd.backward(distance(moved, y).sum())
            times[name].append(time.perf_counter() - start)
            assert moved.grad is not None
            gradients[name] = moved.grad
    median = {name: sorted(values[1:])[repeats // 2] for name, values in times.items()}
    gap = float((gradients["own"] - gradients["cdist"]).abs().max())
    note = f"largest difference of a gradient {gap:.1e}, gradients up to {float(gradients['own'].abs().max()):.1e}"
    rows.add("Chamfer distance, forward and backward, 16 x 512: cdist squared over ours",
             median["cdist"] / median["own"], ">= 2", note=note)


def sampling_speed(rows: Rows) -> None:
    """Shapes of 2,048 points at 25 calls, and by 1000 steps of the same untrained network, decoder included."""
    shapes = Points(points=POINTS, train_size=60, test_size=8)
    model = latentgen.LSGM().prepare(shapes).model.eval()
    seconds = {}
    for steps, repeats in ((25, 7), (1000, 1)):
        found = []
        for number in range(repeats + 1 if repeats > 1 else 1):
            start = time.perf_counter()
            model.sample(16, "ddim", steps=steps, seed=number, batch_size=16)
            found.append((time.perf_counter() - start) / 16)
        seconds[steps] = sorted(found)[len(found) // 2]
    rows.add(f"seconds a shape of {POINTS} points: 1000 steps over 25", seconds[1000] / seconds[25], ">= 30",
             note=f"{seconds[25]:.4f} s at 25 calls, decoder included, batch 16")


STEP = """
import resource, torch
torch.set_num_threads(1)
import latentgen
from modalities.points import Points, attention
if {dense}:
    class Dense(attention.InducedBlock):
        def __init__(self, width, heads, inducing=32):
            super().__init__(width, heads, 1)
            self.own = attention.CrossBlock(width, heads)
        def forward(self, points, mask=None):
            return self.own(points, points, mask)
    import modalities.points.hierarchical as place
    place.InducedBlock = Dense
    def plain(q, k, v, attn_mask=None):
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, float("-inf"))
        return scores.softmax(-1) @ v
    if {dense} == 2:
        attention.scaled_dot_product_attention = plain
shapes = Points(points=2048, train_size=60, test_size=8, encoder="points", tokens=8, latent=4)
prepared = latentgen.VAE(1.0).prepare(shapes)
batch = shapes.dataset("train").__getitems__(range(16))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
prepared.objectives[0](batch)["loss"].backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def memory(rows: Rows) -> None:
    """Peak memory of a forward and backward pass of the latent-point autoencoder, batch 16, in fresh processes."""
    peak = {}
    for name, dense in (("induced", 0), ("fused", 1), ("dense", 2)):
        done = subprocess.run(
            [sys.executable, "-c", STEP.replace("{dense}", str(dense))], capture_output=True, text=True, check=True
        )
        peak[name] = int(done.stdout.split()[-1]) / 1024
    rows.add(f"memory of a step at {POINTS} points, batch 16: induced over dense attention",
             peak["induced"] / peak["dense"], "<= 0.25",
             note=f"{peak['induced']:.0f} MiB, dense N x N {peak['dense']:.0f} MiB, dense but fused "
                  f"{peak['fused']:.0f} MiB; growth of the peak resident size")
