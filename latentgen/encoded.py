"""Posteriors of the training data, computed once where the autoencoder stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .autoencoder import Autoencoder
from .distributions import DiagonalGaussian
from .evaluating import evaluating
from .modality import Dataset, Modality
from .stream import batches
from .tensors import Batch

MEAN, STD, MASK = "posterior_mean", "posterior_std", "posterior_mask"


def posterior(autoencoder: Autoencoder, batch: Batch) -> DiagonalGaussian:
    """q(z | x) of a batch: the one that it carries (:class:`EncodedData`), or else what the autoencoder makes of it."""
    if MEAN in batch:
        return DiagonalGaussian(batch[MEAN], batch[STD], batch.get(MASK))
    return autoencoder.encode(batch)


class EncodedData:
    """A data set of posteriors in the place of examples, in memory where the autoencoder is: 8 bytes a latent number.

    An example's posterior is a function of the example as long as autoencoder and data do not change. A data set that
    gives an example in another way each time (flips, new draws of grey values or points) has no such posterior.

    Args:
        modality: of the data.
        dataset: the examples; they must be the same whenever they are asked for.
        autoencoder: not trained any more.
        batch_size: examples encoded at a time.

    Raises:
        ValueError: if there are no examples, or the first ones differ from one time to the next.
    """

    def __init__(self, modality: Modality, dataset: Dataset, autoencoder: Autoencoder, batch_size: int = 128) -> None:
        _check_fixed(modality, dataset)
        device = next((value.device for value in autoencoder.state_dict().values()), torch.device("cpu"))
        parts = []
        with torch.no_grad(), evaluating(autoencoder):
            for batch in batches(modality, dataset, batch_size):
                batch = {key: value.to(device) for key, value in batch.items()}
                q = autoencoder.encode(batch)
                found = {MEAN: q.mean, STD: q.std, MASK: q.mask, "condition": batch.get("condition")}
                parts.append({key: value for key, value in found.items() if value is not None})
        items = max(part[MEAN].shape[1] for part in parts)
        if MASK in parts[0]:  # batches of sets are only as long as their largest
            parts = [{key: _longer(value, items, key) for key, value in part.items()} for part in parts]
        self.tensors = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.tensors[MEAN])

    def __getitem__(self, index: int) -> Batch:
        """One example, as a batch of one."""
        return self.__getitems__([index])

    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        """A batch of posteriors, cut to its largest number of real items."""
        chosen = torch.as_tensor(list(numbers), device=self.tensors[MEAN].device)
        batch = {key: value[chosen] for key, value in self.tensors.items()}
        if MASK not in batch:
            return batch
        real = batch[MASK].any(dim=0).nonzero()
        items = int(real.max()) + 1 if len(real) else 1
        return {key: value if key == "condition" else value[:, :items] for key, value in batch.items()}


def check_frozen(autoencoder: nn.Module, trained: Iterable[nn.Module]) -> None:
    """That none of the trained modules has a parameter of the autoencoder.

    Raises:
        ValueError: if one has.
    """
    own = {id(parameter) for parameter in autoencoder.parameters()}
    if any(id(parameter) in own for module in trained for parameter in module.parameters()):
        raise ValueError(
            "cache_posteriors is True, but encoder and decoder are trained and posteriors change with them; use a "
            "recipe on a frozen autoencoder, such as LatentDiffusion, or leave cache_posteriors at False."
        )


def _longer(value: Tensor, items: int, key: str) -> Tensor:
    """Items added to [B, N, ...] that are no items: mean 0, standard deviation 1, mask False."""
    if key == "condition":
        return value
    axes = value.dim() - 2
    return pad(value, [0, 0] * axes + [0, items - value.shape[1]], value=float(key == STD))


def _check_fixed(modality: Modality, dataset: Dataset) -> None:
    if not len(dataset):
        raise ValueError("the training data are empty; give at least one example.")
    first, second = (next(batches(modality, dataset, 64)) for _ in range(2))
    for key, value in first.items():
        if not torch.equal(value.nan_to_num(), second[key].nan_to_num()):
            raise ValueError(
                f"cache_posteriors is True, but the training data gave two different {key!r} for the same examples; "
                "take flips and other draws out of the data, or leave cache_posteriors at False."
            )
