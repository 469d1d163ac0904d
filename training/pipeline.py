"""Run a pipeline, step after step: ``python -m training run PIPELINE --data PATH --votes FILE``.

A pipeline is a TOML file of ``[[step]]``, each with a ``name``, a ``module`` of this package and
its ``arguments``. A step that prints a JSON object as its last line gives its values to later ones:
``{folder}`` in an argument is then what ``training.export`` made. Finished steps are not run again
unless they, a recipe they name, the data, or a step before them changed; a step that was killed
goes on where it stood.

With ``--budget 25m`` the steps that train have fewer epochs. Each of them says in ``share`` how
much of the time it has beside the others; a tenth is kept for the steps that do not train.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitfer.shared.whole_file import write_whole
from training.data.ckplus import SCHEME, is_ckplus, load_ckplus
from training.data.datasets import DATA_VARIABLE, DataError, data_path
from training.data.votes import VOTES_VARIABLE, votes_or_none
from training.fit.device import DEVICE_VARIABLE, training_device

STATE = Path(".checkpoints/pipelines")
PIPELINES = Path("training/pipelines")
_FOR_TRAINING = 0.9
_UNITS_S = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Step:
    """One command: ``python -m module arguments``."""

    name: str
    module: str
    arguments: tuple[str, ...]
    share: float = 0.0

    def filled(self, values: dict[str, str]) -> list[str]:
        """The command's words, with what earlier steps gave.

        Raises:
            ValueError: an argument names what no earlier step gave.
        """
        try:
            given = [argument.format(**values) for argument in self.arguments]
        except KeyError as error:
            raise ValueError(f"step {self.name!r}: no step before it gave {error}") from error
        return [self.module, *given]


def read_pipeline(path: Path) -> list[Step]:
    """The steps in a TOML file.

    Raises:
        ValueError: it cannot be read, has no steps, or a step is not as it should be.
    """
    try:
        rows = tomllib.loads(path.read_text())["step"]
        steps = [
            Step(row["name"], row["module"], tuple(row["arguments"]), float(row.get("share", 0)))
            for row in rows
        ]
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except KeyError as error:
        raise ValueError(f"{path}: the key {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    for step in steps:
        if not step.module.startswith("training."):
            raise ValueError(f"{path}: step {step.name!r}: {step.module} is no module of training")
    return steps


def run_pipeline(
    steps: list[Step],
    state: Path,
    run: Callable[[list[str]], dict[str, Any]],
    say: Callable[[str], None] = print,
    budget_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    given: Mapping[str, str] | None = None,
    data: str = "",
) -> None:
    """Run what is not finished; ``state`` is the file that remembers what is.

    ``given`` are values that arguments may name before any step has run. ``data`` is other for
    other data.

    ``run`` takes a command's words and gives the JSON object that it printed. ``budget_s`` is for
    the whole pipeline, with what finished steps took.

    Raises:
        ValueError: an argument names what no earlier step gave.
    """
    done: list[dict[str, Any]] = json.loads(state.read_text()) if state.exists() else []
    values: dict[str, str] = dict(given or {})
    digest = hashlib.sha256((data + ("" if budget_s is None else str(budget_s))).encode())
    left_s = budget_s
    for place, step in enumerate(steps):
        words = step.filled(values)
        digest.update(json.dumps(words).encode())
        for word in words:
            if word.endswith(".toml") and Path(word).is_file():
                digest.update(Path(word).read_bytes())
        mark = digest.hexdigest()
        finished = place < len(done) and done[place]["mark"] == mark
        say(f"{place + 1}/{len(steps)} {step.name}: {'finished before' if finished else 'runs'}")
        if not finished:
            if left_s is not None and step.share:
                minutes = _minutes(left_s, steps[place:])
                say(f"  in {minutes:.1f} of {left_s / 60:.1f} minutes that are left")
                words = [*words, "--minutes", f"{minutes:.3f}"]
            started = clock()
            found = {key: str(value) for key, value in run(words).items()}
            done = [*done[:place], {"mark": mark, "given": found, "seconds": clock() - started}]
            state.parent.mkdir(parents=True, exist_ok=True)
            write_whole(state, json.dumps(done).encode())
        values |= done[place]["given"]
        if left_s is not None:
            left_s = max(0.0, left_s - done[place].get("seconds", 0.0))


def _minutes(left_s: float, steps: list[Step]) -> float:
    """The time of the first of ``steps``, of which all those that train share what is left."""
    share = steps[0].share / sum(step.share for step in steps)
    return max(left_s * _FOR_TRAINING * share / 60, 0.01)


def data_mark(*named: str | Path | None) -> str:
    """Of files and folders: their names, and what a change of them changes."""
    digest = hashlib.sha256()
    for one in filter(None, named):
        path = Path(str(one).removeprefix(SCHEME))
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                found = file.stat()
                digest.update(f"{file.resolve()} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def run_module(words: list[str]) -> dict[str, Any]:
    """Run ``python -m`` with these words; gives the JSON object of its last line, if it is one.

    Raises:
        subprocess.CalledProcessError: its exit code is not 0.
    """
    process = subprocess.run(
        [sys.executable, "-m", *words], stdout=subprocess.PIPE, text=True, check=True
    )
    sys.stdout.write(process.stdout)
    try:
        found = json.loads((process.stdout.splitlines() or [""])[-1])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def named_pipelines() -> list[str]:
    """Those of the repository."""
    return sorted(path.stem for path in PIPELINES.glob("*.toml"))


def _data(argument: str | None) -> str:
    """The data set, known to be there.

    Raises:
        DataError: it is not, or is not what its name says.
    """
    named = argument or os.environ.get(DATA_VARIABLE, "")
    if is_ckplus(named):
        load_ckplus(named)
        return named
    return str(data_path(argument))


def _seconds(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    try:
        seconds = float(number) * _UNITS_S[unit]
    except (KeyError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: a number and s, m or h, as in 25m")
    return seconds


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "pipeline", help=f"a file, or one of {PIPELINES}: {', '.join(named_pipelines())}"
    )
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder; ckplus:PATH of CK+")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    parser.add_argument("--device", help="cpu or cuda (an accelerator where there is one)")
    parser.add_argument(
        "--budget", type=_seconds, metavar="TIME", help="such as 25m: fewer epochs, to end in it"
    )
    parser.add_argument("--folds", type=int, default=10, help="of a pipeline that has folds")
    arguments = parser.parse_args()
    path = Path(arguments.pipeline)
    if arguments.pipeline in named_pipelines():
        path = PIPELINES / f"{arguments.pipeline}.toml"
    try:
        if arguments.device:
            os.environ[DEVICE_VARIABLE] = arguments.device
        training_device()
        os.environ[DATA_VARIABLE] = _data(arguments.data)
        if (votes := votes_or_none(arguments.votes)) is not None:
            os.environ[VOTES_VARIABLE] = str(votes)
        steps = read_pipeline(path)
        run_pipeline(
            steps,
            STATE / f"{path.stem}.json",
            run_module,
            budget_s=arguments.budget,
            given={"folds": str(arguments.folds)},
            data=data_mark(os.environ[DATA_VARIABLE], votes),
        )
    except DataError as error:
        print(f"pipeline: {error}", file=sys.stderr)
        return 3
    except ValueError as error:
        parser.error(str(error))
    except subprocess.CalledProcessError as error:
        print(f"pipeline: {' '.join(error.cmd[2:])} ended with {error.returncode}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pipeline: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
