"""Seconds for a hundred sentences: latent models beside an autoregressive one with cache, of like width and depth."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from harness import Rows
from torch.utils.flop_counter import FlopCounterMode

import latentgen
from latentgen import TransformerArchitecture
from modalities.text import Text
from modalities.text.decoding import Decoding, use_decoding
from modalities.text.language_model import LanguageModel

LENGTHS = (32, 64, 128, 256)
Work = Callable[[int], object]
"""Makes a hundred sentences from a seed."""


def medians(works: Mapping[str, Work], repeats: int = 7) -> dict[str, float]:
    """Seconds of each, one after another in turn, medians without the first turn."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(repeats + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work(number)
            times[name].append(time.perf_counter() - start)
    return {name: sorted(values[1:])[repeats // 2] for name, values in times.items()}


def works(text: Text, model: latentgen.LatentGenerativeModel, baseline: LanguageModel) -> dict[str, Work]:
    """A hundred sentences in one batch: 10 calls, "gan", and the autoregressive model."""
    use_decoding(model, Decoding())
    return {
        "10 calls": lambda seed: text.texts(model.sample(100, "dpm", steps=10, seed=seed, batch_size=100)),
        "gan, 4 calls": lambda seed: text.texts(model.sample(100, "gan", seed=seed, batch_size=100)),
        "autoregressive": lambda seed: text.texts({"tokens": baseline.sample(100, batch_size=100, seed=seed)}),
    }


def speed_row(
    rows: Rows, name: str, text: Text, model: latentgen.LatentGenerativeModel, baseline: LanguageModel, goal: str
) -> None:
    """Seconds of trained models."""
    found = medians(works(text, model, baseline))
    seconds = ", ".join(f"{key} {value:.3f} s" for key, value in found.items())
    rows.add(f"{name}: seconds for 100 sentences, autoregressive with cache over the latent model at 10 calls",
             found["autoregressive"] / found["10 calls"], goal, note=f"{seconds}; median of 7")


def speed_by_length(rows: Rows, sentences: Sequence[str], width: int, depth: int) -> None:
    """The same for networks without training, whose sentences all have the full length L and L / 4 latent tokens.

    Beside the default there are two cheaper ways: pairs of latent tokens as one, and bf16, where the autoregressive
    model has the faster of both precisions.
    """
    for length in LENGTHS:
        torch.manual_seed(0)
        data = {"train": list(sentences), "test": list(sentences[:100])}
        text = Text(data, vocabulary=4000, length=length, tokens=length // 4, latent=32, width=width)
        baseline = LanguageModel(len(text.tokenizer), length, width, depth).eval()
        single, pairs = (_model(text, width, depth, patch) for patch in (1, 2))
        plain = works(text, single, baseline)
        paired = {f"{name}, pairs": work for name, work in works(text, pairs, baseline).items()}
        del paired["autoregressive, pairs"]
        every = {**plain, **paired}
        found = medians({**every, **{f"{name}, bf16": _bf16(work) for name, work in every.items()}}, 3)
        reference = {"": found["autoregressive"], "bf16": min(found["autoregressive"], found["autoregressive, bf16"])}
        for name, seconds in found.items():
            if not name.startswith("autoregressive"):
                other = reference["bf16" if name.endswith("bf16") else ""]
                rows.add(f"speed, {length} tokens, {name}: autoregressive with cache over the parallel decoder",
                         other / seconds, note=f"{other:.3f} over {seconds:.3f} s; median of 3, not trained")
        z = torch.zeros(100, *text.latents.shape)
        counted = {**every, "decoder alone": lambda _, model=single, z=z: model.decode(z).mode()}
        for name, work in counted.items():
            rows.add(f"speed, {length} tokens, {name}: billions of multiplications for 100 sentences", billions(work))


def _model(text: Text, width: int, depth: int, patch: int) -> latentgen.LatentGenerativeModel:
    lsgm = latentgen.LSGM(network=TransformerArchitecture(width, depth, patch=patch))
    return latentgen.JointDDGAN(lsgm).prepare(text).model.eval()


def _bf16(work: Work) -> Work:
    def run(seed: int) -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return work(seed)

    return run


def billions(work: Work) -> float:
    """Multiplications, as torch counts them."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work(0)
    return counter.get_total_flops() / 2e9
