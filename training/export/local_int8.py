"""Put the backbone in 8-bit integers into weights that exist, as a model that answers on a device:
``python -m training.export.local_int8 --data PATH --votes PATH --weights FOLDER``.

It is `--local-model backbone-int8` then: head and local tail as one network from the crop, weights
rounded by channel to seven bits, so that all kinds of processors give the same numbers, ranges from
faces of Training. It answers only. The latent that is sent comes
from the head as it is, since one in 8 bits would give other symbols than the server's tables were
made for. Golden logits, temperatures and figures are its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.contracts import AnswerPath
from splitfer.shared.errors import WeightsError
from splitfer.shared.local_models import BACKBONE
from splitfer.shared.vision.crop import enlarge_crop
from splitfer.shared.weights import Weights
from splitfer.shared.weights.golden import golden_names
from splitfer.shared.weights.manifest import LOCAL_TAIL
from splitfer.shared.weights.runtime import Tail
from training.data.datasets import DataError, data_path
from training.data.judged import judged_part
from training.data.votes import votes_or_none
from training.export.calibrate import unseen
from training.export.folder import all_or_nothing, golden_arrays, unmeasured, write_tails
from training.export.local_model import measure_local_model
from training.export.quantise import static_int8
from training.export.whole_model import whole_model

NAME = f"{BACKBONE}-int8"
RANGES_FROM = 512


def add_int8(folder: Path, pictures: NDArray[np.uint8]) -> None:
    """Put it into ``folder``, its ranges from ``pictures`` uint8 ``(N, H, W)``; nothing is
    measured.

    Raises:
        WeightsError: the folder is not to be used.
    """
    weights = Weights(folder)
    manifest = weights.manifest
    crops = np.stack([enlarge_crop(one) for one in pictures])[:, None]
    data = static_int8(whole_model(weights, BACKBONE), crops)
    entry = unmeasured(NAME, AnswerPath.LOCAL, manifest.tails[LOCAL_TAIL].answers)
    found = weights.golden_logits(NAME, Tail(data, 1), 1)
    arrays = golden_arrays(weights)
    arrays |= {key: found[one] for one, key in golden_names(NAME, entry).items()}
    origin = f"head and {LOCAL_TAIL} in int8, ranges from {len(pictures)} faces of Training"
    manifest = manifest.model_copy(
        update={
            "tails": {**manifest.tails, NAME: entry},
            "origin": {**manifest.origin, NAME: origin},
        }
    )
    write_tails(folder, manifest, {NAME: data}, arrays)


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    parser.add_argument("--weights", type=Path, required=True, help="a folder of weights")
    arguments = parser.parse_args()
    try:
        data, votes = data_path(arguments.data), votes_or_none(arguments.votes)
        learnt, held_out = unseen(judged_part(data, votes, "Training"))
        chosen = np.random.default_rng(0).permutation(len(learnt.faces))[:RANGES_FROM]
        tests = {"PublicTest": judged_part(data, votes, "PublicTest")}
        with all_or_nothing(arguments.weights) as draft:
            add_int8(draft, learnt.faces.pictures[chosen])
            entry = measure_local_model(draft, NAME, held_out, tests)
    except DataError as error:
        print(f"local_int8: {error}", file=sys.stderr)
        return 3
    except WeightsError as error:
        print(f"local_int8: {error}", file=sys.stderr)
        return 4
    except (OSError, ValueError) as error:
        parser.error(str(error))
    accuracy = {str(one): found.accuracy for one, found in entry.answers.items()}
    print(json.dumps({"folder": str(arguments.weights), "name": NAME, "accuracy": accuracy}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
