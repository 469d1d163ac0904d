"""Keep a run that is to go on elsewhere: ``python -m training.fit.keep --run NAME``.

Checkpoints are not committed. This writes the run's averaged weights in half precision as
``training/runs/NAME/weights.pt``, from which ``start_from`` begins where there is no checkpoint. It
goes when the run is finished, but for a classifier that is too large to be shipped.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import torch

from splitfer.shared.whole_file import write_whole
from training.fit.checkpoint import CHECKPOINT, KEPT, averaged_weights

MOST_BYTES = 12 * 2**20


def keep(run: str, checkpoints: Path, runs: Path) -> Path:
    """Write the kept weights of ``run``; gives the file.

    Raises:
        ValueError: there is no checkpoint, or the weights take more than ``MOST_BYTES``.
    """
    weights = averaged_weights(checkpoints / run / CHECKPOINT)
    halves = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }
    packed = io.BytesIO()
    torch.save({"model": halves}, packed)
    if packed.tell() > MOST_BYTES:
        raise ValueError(f"the weights of {run} take {packed.tell():,} bytes, over {MOST_BYTES:,}")
    file = runs / run / KEPT
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, packed.getvalue())
    return file


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--run", required=True, help="name of the run")
    arguments = parser.parse_args()
    try:
        file = keep(arguments.run, Path(".checkpoints"), Path("training/runs"))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
