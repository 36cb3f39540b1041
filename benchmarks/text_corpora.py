"""Real sentences: reconstruction, generation beside an autoregressive model and held-out human text, speed.

Two latent models a corpus: one whose decoder gives all words at once, which is the quick one, and one whose decoder
reads what it has written.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from harness import Rows, mean_spread
from safetensors.torch import load_file, save_file
from text_recipes import spent, two_stage
from text_speed import speed_row

import latentgen
from latentgen import NormalPrior
from latentgen.evaluation import gather
from modalities.text import Text
from modalities.text.decoding import Decoding, use_decoding
from modalities.text.evaluator import TrigramEvaluator
from modalities.text.figures import text_figures
from modalities.text.language_model import LanguageModel, train_language_model
from modalities.text.likelihood import until_end
from modalities.text.networks import DecoderName
from modalities.text.ngrams import bleu, words

SAMPLES, SETS = 1000, 3
READINGS = 10
"""Further readings of a sentence in the rows that say so; chosen on E2E's validation part among 0, 3 and 10."""
NOISE = {"Multi30k": {"dpm": 0.86, "gan": 0.88}, "E2E": {"dpm": 0.75, "gan": 0.8}}
"""Levels of the noise that an autoregressive decoder reads through, in the rows that say so, by sampler: where about as
many 4-grams are found in training as of human text, on the validation part."""
FIRST: dict[DecoderName, float] = {"parallel": 0.5, "autoregressive": 0.65}
"""Share of the time for the autoencoder."""
DECODERS: tuple[DecoderName, ...] = ("parallel", "autoregressive")
GUIDANCE = 2.0
"""Weight of autoguidance away from the network without its first block; chosen like READINGS among 1, 2 and 3."""
SHORT = 20
"""Longest sentences, in tokens, whose reconstruction is judged."""
KL_WEIGHT = 0.02
LATENT_NOISE = 0.25
"""Share of sentences that an autoregressive decoder reads through noise while training."""
WIDTH, DEPTH = 128, 4


def corpora(data: Path, decoder: DecoderName = "parallel") -> dict[str, Text]:
    """Multi30k's captions and E2E's restaurants, the tokenised file of both parts."""
    captions, restaurants = data / "text" / "multi30k", data / "text" / "e2e_nlg"
    shared = {"vocabulary": 4000, "width": WIDTH, "token_dropout": 0.1, "decoder": decoder,
              "latent_noise": LATENT_NOISE if decoder == "autoregressive" else 0.0}
    parts = {
        "train": _lines(captions / "train.en.txt"),
        "valid": _lines(captions / "valid.en.txt"),
        "test": _lines(captions / "test_2016_flickr.en.txt") + _lines(captions / "test_2017_flickr.en.txt"),
    }
    kept = {
        "train": _all(restaurants / "train_tok.csv.gz"), "valid": _all(restaurants / "valid_tok.csv.gz")[::2],
        "test": _all(restaurants / "valid_tok.csv.gz")[1::2],
    }
    return {
        "Multi30k": Text(parts, length=24, tokens=16, **shared),  # type: ignore[arg-type]
        # as many numbers in fewer, wider tokens: calls are cheaper; on Multi30k that costs reconstruction (see docs)
        "E2E": Text(kept, length=32, tokens=8, latent=32, **shared),  # type: ignore[arg-type]
    }


def _lines(path: Path) -> list[str]:
    """Every line: the parts are files, so that none is held out of one."""
    return path.read_text(encoding="utf-8").splitlines()


def _all(path: Path) -> list[str]:
    import csv
    import gzip

    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [row["ref"] for row in csv.DictReader(file)]


def humans(text: Text, split: str) -> list[str]:
    """Different sentences of a part that are no longer than the model's."""
    tokens = text.tokenizer.encode(list(dict.fromkeys(text.sentences(split))), text.length + 1)
    fits = tokens[:, text.length:].eq(0).all(dim=1) | (until_end(tokens).sum(dim=1) <= text.length)
    return text.texts({"tokens": tokens[fits][:, : text.length]})


def reconstructed(model: latentgen.LatentGenerativeModel, text: Text) -> tuple[float, float]:
    """BLEU, in percent, of reconstructions of short test sentences: at the posterior's mean, and from a draw."""
    test = gather(model, "test", 2000)
    short = until_end(test["tokens"]).sum(dim=1) <= SHORT
    batch = {"tokens": test["tokens"][short]}
    both = (model.decode(model.encode(batch).mean).mode(), model.reconstruct(batch))
    made, drawn = ([words(line) for line in text.texts(found)] for found in both)
    real = [[words(line)] for line in text.texts(batch)]
    return 100 * bleu(made, real), 100 * bleu(drawn, real)


def autoregressive(text: Text, run: Path, minutes: float, seed: int) -> LanguageModel:
    """A kept or new baseline of the same width, depth and time."""
    path = run / "language_model.safetensors"
    vocabulary = len(text.tokenizer)
    if not path.exists():
        model = train_language_model(
            text.dataset("train").tokens, vocabulary, WIDTH, DEPTH, minutes=minutes, seed=seed,
            valid=text.dataset("valid").tokens[:500],
        )
        run.mkdir(parents=True, exist_ok=True)
        save_file(model.state_dict(), path)
    model = LanguageModel(vocabulary, text.length, WIDTH, DEPTH)
    model.load_state_dict(load_file(path))
    return model.eval()


def label_of(name: str, decoder: DecoderName) -> str:
    """A corpus and a decoder in the names of figures."""
    return f"{name}, {decoder} decoder"


def corpus(
    rows: Rows, name: str, text: Text, runs: Path, minutes: float, seeds: range, decoder: DecoderName = "parallel"
) -> None:
    """All rows of a corpus and a decoder, over its seeds."""
    stem, label = name.lower(), label_of(name, decoder)
    test, valid, train = humans(text, "test"), humans(text, "valid"), text.sentences("train")
    judge, found, bleus = TrigramEvaluator(train), dict[str, dict[str, list[float]]](), list[tuple[float, float]]()
    for seed in seeds:
        run = runs / f"{stem}-{decoder}-seed{seed}"
        model = two_stage(minutes, text, run, seed, KL_WEIGHT, WIDTH, DEPTH, FIRST[decoder])
        baseline = autoregressive(text, runs / f"{stem}-language-model-seed{seed}", minutes, seed)
        bleus.append(reconstructed(model, text))
        for number in range(SETS):
            made = made_by(model, baseline, name, text, decoder, 100 * seed + number)
            for setting, lines in {**made, "human (validation)": _part(valid, number)}.items():
                for key, value in text_figures(lines, test, train, judge).items():
                    found.setdefault(setting, {}).setdefault(key, []).append(value)
    note = f"{len(seeds)} seed(s), the last with {spent(run)}"
    at_mean, drawn = (mean_spread(values) for values in zip(*bleus, strict=True))
    rows.add(f"{label}: BLEU of reconstructed test sentences of <= {SHORT} tokens", at_mean[0], ">= 90",
             spread=at_mean[1], note=f"latents at the posterior's mean; {note}")
    rows.add(f"{label}: BLEU of reconstructions from a draw of the posterior", drawn[0], spread=drawn[1], note=note)
    compare(rows, label, found)
    for setting, cells in found.items():
        for key, values in cells.items():
            mean, around = mean_spread(values)
            rows.add(f"{label}, {setting}: {key}", mean, spread=around, note=f"{len(values)} sets of {SAMPLES}"
                     + f"; {judge.name}" * (key == "perplexity"))
    speed_row(rows, label, text, model, baseline, ">= 5" if decoder == "parallel" else "")


def made_by(
    model: latentgen.LatentGenerativeModel, baseline: LanguageModel, name: str, text: Text, decoder: DecoderName,
    seed: int,
) -> dict[str, list[str]]:
    """A set of sentences of every row that a model makes."""
    no_prior = latentgen.LatentGenerativeModel(text, model.autoencoder, NormalPrior(text.latents))
    draw = partial(_sampled, text=text, seed=seed)
    made = {
        "25 calls": draw(model, "dpm", 25),
        "10 calls": draw(model, "dpm", 10),
        "gan, 4 calls": draw(model, "gan"),
        "no prior": draw(no_prior, None),
        "autoregressive": text.texts({"tokens": baseline.sample(SAMPLES, seed=seed)}),
    }
    if decoder == "parallel":
        again, guided = Decoding(passes=READINGS), latentgen.autoguided(model, GUIDANCE, (0,))
        return made | {
            "25 ancestral calls, read again": draw(model, "ancestral", 25, again),
            "gan, 4 calls, read again": draw(model, "gan", None, again),
            "24 calls, autoguided": draw(guided, "dpm", 12),
            "24 ancestral calls, autoguided, read again": draw(guided, "ancestral", 12, again),
            "gan, 4 calls, autoguided, read again": draw(guided, "gan", None, again),
        }
    through = {sampler: Decoding(noise=level) for sampler, level in NOISE[name].items()}
    return made | {
        "25 calls, through noise": draw(model, "dpm", 25, through["dpm"]),
        "gan, 4 calls, through noise": draw(model, "gan", None, through["gan"]),
        "no prior, through noise": draw(no_prior, None, None, through["dpm"]),
    }


def compare(rows: Rows, label: str, found: dict[str, dict[str, list[float]]]) -> None:
    """Scores over the autoregressive model's, and memorisation beside human text."""
    mean = {setting: {key: mean_spread(values)[0] for key, values in cells.items()} for setting, cells in found.items()}
    for setting, figures in mean.items():
        if "calls" not in setting or setting.startswith("10"):
            continue
        rows.add(f"{label}, {setting}: MAUVE-type score over the autoregressive model's",
                 figures["mauve"] / mean["autoregressive"]["mauve"], ">= 0.6")
        gap = 100 * (figures["memorised"] - mean["human (validation)"]["memorised"])
        rows.add(f"{label}, {setting}: memorisation beside human text (points)", gap, "within 5", holds=abs(gap) <= 5)


def _part(lines: list[str], number: int) -> list[str]:
    """A third of a part, or all where it is small."""
    return lines[number * SAMPLES : (number + 1) * SAMPLES] if len(lines) >= SETS * SAMPLES else lines[:SAMPLES]


def _sampled(
    model: latentgen.LatentGenerativeModel, sampler: str | None, steps: int | None = None,
    decoding: Decoding | None = None, *, text: Text, seed: int,
) -> list[str]:
    """A set, in one batch: a decoding's noise is a function of the place in it."""
    use_decoding(model, decoding)
    lines = text.texts(model.sample(SAMPLES, sampler, steps=steps, seed=seed, batch_size=SAMPLES))
    use_decoding(model, None)
    return lines
