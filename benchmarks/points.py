"""Point clouds: chairs by the published protocol, ModelNet10, speed and memory.

    python benchmarks/points.py --data DATA --json benchmarks/results/points.json
    python benchmarks/points.py --only speed --only memory

DATA has shapes3d/modelnet10_chair_vox32.npz.
"""

from __future__ import annotations

from harness import Rows, arguments, wanted


def main() -> None:
    """Run what was asked for."""
    args = arguments(
        __doc__ or "",
        "20 minutes of one core and a seed for each of chairs, latent points and classes, 35 for ModelNet10 and a "
        "seed, 3 for the rest",
        minutes=True,
    )
    rows, seeds = Rows(args.json), range(args.seeds)
    from points_classes import classes
    from points_shapes import chairs, latent_points, modelnet
    from points_speed import chamfer_speed, memory, sampling_speed

    if wanted(args.only, "speed"):
        chamfer_speed(rows)
        sampling_speed(rows)
    if wanted(args.only, "memory"):
        memory(rows)
    if wanted(args.only, "chairs"):
        chairs(rows, args.runs, args.minutes or 15.0, seeds)
    if wanted(args.only, "latent points"):
        latent_points(rows, args.runs, args.minutes or 15.0, seeds)
    if wanted(args.only, "classes"):
        classes(rows, args.runs, args.minutes or 15.0, seeds)
    if wanted(args.only, "modelnet"):
        if args.data is None:
            print("ModelNet10 is left out, since --data was not given", flush=True)
        else:
            modelnet(rows, args.data, args.runs, args.minutes or 25.0, seeds)


if __name__ == "__main__":
    main()
