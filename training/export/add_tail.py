"""Add a cloud tail to weights that exist:
``python -m training.export.add_tail --of RUN --name NAME``.

The head and the latent stand still, so a device notices nothing. Of several runs, which need not be
of one architecture, the tail is their ensemble: their probabilities are averaged.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from splitfer.shared.errors import WeightsError
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.manifest import LOCAL_TAIL
from training.data.datasets import DataError, data_path
from training.data.votes import votes_or_none
from training.export.calibrate import measure_folder
from training.export.folder import all_or_nothing, write_manifest
from training.export.put_tail import begun_with, check_heads, put_tail
from training.fit.checkpoint import CHECKPOINT
from training.fit.member import CHECKPOINTS, RUNS
from training.fit.tails_teacher import load_split_model
from training.models.ensemble import Ensemble


def add_tail(folder: Path, name: str, runs: list[str], default: bool) -> None:
    """Put the tail of ``runs`` into ``folder`` under ``name``; nothing is measured.

    Raises:
        WeightsError: the folder is not to be used.
        ValueError: a run has another head, or runs answer different label sets; nothing is changed.
    """
    models = [load_split_model(CHECKPOINTS / run / CHECKPOINT) for run in runs]
    check_heads(folder, runs, models)
    label_sets = {model.config.label_sets for model in models}
    if len(label_sets) > 1:
        raise ValueError(f"the runs {', '.join(runs)} answer different label sets")
    tails = [model.cloud_tail for model in models]
    tail = tails[0] if len(tails) == 1 else Ensemble(tails)
    origin = ", ".join(run + begun_with(model) for run, model in zip(runs, models, strict=True))
    with all_or_nothing(folder) as draft:
        put_tail(draft, name, tail, f"{RUNS}: {origin}", label_sets.pop())
        if default:
            manifest = Weights(draft).manifest.model_copy(update={"default_tail": name})
            write_manifest(draft, manifest)


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    parser.add_argument("--of", nargs="+", required=True, metavar="RUN", help="their ensemble")
    parser.add_argument("--name", required=True, help="the tail's id")
    parser.add_argument("--default", action="store_true", help="it answers where none is named")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    arguments = parser.parse_args()
    if arguments.name == LOCAL_TAIL:
        parser.error(
            f"--name: {LOCAL_TAIL} is the device's own tail; training.export.put_tail puts it"
        )
    try:
        data, votes = data_path(arguments.data), votes_or_none(arguments.votes)
        folder = arguments.weights or default_folder()
        with all_or_nothing(folder) as draft:
            add_tail(draft, arguments.name, arguments.of, arguments.default)
            manifest = measure_folder(draft, data, votes)
    except DataError as error:
        print(f"add_tail: {error}", file=sys.stderr)
        return 3
    except WeightsError as error:
        print(f"add_tail: {error}", file=sys.stderr)
        return 4
    except (OSError, ValueError) as error:
        parser.error(str(error))
    answers = manifest.tails[arguments.name].model_dump(mode="json")["answers"]
    print(json.dumps({"folder": str(folder), "tail": arguments.name, "answers": answers}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
