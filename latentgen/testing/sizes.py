"""The masks of new samples: functions of one number, real items first, of sizes that the data have."""

from __future__ import annotations

import torch

from ..modality import Modality
from ..tensors import Batch
from .data import Scan
from .padding import leading
from .result import require

GRID = 1024
UNLIKE = 0.1


def sample_mask(modality: Modality) -> str | None:
    """``sample_mask`` is a function of u alone, within N, real items first."""
    latents = modality.latents
    u = torch.tensor([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1 - 2**-24])
    mask = modality.sample_mask(u)
    if not latents.masked:
        require(
            mask is None,
            "sample_mask gives a mask, but latents.masked is False",
            "return None from sample_mask, or set masked=True in latents",
        )
        return "does not apply: latents have no mask"
    require(
        mask is not None and mask.dtype == torch.bool and mask.shape == (7, latents.shape[0]),
        "sample_mask(u) is "
        f"{'None' if mask is None else f'{mask.dtype} of shape {list(mask.shape)}'} for 7 numbers",
        f"return a bool mask of shape [n, {latents.shape[0]}]",
    )
    assert mask is not None
    for i in range(7):
        alone = modality.sample_mask(u[i : i + 1])
        require(
            alone is not None and torch.equal(alone[0], mask[i]),
            f"the mask of sample {i} differs when it is drawn alone",
            "make each row a function of its own u, such as the inverse distribution function "
            "of the sizes, without random numbers",
        )
    sizes = mask.sum(dim=1)
    prefix = torch.arange(latents.shape[0]) < sizes.unsqueeze(1)
    require(
        sizes.min() > 0 and torch.equal(mask, prefix),
        "sample_mask gives a sample no item, or does not put real items first",
        "return torch.arange(N) < size.unsqueeze(1) with sizes from 1 to N",
    )
    return f"{int(sizes.min())} to {int(sizes.max())} items"


@torch.no_grad()
def sizes(modality: Modality, data: Scan, few: Batch) -> str | None:
    """New samples are as large as training data; the remark says so where sizes are distributed otherwise.

    It fails only where the smallest of one are larger than the largest of the other: all else is a matter of judgement.
    """
    mask = modality.sample_mask((torch.arange(GRID) + 0.5) / GRID)
    if not modality.latents.masked or mask is None:
        return "does not apply: latents have no mask"
    real = data.sizes + leading(modality.autoencoder().eval().encode(few), few)
    drawn = mask.sum(dim=1)
    of_samples, of_data = (f"{int(n.min())} to {int(n.max())}, {float(n.float().mean()):.3g}" for n in (drawn, real))
    apart = bool(drawn.min() > real.max() or real.min() > drawn.max())
    found = f"sample_mask draws {of_samples} on average; the latents of {data} train examples have {of_data}"
    require(
        not apart or data.count < data.total,
        found,
        "let sample_mask draw the sizes that the data have: quantiles of the training sizes, kept in state()",
    )
    points = torch.arange(int(max(drawn.max(), real.max())) + 1)
    shares = [(n.unsqueeze(1) <= points).float().mean(dim=0) for n in (drawn, real)]
    distance = float((shares[0] - shares[1]).abs().max())  # Kolmogorov and Smirnov's, whose 0.1 % point is 1.95
    return found + ("; warning: other sizes than the data's" if distance > UNLIKE + 1.95 / len(real) ** 0.5 else "")
