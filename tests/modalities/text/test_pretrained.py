"""Autoencoders on BART and T5, tiny and random, read from folders: exact likelihoods, training, storing."""

from __future__ import annotations

import itertools
import shutil
import socket

import pytest
import torch
from payload import Payload

import latentgen
from latentgen.testing import check_modality
from modalities.text import Text
from modalities.text.grammar import sentences
from modalities.text.likelihood import EOS, PAD
from modalities.text.pretrained import PretrainedAutoencoder
from modalities.text.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")
SMALL = {"width": 16, "depth": 1, "heads": 2, "train_size": 60, "test_size": 20, "length": 24, "tokens": 3, "latent": 4}
BART = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64,
        "init_std": 0.3}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}


def bart_tokenizer():
    from tokenizers import ByteLevelBPETokenizer, processors

    trained = ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    trained.train_from_iterator(sentences(100, 0), vocab_size=300, special_tokens=specials, show_progress=False)
    trained._tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def t5_tokenizer():
    from tokenizers import Tokenizer as Inner
    from tokenizers import decoders, models, pre_tokenizers, processors, trainers

    inner = Inner(models.Unigram())
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    inner.train_from_iterator(sentences(100, 0), trainer)
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="module", params=["bart", "t5"])
def folder(request, tmp_path_factory):
    """A model with random weights and its tokenizer, as saved by ``transformers``."""
    path = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    if request.param == "bart":
        tokenizer = bart_tokenizer()
        config = transformers.BartConfig(vocab_size=len(tokenizer), **BART)
        model = transformers.BartForConditionalGeneration(config)
    else:
        tokenizer = t5_tokenizer()
        config = transformers.T5Config(vocab_size=len(tokenizer) + 28, decoder_start_token_id=0, **T5)
        model = transformers.T5ForConditionalGeneration(config)
    tokenizer.save_pretrained(path)
    model.save_pretrained(path)
    return path


def tiny(kind: str, **options) -> PretrainedAutoencoder:
    """Five tokens besides the end, its specials where BART and T5 have them; T5 has no start, so one is made up."""
    torch.manual_seed(0)
    if kind == "bart":
        config = transformers.BartConfig(vocab_size=8, **BART)
        given = (config.to_json_string(), 8, (1, 0, 2), [0])
    else:
        config = transformers.T5Config(vocab_size=7, decoder_start_token_id=0, **T5)
        given = (config.to_json_string(), 8, (0, 7, 1), [])
    own = PretrainedAutoencoder(*given, 4, tokens=3, channels=4, width=16, depth=1, heads=2, **options).eval()
    with torch.no_grad():
        for parameter in own.network.parameters():
            parameter.mul_(4)  # random weights of the libraries give almost equal probabilities
    return own


def all_sentences(words, length: int = 4) -> torch.Tensor:
    """All that end within the length, and all beginnings of that length."""
    short = itertools.chain.from_iterable(itertools.product(words, repeat=n) for n in range(length))
    ending = [[*text, EOS, *[PAD] * (length - len(text) - 1)] for text in short]
    return torch.tensor(ending + [list(text) for text in itertools.product(words, repeat=length)])


@pytest.mark.parametrize("decoder", ["autoregressive", "parallel"])
@pytest.mark.parametrize("kind", ["bart", "t5"])
def test_probabilities_of_all_token_sequences_sum_to_one(kind, decoder) -> None:
    own, every = tiny(kind, decoder=decoder), all_sentences(range(3, 8))
    with torch.no_grad():
        z = torch.randn(1, 3, 4)
        log_p = own.decode(z.expand(len(every), -1, -1)).log_prob({"tokens": every}).double()
        other = own.decode(z + 1).log_prob({"tokens": every[1:2]})
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-4)
    assert float(log_p.exp().max() / log_p.exp().min()) > 3, "a uniform distribution would prove little"
    assert float(other) != pytest.approx(float(log_p[1]), abs=1e-4), "latents are read"


@pytest.mark.parametrize("kind", ["bart", "t5"])
def test_the_likelihood_is_that_of_the_library_on_its_own_labels(kind) -> None:
    """Labels as the model was made for: BART's begin with <s>, which is given here; two tokens can never come."""
    own = tiny(kind)
    tokens = torch.tensor([[3, 6, 4, EOS]])
    inner = own.to_inner[tokens[0]].tolist()
    labels = torch.tensor([[*own.begin, *inner]])
    with torch.no_grad():
        z = torch.randn(1, 3, 4)
        found = own.decode(z)
        states = found.decoder.states
        outputs = transformers.modeling_outputs.BaseModelOutput(last_hidden_state=states)
        logits = own.network(encoder_outputs=outputs, labels=labels).logits[0, len(own.begin) :]
        never = [number for number in own.to_inner[[PAD, 1]].tolist() if number < logits.shape[1]]
        logits[:, never] = -torch.inf
        expected = logits.log_softmax(dim=-1)[range(4), inner].sum()
        assert float(found.log_prob({"tokens": tokens})) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("kind", ["bart", "t5"])
def test_steps_with_a_cache_are_those_without(kind) -> None:
    own, tokens = tiny(kind), torch.tensor([[3, 6, 4, EOS], [7, 7, EOS, PAD]])
    with torch.no_grad():
        decoder = own.decode(torch.randn(2, 3, 4)).decoder
        whole, step = decoder.logits(tokens), decoder.steps()
        before = torch.cat([torch.ones(2, 1, dtype=torch.long), tokens[:, :-1]], dim=1)
        for place in range(4):
            assert torch.allclose(step(before[:, place]), whole[:, place], atol=1e-5)


@pytest.mark.parametrize("decoder", ["autoregressive", "parallel"])
def test_it_keeps_the_contract(folder, decoder) -> None:
    text = Text(pretrained=str(folder), decoder=decoder, **SMALL)
    failed = [result for result in check_modality(text) if not result.passed]
    assert failed == []


@pytest.mark.parametrize("decoder", ["autoregressive", "parallel"])
@pytest.mark.parametrize("freeze", [True, False])
def test_it_trains(folder, freeze, decoder) -> None:
    torch.manual_seed(0)
    text = Text(pretrained=str(folder), freeze=freeze, decoder=decoder, **SMALL)
    own = text.autoencoder().train()
    before = [value.detach().clone() for value in own.network.parameters()]
    batch, losses = text.dataset("train").__getitems__(range(20)), []
    trained = [parameter for parameter in own.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-3)
    for _ in range(30):
        q = own.encode(batch)
        loss = (-own.decode(q.rsample()).log_prob(batch) + 0.01 * q.kl_to_normal()).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        assert all(parameter.grad is not None for parameter in trained), "such a weight holds up a distributed run"
        optimizer.step()
        losses.append(float(loss.detach()))
    # a frozen decoder of random weights can do little
    assert losses[-1] < (0.95 if freeze and decoder == "autoregressive" else 0.85) * losses[0]
    same = [torch.equal(value, old) for value, old in zip(own.network.parameters(), before, strict=True)]
    assert all(same) if freeze else not any(same)
    assert own.network.training is not freeze


def test_a_stored_model_needs_neither_network_nor_folder(folder, tmp_path, monkeypatch) -> None:
    torch.manual_seed(0)
    source = tmp_path / "source"
    shutil.copytree(folder, source)
    text = Text(pretrained=str(source), **{**SMALL, "decoder": "autoregressive"})
    model = latentgen.LSGM(width=16, depth=1, heads=2).prepare(text).model
    saved = model.save_pretrained(tmp_path / "saved")
    shutil.rmtree(source)

    def refuse(*_given):
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    again = latentgen.load(saved)
    made = model.sample(4, steps=2)
    assert torch.equal(made["tokens"], again.sample(4, steps=2)["tokens"])
    assert again.modality.texts(made) == text.texts(made)
    batch = text.batch(sentences(3, 5))
    assert torch.equal(again.modality.batch(sentences(3, 5))["tokens"], batch["tokens"])
    assert torch.equal(again.encode(batch).mean, model.encode(batch).mean)
    tables = [name for name in model.tensors() if name.endswith(("shared.weight", "embed_tokens.weight"))]
    assert len(tables) == 1, "a tied table is stored once"


def test_the_tokenizer_is_the_models_own(folder) -> None:
    own = Tokenizer.from_pretrained(str(folder))
    whole = transformers.AutoTokenizer.from_pretrained(str(folder))
    text = sentences(1, 3)[0]
    tokens = own.encode([text], 40)
    inner = own._to_inner[tokens[0][tokens[0] != PAD]].tolist()
    assert [*own.begin(), *inner] == whole(text)["input_ids"]
    assert own.decode(tokens) == [text]


def test_special_tokens_in_a_sentence_are_text(folder) -> None:
    own = Tokenizer.from_pretrained(str(folder))
    tokens = own.encode(["the </s> inn <pad> ."], 40)
    assert int((tokens == EOS).sum()) == 1
    text = own.decode(tokens)[0]
    assert text == "the </s> inn <pad> ." if "bart" in folder.name else text.split() == ["the", "inn", "."]


def test_words_are_hidden_in_training_alone(folder) -> None:
    text = Text(pretrained=str(folder), token_dropout=0.9, **SMALL)
    own, batch = text.autoencoder().eval(), text.dataset("train").__getitems__(range(4))
    assert torch.equal(own.encode(batch).mean, own.encode(batch).mean)
    own.train()
    assert not torch.equal(own.encode(batch).mean, own.encode(batch).mean)


def test_only_safetensors_are_read(folder, tmp_path) -> None:
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(Payload(tmp_path / "it ran"), tmp_path / "pytorch_model.bin")
    tokenizer = Tokenizer.from_pretrained(str(tmp_path))
    with pytest.raises(OSError, match="safetensors"):
        PretrainedAutoencoder.from_pretrained(tmp_path, tokenizer, 8)
    assert not (tmp_path / "it ran").exists()


def test_what_does_not_fit_is_refused(folder) -> None:
    with pytest.raises(ValueError, match="no configuration of an encoder-decoder"):
        PretrainedAutoencoder("{}", 8, (1, 0, 2), [0], 4)
    with pytest.raises(ValueError, match="take the model's own tokenizer"):
        PretrainedAutoencoder(transformers.BartConfig(vocab_size=8, **BART).to_json_string(), 9, (1, 0, 2), [0], 4)
    with pytest.raises(ValueError, match="three different numbers below 8"):
        PretrainedAutoencoder(transformers.BartConfig(vocab_size=8, **BART).to_json_string(), 8, (1, 1, 2), [0], 4)
    with pytest.raises(ValueError, match="all three must be whole"):
        PretrainedAutoencoder(transformers.T5Config(vocab_size=8, **T5).to_json_string(), 8, (0, 7, 1), [], 4)
    with pytest.raises(ValueError, match="choose parallel or autoregressive"):
        tiny("bart", decoder="serial")
