"""The figures of generated sentences, all at equal numbers."""

from __future__ import annotations

from collections.abc import Sequence

from .divergence import mauve
from .evaluator import Evaluator
from .features import NGramFeatures
from .ngrams import bleu, diversity, memorised, self_bleu, words

BETTER = {
    "mauve": "higher", "unique": "higher", "novel": "higher", "diversity": "higher", "memorised": "lower",
    "self_bleu": "lower", "perplexity": "lower",
}


def text_figures(
    generated: Sequence[str], reference: Sequence[str], train: Sequence[str], evaluator: Evaluator | None = None
) -> dict[str, float]:
    """Share of unique and of new sentences, diversity, memorised 4-grams, self-BLEU, perplexity, divergence frontier.

    Args:
        generated: sentences.
        reference: real ones that were not trained on; evenly spaced ones are taken where there are more.
        train: those that were.
        evaluator: of the perplexity (mean over texts), which is left out without one.
    """
    known, count = set(train), min(len(generated), len(reference))
    figures = {
        "unique": len(set(generated)) / len(generated),
        "novel": sum(sentence not in known for sentence in generated) / len(generated),
        "diversity": diversity(generated),
        "memorised": memorised(generated, train),
        "self_bleu": self_bleu(generated, 100),
    }
    if evaluator is not None:
        figures["perplexity"] = evaluator.perplexity(generated)
    if count >= 20:
        features = NGramFeatures()
        real = [reference[k * len(reference) // count] for k in range(count)]
        figures["mauve"] = mauve(features.vectors(real), features.vectors(generated[:count]))
    return figures


def reconstruction_figures(made: Sequence[str], real: Sequence[str]) -> dict[str, float]:
    """Of reconstructions beside their originals: share of equal sentences ("exact"), and corpus BLEU of words ("bleu").

    Args:
        made: B sentences that were encoded and decoded.
        real: the B sentences themselves.
    """
    equal = sum(one == other for one, other in zip(made, real, strict=True))
    return {
        "exact": equal / len(made),
        "bleu": bleu([words(sentence) for sentence in made], [[words(sentence)] for sentence in real]),
    }
