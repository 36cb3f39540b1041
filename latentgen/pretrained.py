"""Saving, loading and sharing models: one safetensors file whose header holds the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from torch import Tensor, nn

from .component import describe
from .config import build, trusted_packages
from .hiding import hide_secrets
from .storage import export_safetensors, read_safetensors, replace_file

if TYPE_CHECKING:
    from .autoencoder import Autoencoder
    from .modality import Modality
    from .prior import Prior

WEIGHTS = "model.safetensors"
FORMAT = 1
_STATE = "modality."
_PARTS = ("modality", "autoencoder", "prior")


class PretrainedMixin:
    """``save_pretrained``, ``from_pretrained`` and ``push_to_hub`` for a model of modality, autoencoder and prior."""

    modality: Modality
    autoencoder: Autoencoder
    prior: Prior

    def config(self) -> dict[str, Any]:
        """The model's configuration as plain data."""
        parts = {name: describe(getattr(self, name)) for name in _PARTS}
        return {"format": FORMAT, **parts}

    def tensors(self) -> dict[str, Tensor]:
        """All weights by name, and what the modality learned from its data (``modality.*``)."""
        assert isinstance(self, nn.Module)
        state = {_STATE + name: tensor for name, tensor in self.modality.state().items()}
        return {**{name: tensor.detach().cpu() for name, tensor in self.state_dict().items()}, **state}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take weights as :meth:`tensors` gives them.

        Raises:
            ValueError: naming missing and unexpected weights, those of another shape or kind of number, and those
                that are not finite; nothing is changed then.
        """
        assert isinstance(self, nn.Module)
        weights = {name: tensor for name, tensor in tensors.items() if not name.startswith(_STATE)}
        own = self.state_dict()
        missing, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
        both = sorted(own.keys() & weights.keys())
        shapes = [name for name in both if own[name].shape != weights[name].shape]
        kinds = [name for name in both if not _same_kind(own[name], weights[name])]
        if missing or extra or shapes or kinds:
            raise ValueError(
                f"the weights do not fit the model: missing {missing[:5]}, unexpected {extra[:5]}, "
                f"of another shape {shapes[:5]}, of another kind of number {kinds[:5]}; build the model from the "
                "configuration stored beside them."
            )
        broken = [name for name in both if weights[name].is_floating_point() and not weights[name].isfinite().all()]
        if broken:
            raise ValueError(f"the weights {broken[:5]} hold NaN or infinity; take another checkpoint or export.")
        self.modality.load_state(
            {name.removeprefix(_STATE): tensor for name, tensor in tensors.items() if name.startswith(_STATE)}
        )
        self.load_state_dict(weights)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write ``model.safetensors`` (weights, configuration in the header) and a model card; returns the folder."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        export_safetensors(target / WEIGHTS, self.tensors(), self.config())
        replace_file(target / "README.md", self._card().encode())
        return target

    @classmethod
    def from_pretrained(
        cls, source: str | Path, revision: str | None = None, trust_remote_code: bool = False
    ) -> Self:
        """Load a model from a folder, a file or the Hugging Face Hub.

        Args:
            source: folder with ``model.safetensors``, the file itself, or a repository name on the hub.
            revision: branch, tag or commit on the hub.
            trust_remote_code: build classes outside latentgen, modalities and registered packages.

        Raises:
            FileNotFoundError: if there is no model.
            ValueError: if the file is not a model, or names a class that is not trusted.
        """
        tensors, config = read_safetensors(_locate(source, revision))
        if config.get("format") != FORMAT:
            raise ValueError(
                f"{source} has model format {config.get('format')!r} and this version reads {FORMAT}; "
                "load it with the latentgen version that wrote it."
            )
        model = cls(*(_part(config, name, source, trust_remote_code) for name in _PARTS))
        model.load_tensors(tensors)
        assert isinstance(model, nn.Module)
        model.eval()
        return model

    def push_to_hub(self, repository: str, private: bool = True, token: str | None = None) -> str:
        """Upload the model to the Hugging Face Hub; returns the address of the commit.

        Raises:
            ConnectionError: if the hub cannot be reached, or refuses.
            ValueError: if ``repository`` cannot be a name there.
        """
        import tempfile

        from huggingface_hub import HfApi

        api = HfApi(token=token)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            try:
                api.create_repo(repository, private=private, exist_ok=True)
                return str(api.upload_folder(repo_id=repository, folder_path=folder).commit_url)
            except ValueError:
                raise
            except Exception as error:  # of whichever HTTP client the hub's library uses
                reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
                raise ConnectionError(
                    f"the model was not uploaded to {repository} ({reason}); check the connection, the name "
                    "(owner/name) and a token that may write (hf auth login, or token=...). save_pretrained writes the "
                    "same files to a folder."
                ) from error

    def _card(self) -> str:
        assert isinstance(self, nn.Module)
        config, latents = self.config(), self.prior.latents
        names = {part: str(config[part]["class_path"]) for part in _PARTS}
        lines = [f"| {part} | `{name}` |" for part, name in names.items()]
        count = sum(parameter.numel() for parameter in self.parameters())
        lines += [
            f"| latents | {latents.layout} {list(latents.shape)} |",
            f"| parameters | {count:,} |",
            f"| made with | latentgen {_version('latentgen')}, torch {_version('torch')} |",
        ]
        foreign = sorted({name.split(".")[0] for name in names.values()} - trusted_packages())
        trust = ", trust_remote_code=True" if foreign else ""
        needs = [f"Loading it runs code of {', '.join(foreign)}, which must be importable.", ""] if foreign else []
        return "\n".join(
            [
                "---",
                "library_name: latentgen",
                "tags: [latentgen, latent-generative-model]",
                "---",
                "",
                "# A latent generative model",
                "",
                "| part | class |",
                "| --- | --- |",
                *lines,
                "",
                "```python",
                "import latentgen",
                "",
                f'model = latentgen.load("path or hub name"{trust})',
                "batch = model.sample(16, seed=0)",
                "```",
                "",
                *needs,
                "The data, as the model was told of them:",
                "",
                "```yaml",
                hide_secrets(yaml.safe_dump(config["modality"], sort_keys=False)).rstrip(),
                "```",
                "",
            ]
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of a checkout"


def _same_kind(own: Tensor, given: Tensor) -> bool:
    """Whether numbers keep their meaning: floats of any precision are floats, everything else must be equal."""
    return own.dtype == given.dtype or (own.is_floating_point() and given.is_floating_point())


def _part(config: Mapping[str, Any], name: str, source: str | Path, trust: bool) -> Any:
    """One part of a model, built from its configuration and of the kind that it must be."""
    from .autoencoder import Autoencoder
    from .modality import Modality
    from .prior import Prior

    kind = dict(zip(_PARTS, (Modality, Autoencoder, Prior), strict=True))[name]
    part = build(config.get(name), trust)
    if not isinstance(part, kind):
        raise ValueError(
            f"{source} has a {type(part).__name__} for its {name}; expected a {kind.__name__}: it is no model of "
            "latentgen, or its header was edited."
        )
    return part


def _locate(source: str | Path, revision: str | None) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    for candidate in (path / WEIGHTS, path / "export" / WEIGHTS):
        if candidate.is_file():
            return candidate
    if path.exists():
        raise FileNotFoundError(
            f"{source} has neither {WEIGHTS} nor export/{WEIGHTS}; give a run folder whose training ended, a folder "
            "written by save_pretrained, or a model file."
        )
    if str(source).count("/") != 1 or str(source).startswith((".", "/")):
        raise FileNotFoundError(f"{source} does not exist; give a folder, a model file or a hub name (owner/name).")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(hf_hub_download(str(source), WEIGHTS, revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        beside = f" (there is a folder {path.parent}, without it)" if path.parent.is_dir() else ""
        raise FileNotFoundError(
            f"{source} is no folder or file here{beside}, and the hub gave no {WEIGHTS} of that name "
            f"({type(error).__name__}); check the path, or the name and the connection."
        ) from error
