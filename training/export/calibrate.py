"""Measure a folder of weights and complete its manifest.

``python -m training.export.calibrate --weights FOLDER`` fits the temperatures of every tail and
rate on the part of Training that was held out (faces without a copy in the rest), and measures
accuracies and bytes, all through the product's own files and code.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from splitfer.shared.codec.latent import Latent
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.errors import WeightsError
from splitfer.shared.labels import LabelSet
from splitfer.shared.vision.crop import enlarge_crop
from splitfer.shared.weights import Weights
from splitfer.shared.weights.manifest import LOCAL_TAIL, Manifest, Measured, Together
from splitfer.shared.weights.runtime import softmax
from training.data.datasets import DataError, Faces, data_path, held_out_of
from training.data.duplicates import copied
from training.data.judged import Judged, judged_part, shares
from training.data.votes import votes_or_none
from training.export.folder import write_manifest
from training.export.scores import accuracy, fit_temperature, log_loss

THREADS = 2
# float32 ``(N, 7)`` by label set.
ByLabelSet = dict[LabelSet, NDArray[np.float32]]


@dataclass(frozen=True)
class Logits:
    """Of each tail on a device, of each cloud tail at each rate, and mean payload bytes by rate."""

    local: dict[str, ByLabelSet]
    cloud: dict[tuple[str, int], ByLabelSet]
    bytes_mean: list[float]


def measure(weights: Weights, faces: Faces) -> Logits:
    """Every tail at every rate over ``faces``, latents through the payload codec."""
    head, codec = weights.head(THREADS), weights.payload_codec
    rates = range(len(weights.manifest.rates))
    on_device = {
        name: weights.tail(name, THREADS) for name in weights.manifest.local_models.values()
    }
    tails = {name: weights.tail(name, THREADS) for name in cloud_tails(weights.manifest)}
    local: dict[str, list[ByLabelSet]] = {name: [] for name in on_device}
    cloud: dict[tuple[str, int], list[ByLabelSet]] = {
        (name, rate): [] for name in tails for rate in rates
    }
    sent = [0 for _ in rates]
    for start in tqdm(range(0, len(faces), 32), desc="measure", unit="batch", disable=None):
        crops = np.stack([enlarge_crop(p) for p in faces.pictures[start : start + 32]])
        features, z = head.run(crops)
        for name, tail in on_device.items():
            given = crops[:, None] if tail.takes_crops else features
            local[name].append(tail.all_logits(given))
        for rate in rates:
            symbols = weights.quantiser.symbols(z, rate)
            payloads = [codec.encode(Latent(one, rate)) for one in symbols]
            sent[rate] += sum(map(len, payloads))
            received = np.stack([codec.decode(payload).symbols for payload in payloads])
            for name, tail in tails.items():
                logits = tail.all_logits(received, weights.quantiser.steps(rate))
                cloud[name, rate].append(logits)
    return Logits(
        {name: joined(parts) for name, parts in local.items()},
        {key: joined(parts) for key, parts in cloud.items()},
        [round(total / len(faces), 1) for total in sent],
    )


def complete_manifest(
    folder: Path,
    held_out: Judged,
    tests: Mapping[str, Judged],
    priors: Mapping[LabelSet, tuple[float, ...]] | None = None,
) -> Manifest:
    """Write temperatures (fitted on ``held_out``), bytes, accuracies and log losses on ``tests``,
    by data part, and ``priors`` of the label sets that are answered.

    Bytes are those of the last of ``tests``. A label set of which ``held_out`` says nothing keeps
    the temperature 1, one of which a test says nothing has no figures of it.
    """
    weights = Weights(folder)
    manifest = weights.manifest
    fitted = measure(weights, held_out.faces)
    found = {part: measure(weights, judged.faces) for part, judged in tests.items()}
    own = {
        name: calibrated(logits, {part: one.local[name] for part, one in found.items()}, held_out)
        for name, logits in fitted.local.items()
    }
    rates, cloud = [], {}
    for index, rate in enumerate(manifest.rates):
        cloud = {
            name: calibrated(
                fitted.cloud[name, index],
                {part: one.cloud[name, index] for part, one in found.items()},
                held_out,
            )
            for name in cloud_tails(manifest)
        }
        rates.append(
            rate.model_copy(
                update={
                    "bytes_mean": list(found.values())[-1].bytes_mean[index],
                    "answers": {
                        name: measured_answers(answers, tests) for name, answers in cloud.items()
                    },
                    "together": {
                        name: _together(answers, own[LOCAL_TAIL], tests)
                        for name, answers in cloud.items()
                    },
                }
            )
        )
    default = rates[weights.rate_index("")]
    tails = {
        name: entry.model_copy(
            update={
                "answers": default.answers[name]
                if entry.path is AnswerPath.CLOUD
                else measured_answers(own[name], tests)
            }
        )
        for name, entry in manifest.tails.items()
    }
    answered = {one: found for one, found in (priors or {}).items() if one in manifest.label_sets}
    manifest = manifest.model_copy(
        update={
            "rates": tuple(rates),
            "tails": tails,
            "priors": {**manifest.priors, **answered},
        }
    )
    write_manifest(folder, manifest)
    return manifest


def measure_folder(folder: Path, data: Path, votes: Path | None) -> Manifest:
    """Complete a manifest from the data set: temperatures from what was held out of Training,
    figures from PublicTest, priors from the rest of Training. Without ``votes`` nothing is said of
    the label set `crowd`.

    Raises:
        DataError: data or votes are not as they should be.
        WeightsError: the folder is not to be used.
    """
    train, held_out = unseen(judged_part(data, votes, "Training"))
    tests = {"PublicTest": judged_part(data, votes, "PublicTest")}
    return complete_manifest(folder, held_out, tests, shares(train))


def unseen(training: Judged) -> tuple[Judged, Judged]:
    """``(learnt, held out)``, the latter without the faces that the former also has: of what was
    learnt by heart the network is surer than of a stranger's face."""
    chosen = held_out_of(training.faces)
    learnt, held_out = training.subset(~chosen), training.subset(chosen)
    return learnt, held_out.subset(~copied(held_out.faces.pictures, learnt.faces.pictures))


def cloud_tails(manifest: Manifest) -> list[str]:
    """Ids of the tails that take latents."""
    return [name for name, entry in manifest.tails.items() if entry.path is AnswerPath.CLOUD]


def joined(parts: list[ByLabelSet]) -> ByLabelSet:
    """Batches ``(n, 7)`` one after the other, by label set."""
    return {one: np.concatenate([part[one] for part in parts]) for one in parts[0]}


@dataclass(frozen=True)
class Calibrated:
    """A tail's answers in one label set: calibrated probabilities ``(N, 7)`` by data part."""

    temperature: float
    probabilities: dict[str, NDArray[np.float32]]


def calibrated(
    fitted: ByLabelSet, found: Mapping[str, ByLabelSet], held_out: Judged
) -> dict[LabelSet, Calibrated]:
    """A tail's answers in each label set: the temperature fitted on the logits ``fitted`` of
    ``held_out``, and what it makes of those ``found``, by data part."""
    answers = {}
    for one, logits in fitted.items():
        known = one in held_out.targets
        temperature = fit_temperature(logits, held_out.targets[one]) if known else 1.0
        answers[one] = Calibrated(
            temperature,
            {
                part: softmax(logits[one] / np.float32(temperature))
                for part, logits in found.items()
            },
        )
    return answers


def measured_answers(
    answers: Mapping[LabelSet, Calibrated], tests: Mapping[str, Judged]
) -> dict[LabelSet, Measured]:
    """What a manifest says of a tail that gave these answers on ``tests``."""
    return {
        one: Measured(temperature=found.temperature, **_figures(found.probabilities, one, tests))
        for one, found in answers.items()
    }


def _together(
    answers: Mapping[LabelSet, Calibrated],
    own: Mapping[LabelSet, Calibrated],
    tests: Mapping[str, Judged],
) -> dict[LabelSet, Together]:
    both: dict[LabelSet, Together] = {}
    for one in answers.keys() & own.keys():
        pairs = answers[one].probabilities, own[one].probabilities
        mean = {part: (pairs[0][part] + pairs[1][part]) / np.float32(2) for part in tests}
        figures = _figures(mean, one, tests)
        if figures["accuracy"]:
            both[one] = Together(**figures)
    return both


def _figures(
    probabilities: Mapping[str, NDArray[np.float32]],
    label_set: LabelSet,
    tests: Mapping[str, Judged],
) -> dict[str, dict[str, float]]:
    """Accuracy and log loss by data part, of the parts that say something in this label set."""
    parts = [part for part, judged in tests.items() if label_set in judged.targets]
    return {
        "accuracy": {
            part: accuracy(probabilities[part], tests[part].labels[label_set]) for part in parts
        },
        "log_loss": {
            part: log_loss(probabilities[part], tests[part].targets[label_set]) for part in parts
        },
    }


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    parser.add_argument("--weights", type=Path, required=True, help="a folder of weights")
    arguments = parser.parse_args()
    try:
        manifest = measure_folder(
            arguments.weights, data_path(arguments.data), votes_or_none(arguments.votes)
        )
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
