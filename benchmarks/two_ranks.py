"""Two gloo processes with half of the batch each against one process with all of it: eight adversarial steps."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from latentgen.checkpoint import latest_checkpoint, load_checkpoint

SCRIPT = Path(__file__).parent.parent / "tests" / "distributed_gan_script.py"


def two_ranks_difference(batch_size: int = 16) -> float:
    """Largest absolute difference of a parameter of model and discriminator after the two runs."""
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder) / "one", Path(folder) / "two"
        _launch(1, str(one), str(batch_size))
        _launch(2, str(two), str(batch_size // 2))
        left, right = (load_checkpoint(latest_checkpoint(run))[0] for run in (one, two))  # type: ignore[arg-type]
    parts = [name for name in left if name == "model" or name.startswith("objective-")]
    if len(parts) < 2:
        raise RuntimeError("the checkpoint holds no discriminator; nothing adversarial was trained.")
    return max(float((left[part][key] - right[part][key]).abs().max()) for part in parts for key in left[part])


def _launch(processes: int, *arguments: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}", f"--master_port={port}",
        str(SCRIPT), *arguments,
    ]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
