"""The U-Net and a 50-step DDIM beside diffusers' UNet2DModel and DDIMScheduler: same width, depth and attention."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from harness import Rows
from torch import Tensor, nn

import latentgen
from latentgen import LatentSpec, UNet

BATCH, REPEATS, CALLS = 16, 9, 50


def pair(width: int, multipliers: tuple[int, ...], depth: int, size: int) -> tuple[nn.Module, nn.Module]:
    """Ours and theirs: the same channels and blocks at each resolution, attention at the smallest alone."""
    from diffusers import UNet2DModel

    smallest = size // 2 ** (len(multipliers) - 1)
    ours = UNet(LatentSpec((1, size, size), "grid"), width, multipliers, depth, (smallest,), heads=1)
    last = len(multipliers) - 1
    theirs = UNet2DModel(
        sample_size=size, in_channels=1, out_channels=1, layers_per_block=depth,
        block_out_channels=tuple(width * multiplier for multiplier in multipliers),
        down_block_types=tuple("AttnDownBlock2D" if k == last else "DownBlock2D" for k in range(last + 1)),
        up_block_types=tuple("AttnUpBlock2D" if k == 0 else "UpBlock2D" for k in range(last + 1)),
        norm_num_groups=4, attention_head_dim=width * multipliers[-1],
    )
    return ours, theirs


def interleaved(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> tuple[float, float, float]:
    """Median seconds of each, in turns, and the median of the ratios theirs / ours."""
    times: list[tuple[float, float]] = []
    for _ in range(repeats + 2):
        cell = []
        for run in (ours, theirs):
            start = time.perf_counter()
            run()
            cell.append(time.perf_counter() - start)
        times.append((cell[0], cell[1]))
    kept = times[2:]
    return (
        statistics.median(a for a, _ in kept),
        statistics.median(b for _, b in kept),
        statistics.median(b / a for a, b in kept),
    )


def training_step(network: Callable[[Tensor, Tensor], Tensor], parameters: list[nn.Parameter], z: Tensor) -> None:
    """Noise prediction: forward, backward, AdamW. The same function for both."""
    optimizer = OPTIMIZERS.setdefault(id(parameters[0]), torch.optim.AdamW(parameters, lr=1e-4, fused=True))
    out = network(z, torch.linspace(-5, 5, len(z)))
    torch.autograd.backward(((out - z) ** 2).mean())
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


OPTIMIZERS: dict[int, torch.optim.Optimizer] = {}


@torch.no_grad()
def our_ddim(network: nn.Module, n: int) -> Tensor:
    """Fifty calls of DDIM through the public sampler."""
    spec = LatentSpec((1, 28, 28), "grid")
    prior = latentgen.ScorePrior(spec, latentgen.NoiseDenoiser(network, latentgen.VPSDE())).eval()
    return prior.sample(n, sampler=latentgen.DDIM(CALLS, spacing="time"))


@torch.no_grad()
def their_ddim(network: nn.Module, n: int) -> Tensor:
    """The same by diffusers' scheduler."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(num_train_timesteps=1000, clip_sample=False)
    scheduler.set_timesteps(CALLS)
    z = torch.randn(n, 1, 28, 28)
    for t in scheduler.timesteps:
        z = scheduler.step(network(z, t).sample, t, z).prev_sample
    return z


def unet_speed(rows: Rows) -> None:
    """Ratios side by side, alternating, and the parameters of both."""
    z = torch.randn(BATCH, 1, 28, 28)
    for width, multipliers, depth in ((32, (1, 2, 2), 2), (64, (1, 2, 2), 2)):
        ours, theirs = pair(width, multipliers, depth, 28)
        sizes = [sum(p.numel() for p in network.parameters()) for network in (ours, theirs)]
        a, b, ratio = interleaved(
            lambda ours=ours: training_step(ours, list(ours.parameters()), z),
            lambda theirs=theirs: training_step(lambda x, t: theirs(x, t).sample, list(theirs.parameters()), z),
            REPEATS,
        )
        note = f"{1e3 * a:.0f} against {1e3 * b:.0f} ms, batch {BATCH}, {sizes[0]:,} and {sizes[1]:,} parameters"
        rows.add(f"U-Net of width {width}, depth {depth}: training step, diffusers' time over ours", ratio, ">= 1.2",
                 note=note)
        ours.eval(), theirs.eval()
        a, b, ratio = interleaved(
            lambda ours=ours: our_ddim(ours, 4), lambda theirs=theirs: their_ddim(theirs, 4), max(3, REPEATS // 3)
        )
        rows.add(f"U-Net of width {width}, depth {depth}: DDIM of {CALLS} calls, diffusers' time over ours", ratio,
                 ">= 1.2", note=f"{a:.2f} against {b:.2f} s for 4 images, {torch.get_num_threads()} thread(s)")
