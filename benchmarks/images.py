"""Images: the trilemma table of MNIST, likelihoods, ablations, and the U-Net's speed beside a library's.

    python benchmarks/images.py --data DATA --json benchmarks/results/images.json
    python benchmarks/images.py --data DATA --only ablation --minutes 3 --seeds 3

DATA has images/mnist (idx files) and images/omniglot.
"""

from __future__ import annotations

from harness import Rows, arguments, wanted


def main() -> None:
    """Run what was asked for."""
    args = arguments(
        __doc__ or "",
        "about 50 minutes of one core for the trilemma table, 40 for each NELBO and seed, 30 for the ablation, "
        "3 for the U-Net",
        minutes=True,
    )
    rows, seeds = Rows(args.json), range(args.seeds)
    if wanted(args.only, "U-Net"):
        from unet_speed import unet_speed

        unet_speed(rows)
    if wanted(args.only, "CIFAR-10 on a GPU"):
        import torch

        if torch.cuda.is_available():
            from gpu_utilisation import utilisation

            utilisation(rows)
        else:
            print("the rates of CIFAR-10 are left out, since there is no GPU", flush=True)
    if args.data is None:
        print("the other figures are left out, since --data was not given", flush=True)
        return
    from images_likelihood import ablation, against_vae

    if wanted(args.only, "trilemma"):
        from images_trilemma import trilemma

        trilemma(rows, args.data, args.runs, args.minutes or 6.0)
    if wanted(args.only, "mnist NELBO"):
        against_vae(rows, args.data, "mnist", args.runs, args.minutes or 20.0, seeds)
    if wanted(args.only, "omniglot NELBO"):
        against_vae(rows, args.data, "omniglot", args.runs, args.minutes or 20.0, seeds)
    if wanted(args.only, "ablation"):
        ablation(rows, args.data, args.runs, args.minutes or 2.0, seeds)


if __name__ == "__main__":
    main()
