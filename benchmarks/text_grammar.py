"""Sentences of the grammar: exact reconstruction, validity at few calls, joint training, bounds."""

from __future__ import annotations

from pathlib import Path

from budget import trained_for
from harness import Rows, mean_spread
from text_recipes import options, rising, spent, two_stage

import latentgen
from latentgen import DDGAN, LSGM, VAE, JointDDGAN
from latentgen.adversarial_recipe import REFINED
from latentgen.evaluation import gather
from latentgen.stream import batches
from modalities.text import Text
from modalities.text.decoding import Decoding, use_decoding
from modalities.text.grammar import accepts
from modalities.text.modality import exact_share, nats_a_token

SAMPLES = 1000
KL_WEIGHT = 0.03
FIRST = 0.5
"""Share of the time for the autoencoder; at .4 one of two seeds rebuilt 97.8 % of the sentences."""
PASSES = 8
"""Times that a sentence is encoded and read again; chosen among 6, 8 and 10 on other samples of the three models."""
SETTINGS = (("10 calls", "ancestral", 10), ("10 calls, DPM-Solver", "dpm", 10), ("gan, 4 calls", "gan", None))


def modality() -> Text:
    """The sentences of the example and the autoencoder of all rows."""
    return Text(
        vocabulary=2000, length=20, width=96, token_dropout=0.15,
    )


def shares(made: list[str], known: set[str]) -> dict[str, float]:
    """Valid, unique and new sentences."""
    return {
        "valid": sum(map(accepts, made)) / len(made),
        "unique": len(set(made)) / len(made),
        "novel": sum(sentence not in known for sentence in made) / len(made),
    }


def judged(model: latentgen.LatentGenerativeModel, text: Text, seed: int) -> dict[str, dict[str, float]]:
    """Figures by setting, with and without reading again."""
    known = set(text.sentences("train"))
    found: dict[str, dict[str, float]] = {}
    for passes in (0, PASSES):
        use_decoding(model, Decoding(passes=passes))
        for name, sampler, steps in SETTINGS:
            if sampler not in model.prior.samplers:
                continue
            batch = model.sample(SAMPLES, sampler, steps=steps, seed=seed, batch_size=500)
            found[name if passes else f"{name}, read once"] = shares(text.texts(batch), known)
    use_decoding(model, None)
    return found


def grammar(rows: Rows, runs: Path, minutes: float, seeds: range) -> None:
    """The example's task, at equal numbers of sentences."""
    text = modality()
    real = shares(text.sentences("test")[:SAMPLES], set(text.sentences("train")))
    for key, value in real.items():
        rows.add(f"grammar, real test sentences: {key}", value)
    exact: list[float] = []
    drawn: list[float] = []
    found: dict[str, dict[str, list[float]]] = {}
    note = ""
    for seed in seeds:
        run = runs / f"grammar-two-stage-seed{seed}"
        model = two_stage(minutes, text, run, seed, KL_WEIGHT, share=FIRST)
        note = spent(run)
        test = gather(model, "test", 2000)
        exact.append(exact_share(model.decode(model.encode(test).mean).mode(), test))
        drawn.append(exact_share(model.reconstruct(test), test))
        for name, figures in judged(model, text, 1000 + seed).items():
            for key, value in figures.items():
                found.setdefault(name, {}).setdefault(key, []).append(value)
    mean, spread = mean_spread(exact)
    rows.add("grammar: exact reconstructions of test sentences", mean, ">= 0.99", spread=spread,
             note=f"latents at the posterior's mean; {note}")
    mean, spread = mean_spread(drawn)
    rows.add("grammar: exact reconstructions from a draw of the posterior", mean, spread=spread, note=note)
    goals = {"10 calls": ">= 0.75", "gan, 4 calls": ">= 0.60"}
    for name, cells in found.items():
        for key, values in cells.items():
            mean, spread = mean_spread(values)
            goal = goals.get(name, "") if key == "valid" else ""
            rows.add(f"grammar, {name}: {key}", mean, goal, spread=spread, note=f"{note}; {len(values)} seed(s)")


def joint(rows: Rows, runs: Path, minutes: float, seeds: range) -> None:
    """End to end against the frozen autoencoder of the rows above, equal time."""
    text = modality()
    for seed in seeds:
        run = runs / f"grammar-joint-seed{seed}"
        recipe = lambda: JointDDGAN(LSGM(kl_weight=rising(KL_WEIGHT)), DDGAN(4, **{**REFINED, "levels": (3.5, -1.0)}))  # noqa: E731
        model = trained_for(minutes, recipe, text, run, options(seed))
        test = gather(model, "test", 2000)
        rows.add(f"grammar, end to end, seed {seed}: exact reconstructions",
                 exact_share(model.reconstruct(test), test), note=spent(run))
        for name, figures in judged(model, text, 1000 + seed).items():
            rows.add(f"grammar, end to end, seed {seed}, {name}: valid", figures["valid"], note=spent(run))


def bounds(rows: Rows, runs: Path, minutes: float, seeds: range) -> None:
    """Nats a token of LSGM and of a VAE: the same autoencoder, weight 1 at the end, equal time."""
    text = modality()
    found: dict[str, list[float]] = {"VAE": [], "LSGM": []}
    for seed in seeds:
        for name in found:
            run = runs / f"grammar-nats-{name.lower()}-seed{seed}"
            recipe = (lambda: VAE(rising(1.0))) if name == "VAE" else (lambda: LSGM(kl_weight=rising(1.0)))
            model = trained_for(minutes, recipe, text, run, options(seed))
            nats = model.nelbo(batches(text, text.dataset("test"), limit=2000), "bound", draws=10)
            test = gather(model, "test", 2000)
            found[name].append(nats_a_token(nats.mean, test))
            rows.add(f"grammar, {name}, seed {seed}: NELBO (nats a token)", found[name][-1],
                     spread=nats_a_token(nats.standard_error, test), note=f"spread: standard error; {spent(run)}")
    gains = [a - b for a, b in zip(found["VAE"], found["LSGM"], strict=True)]
    mean, spread = mean_spread(gains)
    rows.add("grammar: nats a token by which LSGM is better than the VAE", mean, "> 0", holds=mean > 0, spread=spread,
             note=f"{len(gains)} seed(s), {minutes:g} CPU-minutes each")
