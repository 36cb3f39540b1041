"""The optimizers of one objective: Muon for hidden matrices, AdamW for everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .training_options import TrainingOptions

SMALLEST_MATRIX = 32
ADVERSARIAL = ("generator", "discriminator")
"""Learning-rate groups that play against each other: AdamW with little momentum and no weight decay."""
_OPTIONS = ("peak", "weight_decay", "betas")


def is_hidden_matrix(parameter: Tensor) -> bool:
    """Whether Muon takes the parameter: a matrix with both sides of at least 32 that is not marked as a gate.

    Layers that start at zero carry the mark ``parameter.is_gate = True``.
    """
    large = parameter.dim() == 2 and min(parameter.shape) >= SMALLEST_MATRIX
    return large and not getattr(parameter, "is_gate", False)


def make_optimizers(modules: Mapping[str, nn.Module], options: TrainingOptions) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon (Jordan et al. 2024) beside it when ``options.optimizer`` is "muon".

    Args:
        modules: the modules to train by the name of their learning-rate group.
        options: how to train.

    Raises:
        ValueError: if there is nothing to train.
    """
    rates = {
        "autoencoder": options.autoencoder_lr,
        "generator": options.generator_lr,
        "discriminator": options.discriminator_lr,
    }
    plain: list[dict[str, Any]] = []
    matrices: list[dict[str, Any]] = []
    for name, module in modules.items():
        if name in ADVERSARIAL:
            kept = [parameter for parameter in module.parameters() if parameter.requires_grad]
            plain.append({**_group(name, kept, rates[name], 0.0), "betas": options.adversarial_betas})
            continue
        for kind, chosen in _kinds(module, options):
            if kind == "matrix":
                matrices.append(_group(name, chosen, options.matrix_lr, 0.0))
            else:
                decay = options.weight_decay if kind == "decayed" else 0.0
                plain.append(_group(name, chosen, rates.get(name, options.lr), decay))
    if not plain and not matrices:
        raise ValueError("the objective has nothing to train; all its parameters are frozen.")
    made: list[torch.optim.Optimizer] = []
    if plain:
        made.append(torch.optim.AdamW(plain, betas=options.betas, fused=True))
    if matrices:
        made.append(torch.optim.Muon(matrices, lr=options.matrix_lr, weight_decay=0.0))
    return made


def resume_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take back a stored state (moments and counters); rates and decays stay those of the present options.

    Args:
        optimizer: a new one, of the same parameters.
        state: what ``state_dict`` of the stored one gave.

    Raises:
        ValueError: if a moment is not a finite tensor of its parameter's shape.
    """
    moments = {number: values for number, values in state["state"].items() if isinstance(values, dict)}
    owners = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, parameter in enumerate(owners):
        for name, moment in moments.get(number, {}).items():
            if not isinstance(moment, Tensor) or moment.dim() == 0:
                continue
            if moment.shape != parameter.shape or not moment.is_floating_point() or not moment.isfinite().all():
                raise ValueError(
                    f"{name} of parameter {number} is a {moment.dtype} of shape {list(moment.shape)}; expected finite "
                    f"floats of shape {list(parameter.shape)}: resume from another checkpoint."
                )
    present = [{name: group[name] for name in _OPTIONS if name in group} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, own in zip(optimizer.param_groups, present, strict=True):
        group.update(own)


def _group(name: str, parameters: list[nn.Parameter], rate: float, decay: float) -> dict[str, Any]:
    return {"params": parameters, "lr": rate, "peak": rate, "name": name, "weight_decay": decay}


def _kinds(module: nn.Module, options: TrainingOptions) -> Iterator[tuple[str, list[nn.Parameter]]]:
    """Trainable parameters as hidden matrices (for Muon), other decayed ones, and undecayed vectors."""
    sorted_out: dict[str, list[nn.Parameter]] = {"matrix": [], "decayed": [], "vector": []}
    for parameter in module.parameters():
        if not parameter.requires_grad:
            continue
        if options.optimizer == "muon" and is_hidden_matrix(parameter):
            sorted_out["matrix"].append(parameter)
        else:
            sorted_out["decayed" if parameter.dim() > 1 else "vector"].append(parameter)
    return ((kind, found) for kind, found in sorted_out.items() if found)


def clip_by_group(optimizers: list[torch.optim.Optimizer], largest: float) -> dict[str, Tensor]:
    """Clip the gradient of each learning-rate group to a norm of its own; returns the norms before, by name."""
    named: dict[str, list[nn.Parameter]] = {}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            named.setdefault(group["name"], []).extend(group["params"])
    return {name: nn.utils.clip_grad_norm_(group, largest) for name, group in named.items()}
