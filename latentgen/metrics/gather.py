"""Features of all processes on every process."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor, nn


def gather_features(features: Tensor, accelerator: Accelerator) -> Tensor:
    """Join the features [n_rank, F] of all processes, in the order of ranks, shape [sum n_rank, F].

    Every process must call it. Parts of different lengths are padded for the exchange and trimmed after it, since a
    gather of unequal shapes hangs.
    """
    if accelerator.num_processes == 1:
        return features
    counts = accelerator.gather(torch.tensor([len(features)], device=features.device)).tolist()
    padded = nn.functional.pad(features, (0, 0, 0, max(counts) - len(features)))
    parts = accelerator.gather(padded).chunk(accelerator.num_processes)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
