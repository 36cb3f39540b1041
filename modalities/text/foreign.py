"""Models and tokenizers of ``transformers`` that others made: read without running code that comes with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LOADS_CODE = ("auto_map", "attn_implementation", "experts_implementation", "quantization", "kernel", "name_or_path")
"""Parts of the names of entries by which ``transformers`` finds modules, kernels or other repositories."""


def load_foreign(loader: Any, source: str | Path, **options: Any) -> Any:
    """What a name on the hub or a folder holds, by one of the ``Auto`` classes, and none of its code is run.

    Args:
        loader: the class, such as ``AutoTokenizer``.
        source: name or folder.
        options: further arguments of its ``from_pretrained``.

    Raises:
        ValueError: if it cannot be read so.
    """
    try:
        return loader.from_pretrained(str(source), trust_remote_code=False, **options)
    except ValueError as error:
        if "trust_remote_code" in str(error):
            why = "which needs code that comes with it, and such code is never run"
            raise ValueError(f"source is {str(source)!r}, {why}; take a model of transformers' own kinds.") from error
        raise ValueError(f"source is {str(source)!r}, which cannot be read ({error}); take another.") from error
    except OSError as error:
        if Path(source).is_dir():
            raise
        why = "which is no folder here, and the hub does not give it, for want of a network or of such a name"
        raise ValueError(f"source is {str(source)!r}, {why}; give the path of a folder, or another name.") from error


def load_weights(loader: Any, source: str | Path) -> Any:
    """A model with its weights, safetensors alone, and with no kernel of the hub that its configuration may name.

    Raises:
        ValueError: see :func:`load_foreign`.
    """
    from transformers import AutoConfig

    config = load_foreign(AutoConfig, source)
    config._attn_implementation = config._experts_implementation = None  # the library's own choice, parts included
    return load_foreign(loader, source, config=config, use_safetensors=True)


def network_of(architecture: str) -> Any:
    """An encoder-decoder with random weights, of a kind that ``transformers`` has itself.

    The text may come from anybody's file: entries that would make the library load code are left out.

    Args:
        architecture: a configuration as JSON, ``model_type`` included.

    Raises:
        ValueError: if the text is no configuration of one.
    """
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    try:
        entries = json.loads(architecture)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"architecture is no JSON ({type(error).__name__}); give T5's configuration.") from error
    kind = entries.get("model_type") if isinstance(entries, dict) else None
    _check_kind(kind)
    models: Any = AutoModelForSeq2SeqLM
    try:
        config = AutoConfig.for_model(**_harmless(entries))
        return models.from_config(config, trust_remote_code=False)
    except Exception as error:  # the library raises errors of many kinds
        raise ValueError(f"architecture is no configuration of an encoder-decoder ({error}); give T5's.") from error


def _check_kind(kind: Any) -> None:
    """Refuse what is no encoder-decoder of text, and what is made of several models, each with a configuration."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES as KINDS

    known = isinstance(kind, str) and kind in KINDS
    if not known or getattr(CONFIG_MAPPING[kind], "sub_configs", None):
        raise ValueError(
            f"architecture is no configuration of an encoder-decoder, as its model_type is {kind!r}; give one of a "
            "single model that transformers has, such as bart, mbart, t5 or mt5."
        )


def _harmless(entry: Any) -> Any:
    """Without entries that load code, at any depth; names with an underscore are the library's own."""
    if isinstance(entry, list):
        return [_harmless(item) for item in entry]
    if not isinstance(entry, dict):
        return entry
    return {
        name: _harmless(value)
        for name, value in entry.items()
        if not name.startswith("_") and not any(part in name for part in LOADS_CODE)
    }
