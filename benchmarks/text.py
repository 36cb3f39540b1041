"""Text: reconstruction, validity under a grammar, generation beside an autoregressive model, speed, bounds.

    python benchmarks/text.py --data DATA --json benchmarks/results/text.json
    python benchmarks/text.py --only grammar --seeds 1

DATA has text/multi30k and text/e2e_nlg. The perplexity's evaluator is a Kneser-Ney trigram model of the training part.
"""

from __future__ import annotations

from harness import Rows, arguments, wanted


def main() -> None:
    """Run what was asked for."""
    args = arguments(
        __doc__ or "", "10 minutes of one core for the grammar and a seed, 30 for joint training and bounds, 70 for a "
        "corpus, decoder and seed", minutes=True,
    )
    rows, seeds = Rows(args.json), range(args.seeds)
    from text_grammar import bounds, grammar, joint

    if wanted(args.only, "grammar"):
        grammar(rows, args.runs, args.minutes or 10.0, seeds)
    if wanted(args.only, "joint"):
        joint(rows, args.runs, args.minutes or 10.0, seeds)
    if wanted(args.only, "bounds"):
        bounds(rows, args.runs, args.minutes or 10.0, seeds)
    if args.data is None:
        print("Multi30k and E2E are left out, since --data was not given", flush=True)
        return
    from text_corpora import DECODERS, DEPTH, WIDTH, corpora, corpus, label_of
    from text_speed import speed_by_length

    if wanted(args.only, "speed"):
        speed_by_length(rows, corpora(args.data)["E2E"].sentences("train"), WIDTH, DEPTH)

    for decoder in DECODERS:
        for name, text in corpora(args.data, decoder).items():
            if wanted(args.only, label_of(name, decoder)):
                corpus(rows, name, text, args.runs, args.minutes or 20.0, seeds, decoder)


if __name__ == "__main__":
    main()
