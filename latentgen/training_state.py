"""All tensors that training changes, gathered for a checkpoint and taken back from one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .checkpoint import CheckpointError, flatten_optimizer, unflatten_optimizer
from .component import main_script
from .ema import EMA
from .model import LatentGenerativeModel
from .objective import Objective
from .optimizers import make_optimizers, resume_optimizer
from .training_options import TrainingOptions

_COUNTERS: dict[str, type | tuple[type, ...]] = {
    "step": int, "skipped": int, "world": int, "seconds": (int, float), "cpu_seconds": (int, float),
    "options": dict, "config": dict,
}


def check_counters(name: str, state: Mapping[str, Any]) -> None:
    """Refuse the state of a checkpoint that no trainer wrote.

    Raises:
        CheckpointError: naming the checkpoint and what is missing or of another type.
    """
    for key, kind in _COUNTERS.items():
        value = state.get(key)
        if not isinstance(value, kind) or (isinstance(value, int | float) and value < 0):
            raise CheckpointError(
                f"checkpoint {name} has {key} {value!r}; expected what a trainer writes: remove that checkpoint, and "
                "the run goes on from the one before it."
            )


def differences(stored: Any, now: Any, name: str = "") -> list[str]:
    """Where two configurations differ, for people: "trainer.lr was 0.1 and is 0.2"; what one lacks is no difference."""
    if isinstance(stored, Mapping) and isinstance(now, Mapping):
        both = [key for key in stored if key in now]
        return [line for key in both for line in differences(stored[key], now[key], f"{name}.{key}" if name else key)]
    if name.endswith("class_path") and str(stored).startswith("__main__.") and main_script():
        stored = f"{main_script()}{str(stored).removeprefix('__main__')}"
    return [] if stored == now else [f"{name} was {stored!r} and is {now!r}"]


class TrainingState:
    """Weights, their averages, optimizers, and what objectives keep beside the model, such as a discriminator.

    Args:
        model: what is trained, on its device.
        objectives: on the same device; each gets optimizers of its own.
        options: rates of the optimizers, decay of the averages.
    """

    def __init__(
        self, model: LatentGenerativeModel, objectives: Sequence[Objective], options: TrainingOptions
    ) -> None:
        self.model, self.objectives = model, list(objectives)
        self.optimizers = [make_optimizers(objective.groups(), options) for objective in objectives]
        self.ema = EMA(model, options.ema)
        self.players = self._beside_the_model()
        self.players_ema = EMA(self.players, options.ema)

    def average(self) -> None:
        """Move the averages towards the weights, once after each step."""
        self.ema.update(self.model)
        self.players_ema.update(self.players)

    def gather(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        """Groups of tensors, each a file of a checkpoint, and the JSON that belongs to them."""
        tensors = {"model": self.model.tensors(), "ema": self.ema.state_dict(), **self._objectives_own()}
        if len(self.players):
            tensors["ema-players"] = self.players_ema.state_dict()
        layouts = []
        for number, optimizer in self._numbered_optimizers():
            flat, layout = flatten_optimizer(optimizer.state_dict())
            tensors[f"optimizer-{number}"] = flat
            layouts.append(layout)
        return tensors, {"optimizers": layouts, "ema_updates": self.ema.updates}

    def restore(self, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
        """Take back what :meth:`gather` gave; rates and decays stay those of the present options.

        Raises:
            ValueError: if groups of tensors are missing, or some do not fit this model or its optimizers.
        """
        lacking = sorted(self._names() - tensors.keys()) + sorted({"optimizers", "ema_updates"} - state.keys())
        numbers = [number for number, _ in self._numbered_optimizers()]
        if lacking or not isinstance(state["optimizers"], list) or len(state["optimizers"]) != len(numbers):
            raise ValueError(
                f"the checkpoint lacks {', '.join(lacking) or 'some optimizers'}, which this run has; resume with the "
                "recipe that it was made by."
            )
        self.model.load_tensors(tensors["model"])
        self.ema.load_state_dict(tensors["ema"])
        self.ema.updates = self.players_ema.updates = int(state["ema_updates"])
        if len(self.players):
            self.players_ema.load_state_dict(tensors["ema-players"])
        for number, objective in enumerate(self.objectives):
            if f"objective-{number}" in tensors:
                objective.load_state_dict(tensors[f"objective-{number}"], strict=False)
        for number, optimizer in self._numbered_optimizers():
            stored = unflatten_optimizer(tensors[f"optimizer-{number}"], state["optimizers"][number])
            resume_optimizer(optimizer, stored)

    def _numbered_optimizers(self) -> Iterator[tuple[int, torch.optim.Optimizer]]:
        return enumerate(optimizer for optimizers in self.optimizers for optimizer in optimizers)

    def _names(self) -> set[str]:
        """Names of the groups of tensors."""
        players = {"ema-players"} if len(self.players) else set()
        optimizers = {f"optimizer-{number}" for number, _ in self._numbered_optimizers()}
        return {"model", "ema", *players, *optimizers, *self._objectives_own()}

    def _beside_the_model(self) -> torch.nn.ModuleList:
        """Modules that objectives train and that are not part of the model."""
        shared = {id(parameter) for parameter in self.model.parameters()}
        modules = [module for objective in self.objectives for module in objective.groups().values()]
        return torch.nn.ModuleList(
            module for module in modules if all(id(parameter) not in shared for parameter in module.parameters())
        )

    def _objectives_own(self) -> dict[str, dict[str, Tensor]]:
        """Parameters and buffers of objectives that are not part of the model."""
        shared = {id(tensor) for tensor in [*self.model.parameters(), *self.model.buffers()]}
        own = {}
        for number, objective in enumerate(self.objectives):
            kept = {
                name: tensor.detach()
                for name, tensor in objective.state_dict(keep_vars=True).items()
                if id(tensor) not in shared
            }
            if kept:
                own[f"objective-{number}"] = kept
        return own
