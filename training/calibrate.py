"""Measure a folder of weights and complete its manifest.

``python -m training.calibrate --weights FOLDER`` fits the temperatures of every tail and rate on
the part of Training that was held out (faces without a copy in the rest), and measures accuracies
and bytes, all through the product's own files and code.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shared.contracts import Path as AnswerPath
from shared.errors import WeightsError
from shared.latent import Latent
from shared.preprocess import enlarge_crop
from shared.runtime import softmax
from shared.weights import Weights
from shared.weights.manifest import LOCAL_TAIL, Manifest, Together
from shared.whole_file import write_whole
from training.datasets import (
    HOLDOUT_SHARE,
    DataError,
    Faces,
    data_path,
    load_fer2013,
    split_off,
)
from training.duplicates import copied

THREADS = 2
# Probabilities by tail and data part; a figure of them.
Answers = Mapping[tuple[str, str], NDArray[np.floating[Any]]]
Figure = Callable[[NDArray[np.floating[Any]], Faces], float]


@dataclass(frozen=True)
class Measured:
    """Logits ``(N, 7)`` of the local tail, of each cloud tail at each rate, and mean payload bytes
    by rate."""

    local: NDArray[np.float32]
    cloud: dict[tuple[str, int], NDArray[np.float32]]
    bytes_mean: list[float]


def measure(weights: Weights, faces: Faces) -> Measured:
    """Every tail at every rate over ``faces``, latents through the payload codec."""
    head, codec = weights.head(THREADS), weights.payload_codec
    rates = range(len(weights.manifest.rates))
    local_tail = weights.tail(LOCAL_TAIL, THREADS)
    tails = {name: weights.tail(name, THREADS) for name in cloud_tails(weights.manifest)}
    local: list[NDArray[np.float32]] = []
    cloud: dict[tuple[str, int], list[NDArray[np.float32]]] = {
        (name, rate): [] for name in tails for rate in rates
    }
    sent = [0 for _ in rates]
    for start in tqdm(range(0, len(faces), 32), desc="measure", unit="batch", disable=None):
        crops = np.stack([enlarge_crop(p) for p in faces.pictures[start : start + 32]])
        features, z = head.run(crops)
        local.append(local_tail.logits(features))
        for rate in rates:
            symbols = weights.quantiser.symbols(z, rate)
            payloads = [codec.encode(Latent(one, rate)) for one in symbols]
            sent[rate] += sum(map(len, payloads))
            received = np.stack([codec.decode(payload).symbols for payload in payloads])
            for name, tail in tails.items():
                logits = tail.logits(received, weights.quantiser.steps(rate))
                cloud[name, rate].append(logits)
    return Measured(
        np.concatenate(local), {key: np.concatenate(rows) for key, rows in cloud.items()},
        [round(total / len(faces), 1) for total in sent],
    )  # fmt: skip


def complete_manifest(folder: Path, held_out: Faces, tests: dict[str, Faces]) -> Manifest:
    """Write temperatures (fitted on ``held_out``), bytes and accuracies on ``tests``.

    Bytes are those of the last of ``tests``.
    """
    weights = Weights(folder)
    manifest = weights.manifest
    fitted = measure(weights, held_out)
    measured = {name: measure(weights, faces) for name, faces in tests.items()}
    own_temperature = fit_temperature(fitted.local, held_out.labels)
    own = {part: softmax(found.local / np.float32(own_temperature))
           for part, found in measured.items()}  # fmt: skip
    rates = []
    for index, rate in enumerate(manifest.rates):
        names = cloud_tails(manifest)
        temperature = {
            name: fit_temperature(fitted.cloud[name, index], held_out.labels) for name in names
        }
        answers = {
            (name, part): softmax(found.cloud[name, index] / np.float32(temperature[name]))
            for name in names for part, found in measured.items()
        }  # fmt: skip

        both = {(name, part): (answer + own[part]) / 2 for (name, part), answer in answers.items()}
        rates.append(rate.model_copy(update={
            "bytes_mean": list(measured.values())[-1].bytes_mean[index],
            "temperature": temperature,
            "accuracy": {name: _by_part(accuracy, name, answers, tests) for name in names},
            "log_loss": {name: _by_part(log_loss, name, answers, tests) for name in names},
            "together": {
                name: Together(
                    accuracy=_by_part(accuracy, name, both, tests),
                    log_loss=_by_part(log_loss, name, both, tests),
                )
                for name in names
            },
        }))  # fmt: skip
    default = rates[weights.rate_index("")]
    tails = {
        name: entry.model_copy(update={
            "temperature": default.temperature[name], "accuracy": default.accuracy[name],
            "log_loss": default.log_loss[name],
        })
        if entry.path is AnswerPath.CLOUD
        else entry.model_copy(update={
            "temperature": own_temperature,
            "accuracy": {part: accuracy(own[part], tests[part]) for part in tests},
            "log_loss": {part: log_loss(own[part], tests[part]) for part in tests},
        })
        for name, entry in manifest.tails.items()
    }  # fmt: skip
    manifest = manifest.model_copy(update={"rates": tuple(rates), "tails": tails})
    write_whole(folder / "manifest.json", f"{manifest.model_dump_json(indent=2)}\n".encode())
    return manifest


def unseen(held_out: Faces, train: Faces) -> Faces:
    """``held_out`` without the faces that ``train`` also has: of what was learnt by heart the
    network is surer than of a stranger's face."""
    return held_out.subset(~copied(held_out.pictures, train.pictures))


def cloud_tails(manifest: Manifest) -> list[str]:
    """Ids of the tails that take latents."""
    return [name for name, entry in manifest.tails.items() if entry.path is AnswerPath.CLOUD]


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature at which the mean of the highest probabilities of ``(N, 7)`` logits is the
    share of right answers: expectation consistency (Clarté et al., 2023).

    The one of least cross entropy (Guo et al., 2017) is as good where the probabilities are wrong
    by a temperature alone. With labels as doubtful as FER2013's they are not, and it promised 2
    points more than was right.
    """
    right = float((logits.argmax(axis=1) == labels).mean())
    candidates = np.exp(np.linspace(np.log(0.2), np.log(5.0), 400))
    gaps = [
        abs(float(softmax(logits / np.float32(t)).max(axis=1).mean()) - right) for t in candidates
    ]
    return round(float(candidates[int(np.argmin(gaps))]), 4)


def accuracy(probabilities: NDArray[np.floating[Any]], faces: Faces) -> float:
    """Share of right answers of probabilities ``(N, 7)``."""
    return round(float((probabilities.argmax(axis=1) == faces.labels).mean()), 5)


def log_loss(probabilities: NDArray[np.floating[Any]], faces: Faces) -> float:
    """Mean -log of the right class's probability, in nats."""
    right = probabilities[np.arange(len(faces)), faces.labels]
    return round(float(-np.log(np.maximum(right, 1e-9)).mean()), 5)


def _by_part(
    figure: Figure, tail: str, answers: Answers, tests: dict[str, Faces]
) -> dict[str, float]:
    return {part: figure(answers[tail, part], faces) for part, faces in tests.items()}


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--weights", type=Path, required=True, help="a folder of weights")
    arguments = parser.parse_args()
    try:
        data = data_path(arguments.data)
        train, held_out = split_off(load_fer2013(data, "Training"), HOLDOUT_SHARE)
        tests = {"PublicTest": load_fer2013(data, "PublicTest")}
        manifest = complete_manifest(arguments.weights, unseen(held_out, train), tests)
    except DataError as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 3
    except WeightsError as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 4
    print(json.dumps({rate.name: rate.model_dump(exclude={"gains"}) for rate in manifest.rates}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
