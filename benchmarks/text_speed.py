"""Seconds for a hundred sentences: latent models beside an autoregressive one with cache, of like width and depth."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from harness import Rows
from torch.utils.flop_counter import FlopCounterMode

import latentgen
from modalities.text import Text
from modalities.text.decoding import Decoding, use_decoding
from modalities.text.language_model import LanguageModel

LENGTHS = (32, 64, 128, 256)


def medians(
    text: Text, model: latentgen.LatentGenerativeModel, baseline: LanguageModel, repeats: int = 7
) -> dict[str, float]:
    """Seconds for 100 sentences, batch of 100, interleaved, medians: 10 calls, "gan", autoregressive."""
    use_decoding(model, Decoding())
    times: dict[str, list[float]] = {"latent": [], "gan": [], "autoregressive": []}
    for number in range(repeats + 1):
        for key in times:
            start = time.perf_counter()
            if key == "autoregressive":
                text.texts({"tokens": baseline.sample(100, batch_size=100, seed=number)})
            else:
                sampler, steps = ("dpm", 10) if key == "latent" else ("gan", None)
                text.texts(model.sample(100, sampler, steps=steps, seed=number, batch_size=100))
            times[key].append(time.perf_counter() - start)
    return {key: sorted(values[1:])[repeats // 2] for key, values in times.items()}


def speed_row(
    rows: Rows, name: str, text: Text, model: latentgen.LatentGenerativeModel, baseline: LanguageModel, goal: str
) -> None:
    """Seconds of trained models."""
    found = medians(text, model, baseline)
    rows.add(f"{name}: seconds for 100 sentences, autoregressive with cache over the latent model at 10 calls",
             found["autoregressive"] / found["latent"], goal, note=_seconds(found) + "; median of 7")


def speed_by_length(rows: Rows, sentences: Sequence[str], width: int, depth: int) -> None:
    """The same for networks without training, whose sentences all have the full length L and L / 4 latent tokens."""
    for length in LENGTHS:
        torch.manual_seed(0)
        data = {"train": list(sentences), "test": list(sentences[:100])}
        text = Text(data, vocabulary=4000, length=length, tokens=length // 4, latent=32, width=width)
        lsgm = latentgen.LSGM(width=width, depth=depth)
        model = latentgen.JointDDGAN(lsgm).prepare(text).model.eval()
        baseline = LanguageModel(len(text.tokenizer), length, width, depth).eval()
        found = medians(text, model, baseline, 3)
        for key, calls in (("latent", "10 calls"), ("gan", "gan, 4 calls")):
            rows.add(f"speed, {length} tokens, {calls}: autoregressive with cache over the parallel decoder",
                     found["autoregressive"] / found[key], note=_seconds(found) + "; median of 3, not trained")
        for key, work in _workloads(text, model, baseline).items():
            rows.add(f"speed, {length} tokens, {key}: billions of multiplications for 100 sentences", billions(work))


def _workloads(
    text: Text, model: latentgen.LatentGenerativeModel, baseline: LanguageModel
) -> dict[str, Callable[[], object]]:
    z = torch.zeros(100, *text.latents.shape)
    return {
        "autoregressive": lambda: baseline.sample(100, batch_size=100),
        "10 calls": lambda: model.sample(100, "dpm", steps=10, batch_size=100),
        "gan, 4 calls": lambda: model.sample(100, "gan", batch_size=100),
        "decoder alone": lambda: model.decode(z).mode(),
    }


def billions(work: Callable[[], object]) -> float:
    """Multiplications, as torch counts them."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2e9


def _seconds(found: dict[str, float]) -> str:
    return (f"{found['latent']:.3f} s; gan at 4 calls {found['gan']:.3f} s; "
            f"autoregressive {found['autoregressive']:.3f} s")
