"""Saving, loading and sharing models: one safetensors file whose header holds the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor, nn

from .component import describe
from .config import build
from .storage import export_safetensors, read_safetensors

if TYPE_CHECKING:
    from .autoencoder import Autoencoder
    from .modality import Modality
    from .prior import Prior

WEIGHTS = "model.safetensors"
FORMAT = 1
_STATE = "modality."


class PretrainedMixin:
    """``save_pretrained``, ``from_pretrained`` and ``push_to_hub`` for a model of modality, autoencoder and prior."""

    modality: Modality
    autoencoder: Autoencoder
    prior: Prior

    def config(self) -> dict[str, Any]:
        """The model's configuration as plain data."""
        parts = {name: describe(getattr(self, name)) for name in ("modality", "autoencoder", "prior")}
        return {"format": FORMAT, **parts}

    def tensors(self) -> dict[str, Tensor]:
        """All weights by name, and what the modality learned from its data (``modality.*``)."""
        assert isinstance(self, nn.Module)
        state = {_STATE + name: tensor for name, tensor in self.modality.state().items()}
        return {**{name: tensor.detach().cpu() for name, tensor in self.state_dict().items()}, **state}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take weights as :meth:`tensors` gives them.

        Raises:
            ValueError: naming missing and unexpected weights and those of another shape; nothing is changed then.
        """
        assert isinstance(self, nn.Module)
        weights = {name: tensor for name, tensor in tensors.items() if not name.startswith(_STATE)}
        own = self.state_dict()
        missing, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
        shapes = [name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape]
        if missing or extra or shapes:
            raise ValueError(
                f"the weights do not fit the model: missing {missing[:5]}, unexpected {extra[:5]}, "
                f"of another shape {sorted(shapes)[:5]}; build the model from the configuration stored beside them."
            )
        self.modality.load_state(
            {name.removeprefix(_STATE): tensor for name, tensor in tensors.items() if name.startswith(_STATE)}
        )
        self.load_state_dict(weights)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write ``model.safetensors`` (weights, configuration in the header) and a model card; returns the folder."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        export_safetensors(target / WEIGHTS, self.tensors(), self.config())
        (target / "README.md").write_text(self._card(), encoding="utf-8")
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
        parts = [build(config[name], trust_remote_code) for name in ("modality", "autoencoder", "prior")]
        model = cls(*parts)
        model.load_tensors(tensors)
        assert isinstance(model, nn.Module)
        model.eval()
        return model

    def push_to_hub(self, repository: str, private: bool = True, token: str | None = None) -> str:
        """Upload the model to the Hugging Face Hub; returns the address of the commit."""
        import tempfile

        from huggingface_hub import HfApi

        api = HfApi(token=token)
        api.create_repo(repository, private=private, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return str(api.upload_folder(repo_id=repository, folder_path=folder).commit_url)

    def _card(self) -> str:
        config = self.config()
        names = {part: str(config[part]["class_path"]) for part in ("modality", "autoencoder", "prior")}
        lines = [f"| {part} | `{name}` |" for part, name in names.items()]
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
                'model = latentgen.load("path or hub name")',
                "batch = model.sample(16, seed=0)",
                "```",
                "",
            ]
        )


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

    return Path(hf_hub_download(str(source), WEIGHTS, revision=revision))
