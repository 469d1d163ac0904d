"""Run a pipeline, step after step: ``python -m training.pipeline FILE --data PATH --votes FILE``.

A pipeline is a TOML file of ``[[step]]``, each with a ``name``, a ``module`` of this package and
its ``arguments``. A step that prints a JSON object as its last line gives its values to later ones:
``{folder}`` in an argument is then what ``training.export`` made. Finished steps are not run again
unless they, a recipe they name, or a step before them changed; a step that was killed goes on where
it stood.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitfer.shared.whole_file import write_whole
from training.data.datasets import DATA_VARIABLE, DataError, data_path
from training.data.votes import VOTES_VARIABLE, votes_or_none

STATE = Path(".checkpoints/pipelines")


@dataclass(frozen=True)
class Step:
    """One command: ``python -m module arguments``."""

    name: str
    module: str
    arguments: tuple[str, ...]

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
        steps = [Step(row["name"], row["module"], tuple(row["arguments"])) for row in rows]
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
    steps: list[Step], state: Path, run: Callable[[list[str]], dict[str, Any]],
    say: Callable[[str], None] = print,
) -> None:  # fmt: skip
    """Run what is not finished; ``state`` is the file that remembers what is.

    ``run`` takes a command's words and gives the JSON object that it printed.

    Raises:
        ValueError: an argument names what no earlier step gave.
    """
    done: list[dict[str, Any]] = json.loads(state.read_text()) if state.exists() else []
    values: dict[str, str] = {}
    digest = hashlib.sha256()
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
            given = {key: str(value) for key, value in run(words).items()}
            done = [*done[:place], {"mark": mark, "given": given}]
            state.parent.mkdir(parents=True, exist_ok=True)
            write_whole(state, json.dumps(done).encode())
        values |= done[place]["given"]


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


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pipeline", type=Path, help="such as training/pipelines/crowd.toml")
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    arguments = parser.parse_args()
    try:
        os.environ[DATA_VARIABLE] = str(data_path(arguments.data))
        if (votes := votes_or_none(arguments.votes)) is not None:
            os.environ[VOTES_VARIABLE] = str(votes)
        steps = read_pipeline(arguments.pipeline)
        run_pipeline(steps, STATE / f"{arguments.pipeline.stem}.json", run_module)
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
