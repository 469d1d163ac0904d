"""Accuracy and bytes by path: ``python -m benchmarks accuracy --data PATH --usage PublicTest``.

Runs the ONNX files through the code that the edge and the server use, from the crop on: dlib finds
no face in a 48x48 picture, so each picture of FER2013 is taken as the crop. ``--through-detector``
enlarges them instead and lets dlib find and crop them; ``--calibration`` asks whether the
probabilities are worth what they say; ``--ten-windows`` what the mean of ten views gains.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import by_path, calibration, crowd, ten_windows, through_detector
from benchmarks.accuracy.paths import Paths, measure
from benchmarks.accuracy.picture_codec import NAMES, PictureCodec, picture_codec
from benchmarks.accuracy.truth import USAGES, add_truth, faces_of, label_set_of
from benchmarks.common.command import finish, positive
from benchmarks.common.machine import describe_machine, machine_line
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.detectors import DetectorName
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights, default_folder
from training.data.datasets import Faces, data_path, load_fer2013
from training.data.votes import load_votes, votes_or_none, votes_path
from training.study.figure_file import figure_path


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement that the command line asks for."""
    weights = Weights(arguments.weights or default_folder())
    columns = by_path.columns_of(weights, arguments.path, arguments.rate)
    if arguments.ten_windows:
        return _ten_windows(weights, arguments)
    by_path_of_both = not (arguments.through_detector or arguments.calibration)
    label_set = LabelSet.FER2013 if by_path_of_both else label_set_of(arguments, weights)
    paths = Paths(weights, arguments.tail, arguments.threads, label_set)
    # Probabilities say how votes are spread, also where they agree on no label.
    faces = faces_of(arguments, LabelSet.FER2013 if arguments.calibration else label_set)
    if arguments.most is not None:
        faces = faces.subset(np.arange(len(faces)) < arguments.most)
    if arguments.through_detector:
        found = through_detector.measure(paths, columns, faces, DetectorName(arguments.detector))
    elif arguments.calibration:
        scores = measure(paths, list(columns.values()), faces.pictures, arguments.picture_codec)
        judge = _judge(faces, label_set, arguments)
        found = calibration.measure(paths, columns, scores, judge, arguments.plot)
    else:
        file = (votes_path if arguments.plot else votes_or_none)(arguments.votes)
        votes = None if file is None else load_votes(file, faces, arguments.usage)
        found = by_path.measure_paths(paths, columns, faces, votes, arguments)
        if arguments.plot and votes is not None:
            by_path.draw_by_entropy(found["paths"], arguments.plot)
    return {
        "usage": arguments.usage,
        "labels": str(label_set),
        "n": len(faces),
        **found,
        "fingerprint": weights.manifest.fingerprint,
        "tail": paths.tail,
        "machine": describe_machine(),
    }


def _ten_windows(weights: Weights, arguments: argparse.Namespace) -> dict[str, Any]:
    faces = load_fer2013(data_path(arguments.data), arguments.usage)
    if arguments.most is not None:
        faces = faces.subset(np.arange(len(faces)) < arguments.most)
    file = votes_or_none(arguments.votes)
    votes = None if file is None else load_votes(file, faces, arguments.usage)
    return {
        "usage": arguments.usage,
        "n": len(faces),
        "ten_windows": ten_windows.measure(weights, faces, votes, arguments.threads),
        "fingerprint": weights.manifest.fingerprint,
        "machine": describe_machine(),
    }


def _judge(
    faces: Faces, label_set: LabelSet, arguments: argparse.Namespace
) -> Callable[[NDArray[np.float32]], dict[str, Any]]:
    if label_set is LabelSet.FER2013:
        return partial(calibration.by_label, labels=faces.labels)
    votes = load_votes(votes_path(arguments.votes), faces, arguments.usage)
    return partial(crowd.calibration_row, votes=votes)


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    head = f"{result['usage']}, {result['n']} faces, weights {result['fingerprint']}"
    if "ten_windows" in result:
        return "\n\n".join([head, ten_windows.table(result), machine_line(result["machine"])])
    if "through_detector" in result:
        body = through_detector.table(result)
    elif "calibration" in result:
        body = calibration.table(result)
    else:
        body = by_path.table(result)
    return "\n".join(
        [f"{head}, tail {result['tail']}", "", body, "", machine_line(result["machine"])]
    )


def _codec(name: str) -> PictureCodec:
    try:
        return picture_codec(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_truth(parser)
    parser.add_argument("--usage", choices=USAGES, default="PublicTest")
    parser.add_argument("--path", choices=(by_path.ALL, *map(str, AnswerPath)), default=by_path.ALL)
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--tail", default="", help="the cloud tail; else the weights' default")
    parser.add_argument("--rate", default="", help="a rate's name, or all; else the default one")
    parser.add_argument("--against", type=Path, help="a second folder, for paired differences")
    parser.add_argument(
        "--against-path",
        choices=tuple(map(str, AnswerPath)),
        help="compare every path with this one of the second folder",
    )
    parser.add_argument(
        "--picture-codec", type=_codec, default="jpeg:75", help=f"for path image: {NAMES}"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--through-detector", action="store_true", help="enlarge, detect and crop the pictures"
    )
    parser.add_argument(
        "--detector",
        choices=[one.value for one in DetectorName],
        default=DetectorName.DLIB.value,
        help="of --through-detector",
    )
    how.add_argument("--calibration", action="store_true", help="calibration and coverage")
    how.add_argument(
        "--ten-windows",
        action="store_true",
        help="the models on a device, by one view and by the mean of ten",
    )
    parser.add_argument(
        "--plot",
        type=figure_path,
        help="a PNG to draw: of the calibration, else accuracy by how far people agree",
    )
    parser.add_argument("--most", type=positive, help="measure the first N faces only")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if arguments.plot and (arguments.through_detector or arguments.ten_windows):
        parser.error("--plot goes with neither --through-detector nor --ten-windows")
    return finish(arguments, report, table)


if __name__ == "__main__":
    sys.exit(main())
