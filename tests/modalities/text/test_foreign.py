"""No file of others runs code: neither a stored model's configuration nor a folder, whatever is answered when asked."""

from __future__ import annotations

import io
import json

import pytest

from modalities.text import Text
from modalities.text.evaluator import CausalEvaluator
from modalities.text.foreign import load_foreign, load_weights, network_of
from modalities.text.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")
T5 = {"model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "vocab_size": 9,
      "decoder_start_token_id": 0}
HOSTILE = """
from pathlib import Path

from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

Path({mark!r}).touch()


class Config(GPT2Config):
    model_type = "strange"


class Model(GPT2LMHeadModel):
    config_class = Config


class Made(PreTrainedTokenizerFast):
    pass
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """With a module that leaves a mark when it is run; "y" is the answer to every question."""
    (tmp_path / "hostile.py").write_text(HOSTILE.format(mark=str(tmp_path / "it ran")))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 20))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "cache"))
    return tmp_path


def architecture(folder, **entries) -> str:
    named = {"auto_map": {"AutoModelForSeq2SeqLM": "hostile.Model"}, "name_or_path": str(folder)}
    return json.dumps({**entries, **named})


@pytest.mark.parametrize("kind", ["gpt2", "vit", "strange", "encoder-decoder", None, ["t5"]])
def test_a_stored_model_with_code_is_refused(folder, kind) -> None:
    given = {"model_type": kind, "encoder": {"model_type": "bert"}, "decoder": {"model_type": "bert"}}
    with pytest.raises(ValueError, match=r"no configuration of an encoder-decoder, as its model_type is .*give one of"):
        network_of(architecture(folder, **given))
    assert not (folder / "it ran").exists()


def test_a_known_kind_is_built_without_the_code_it_names(folder) -> None:
    found = network_of(architecture(folder, **T5))
    assert type(found) is transformers.T5ForConditionalGeneration
    assert not hasattr(found.config, "auto_map")
    assert not (folder / "it ran").exists()


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation", "_attn_implementation_internal"])
def test_no_kernel_is_fetched(monkeypatch, name) -> None:
    asked = []
    for place in ("modeling_utils", "integrations.hub_kernels"):
        loader = f"transformers.{place}.load_and_register_attn_kernel"
        monkeypatch.setattr(loader, lambda *given, **_options: asked.append(given), raising=False)
    found = network_of(json.dumps({**T5, name: "somebody/kernel", "experts_implementation": "somebody/kernel"}))
    assert asked == []
    assert found.config._attn_implementation in ("sdpa", "eager")


def test_entries_that_load_things_are_left_out_at_any_depth() -> None:
    hostile = {"quantization_config": {"quant_method": "gptq"}, "kernel_config": {}, "_name_or_path": "x"}
    found = network_of(json.dumps({**T5, **hostile, "task_specific_params": {"a": [hostile]}}))
    assert found.config.task_specific_params == {"a": [{}]}
    assert not any(hasattr(found.config, name) for name in ("quantization_config", "kernel_config"))


@pytest.mark.parametrize(
    ("given", "message"),
    [("{", "no JSON"), ("[" * 100_000, "no JSON"), ("[1]", "model_type is None"),
     (json.dumps({**T5, "d_model": "wide"}), "no configuration of an encoder-decoder"),
     (json.dumps({**T5, "dtype": "load"}), "no configuration of an encoder-decoder"),
     (json.dumps({**T5, "feed_forward_proj": "gated-nothing"}), "no configuration of an encoder-decoder")],
)
def test_what_is_no_configuration_is_refused(given, message) -> None:
    with pytest.raises(ValueError, match=message):
        network_of(given)


def test_a_folder_with_code_is_refused(folder) -> None:
    code = {"AutoConfig": "hostile.Config", "AutoModelForCausalLM": "hostile.Model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "strange", "auto_map": code}))
    made = {"tokenizer_class": "Made", "auto_map": {"AutoTokenizer": [None, "hostile.Made"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(made))
    for load in (CausalEvaluator, Tokenizer.from_pretrained):
        with pytest.raises(ValueError, match=r"such code is never run; take a model of transformers' own kinds"):
            load(str(folder))
    assert not (folder / "it ran").exists()


def test_a_models_weights_with_code_are_refused(folder, monkeypatch) -> None:
    """The tokenizer is harmless, and the model is not."""
    code = {"AutoConfig": "hostile.Config", "AutoModelForCausalLM": "hostile.Model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "strange", "auto_map": code}))
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_given, **_options: None)
    with pytest.raises(ValueError, match="such code is never run"):
        CausalEvaluator(folder)
    assert not (folder / "it ran").exists()


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation"])
def test_a_folders_kernel_is_not_fetched(tmp_path, name) -> None:
    config = transformers.T5Config(**{key: value for key, value in T5.items() if key != "model_type"})
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: "somebody/kernel"}))
    found = load_weights(transformers.AutoModelForSeq2SeqLM, tmp_path)
    assert found.config._attn_implementation in ("sdpa", "eager")


@pytest.mark.parametrize("source", ["./nowhere/x/y", "/nowhere"])
def test_what_is_nowhere_is_named(source) -> None:
    """The library speaks of the form of a "repo id" instead."""
    for argument in ("pretrained", "tokenizer", "evaluator"):
        text = Text(data=["a b"] * 6, vocabulary=300, **{argument: source})
        with pytest.raises(ValueError, match=f"^source is '{source}', which is no folder here, and the hub"):
            text.judge(["a"]) if argument == "evaluator" else text.autoencoder()


def test_a_name_without_a_network_is_one_sentence() -> None:
    class Offline:
        @staticmethod
        def from_pretrained(*_given, **_options):
            raise OSError("We couldn't connect.\nCheck your internet connection.")

    with pytest.raises(ValueError, match=r"^source is 'a/b', which is no folder here.* network .* another name\.$"):
        load_foreign(Offline, "a/b")
