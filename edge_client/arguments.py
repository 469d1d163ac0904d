"""The command line of ``edge-client``: its commands and their flags."""

from __future__ import annotations

import argparse
from functools import partial
from importlib.metadata import version
from typing import Any

from splitfer.edge_client.choices import Objective, Policy
from splitfer.edge_client.sinks import flags as output_flags
from splitfer.shared.arguments import Once, Parser, file_name, positive, whole
from splitfer.shared.detectors import DetectorName
from splitfer.shared.labels import LabelSet
from splitfer.shared.local_models import BACKBONE
from splitfer.shared.prior import DEFAULT_PRIOR, UNCERTAIN_BELOW, Prior

# In which a server must answer `health`, and a run must have used its processor.
ANSWER_S, WORKS_S = 2.0, 5.0
_FLAGS = (
    "server", "policy", "objective", "min_accuracy", "max_bytes_per_s", "cascade_threshold", "rate",
    "labels", "local_model", "prior", "uncertain_below", "deadline_ms", "threads", "weights",
    "server_ca", "client_cert", "client_key", "log_level", "output", "output_max_mb", "device_id",
    "source_name", "heartbeat_s", "wait_source", "rtsp_transport", "detector", "search_side_px",
    "search_every", "crops", "view", "listen", "purpose", "privacy", "blur_faces",
    "keep_pictures_h",
)  # fmt: skip


def given_flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that stand on the command line; None for those that do not."""
    flags = {name: getattr(arguments, name, None) for name in _FLAGS}
    return {**flags, "source": getattr(arguments, "source", None)}


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; ``command`` is the name of the one that was asked for."""
    parser = Parser(
        prog="edge-client",
        description="Name the expression of every face in a stream or a picture.",
        epilog="exit codes: 0 done, 1 something was lost, 2 usage or config, 3 source, 4 weights, "
        "130 interrupted (the outputs are whole)",
    )
    parser.add_argument("--version", action="version", version=version("splitfer"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="answer every frame of a source")
    run.set_defaults(command="run")
    run.add_argument(
        "--source",
        action=Once,
        metavar="S",
        help="an image, a folder of images, a video file, a device index, an RTSP or HTTP URL, "
        "or 'demo'",
    )
    run.add_argument(
        "--realtime",
        action="store_true",
        help="read a file at its own frame rate, dropping frames like a live source",
    )
    run.add_argument(
        "--wait-source",
        action=argparse.BooleanOptionalAction,
        help="wait for a camera or stream that is not there yet (yes)",
    )
    run.add_argument(
        "--rtsp-transport",
        choices=["tcp", "udp"],
        help="how an rtsp:// address is read first; the other is tried where it refuses (tcp)",
    )
    run.add_argument(
        "--heartbeat-s",
        type=float,
        metavar="S",
        help="say that nobody is there, or the camera away, after so long without a line; "
        "0 for never (60)",
    )
    run.add_argument(
        "--purpose",
        metavar="WORDS",
        help="what a camera or stream watches people for: it does not start without",
    )
    run.add_argument(
        "--privacy",
        choices=["full", "aggregate"],
        help="tell each answer, or counts per interval alone (full)",
    )
    run.add_argument(
        "--blur-faces",
        action="store_true",
        default=None,
        help="make faces unrecognisable in pictures kept or shown",
    )
    run.add_argument(
        "--keep-pictures-h",
        type=float,
        metavar="H",
        help="remove a camera's annotated video and contact sheets after so many hours; a camera's "
        "are written with it alone",
    )
    run.add_argument(
        "--view",
        action="store_true",
        default=None,
        help="serve a live page with the picture (on http://127.0.0.1:8600/)",
    )
    run.add_argument(
        "--listen",
        metavar="HOST:PORT",
        help="serve health and metrics there, with --view the live page; elsewhere than on "
        "loopback a token is wanted",
    )
    output_flags.add_of_run(run)
    _common(run)

    classify = commands.add_parser("classify", help="answer single pictures")
    classify.set_defaults(command="classify")
    classify.add_argument("images", nargs="+", metavar="IMAGE")
    _common(classify)

    health = commands.add_parser(
        "health",
        help="whether the server can be used, or a run works",
        description="Ask the server that is set, over TLS and with the certificate and token that "
        "are set; without one, or with --run, the run that listens where the settings say; or "
        "with --pid look whether a run uses its processor. Exit code 0 where it works, 1 where "
        "it does not.",
    )
    health.set_defaults(command="health")
    health.add_argument(
        "--pid",
        type=int,
        metavar="N",
        help="whether the run that is process N uses its processor; in a container it is 1",
    )
    health.add_argument(
        "--run",
        action="store_true",
        help="ask the run of this device, over HTTP on its listen, and not the server",
    )
    health.add_argument("--listen", metavar="HOST:PORT", help="where the run listens, as of run")
    health.add_argument(
        "--timeout-s",
        type=positive,
        metavar="S",
        help=f"in which it must answer ({ANSWER_S:g}) or work ({WORKS_S:g})",
    )
    _of_the_link(health)
    _of_settings(health)

    doctor = commands.add_parser(
        "doctor",
        help="look at camera, models, server, broker, clock and disk, and say what to do",
        description="Look at everything that a run with these settings needs. Exit code 0 where a "
        "run would work, 1 where it would not.",
    )
    doctor.set_defaults(command="doctor")
    doctor.add_argument("--source", action=Once, metavar="S", help="as of run")
    doctor.add_argument("--json", action="store_true", help="one JSON line per finding")
    doctor.add_argument(
        "--env-file",
        type=file_name,
        metavar="FILE",
        help="variables (NAME=value) of the service that is looked at, such as its camera.env",
    )
    _of_the_link(doctor)
    _of_settings(doctor)

    bench = commands.add_parser(
        "bench",
        help="measure this device, and the settings that suit it",
        description="Measure the search, the head and the local tail on the bundled clip, with "
        "several numbers of threads and sizes of the searched picture.",
    )
    bench.set_defaults(command="bench")
    bench.add_argument(
        "--write", type=file_name, metavar="FILE.yaml", help="write the settings to a config file"
    )
    bench.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    bench.add_argument(
        "--fps",
        type=positive,
        default=10.0,
        metavar="N",
        help="frames a second that are to be answered (10)",
    )
    bench.add_argument(
        "--frames",
        type=partial(whole, most=100),
        default=30,
        metavar="N",
        help="frames of the clip, each time (30)",
    )
    _of_settings(bench)
    return parser


def _of_the_link(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", metavar="HOST:PORT", help="without one, answers are local")
    parser.add_argument(
        "--server-ca", type=file_name, metavar="PEM", help="use TLS and trust these"
    )
    parser.add_argument("--client-cert", type=file_name, metavar="PEM", help="shown to the server")
    parser.add_argument("--client-key", type=file_name, metavar="PEM", help="of --client-cert")


def _of_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", action=Once, type=file_name, metavar="FILE", help="settings, YAML or TOML"
    )
    parser.add_argument("--print-config", action="store_true", help="print the settings and stop")
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--debug", action="store_true", help="show the whole of an error")


def _common(parser: argparse.ArgumentParser) -> None:
    output_flags.add(parser)
    _of_the_link(parser)
    parser.add_argument(
        "--policy",
        choices=[one.value for one in Policy],
        help="who answers (auto where there is a server)",
    )
    parser.add_argument(
        "--objective",
        choices=[one.value for one in Objective],
        help="what auto looks for among the ways that are in time (accuracy)",
    )
    parser.add_argument("--min-accuracy", type=float, metavar="SHARE", help="of objective bytes")
    parser.add_argument("--max-bytes-per-s", type=float, metavar="N", help="cap on what auto sends")
    parser.add_argument(
        "--cascade-threshold",
        type=float,
        metavar="P",
        help="confidence below which policy cascade asks the server",
    )
    parser.add_argument(
        "--rate", metavar="NAME", help="how fine latents are sent (the weights' own)"
    )
    parser.add_argument(
        "--labels",
        choices=[one.value for one in LabelSet],
        help="whose labels the answers are: what ten people said of each picture, or FER2013's "
        "single one (the weights' own)",
    )
    parser.add_argument(
        "--local-model",
        metavar="NAME",
        help=f"what answers on the device: {BACKBONE}, or another model of the weights, such as "
        f"{BACKBONE}-int8 where 'edge-client bench' finds it quicker ({BACKBONE})",
    )
    parser.add_argument(
        "--prior",
        choices=[one.value for one in Prior],
        help="how common the classes are taken to be: as in training, or all alike "
        f"({DEFAULT_PRIOR.value})",
    )
    parser.add_argument(
        "--uncertain-below",
        type=float,
        metavar="P",
        help=f"confidence below which an answer is marked uncertain ({UNCERTAIN_BELOW})",
    )
    parser.add_argument("--deadline-ms", type=float, metavar="MS", help="per frame, detection too")
    parser.add_argument(
        "--detector",
        choices=[one.value for one in DetectorName],
        help="what finds faces: dlib upright frontal ones, yunet also turned and small ones "
        f"({DetectorName.DLIB.value})",
    )
    parser.add_argument(
        "--search-side",
        type=int,
        dest="search_side_px",
        metavar="PX",
        help="longer side of the picture that faces are searched in, with dlib about 80 px each: "
        "its square is the cost (run 480, classify 4096)",
    )
    parser.add_argument(
        "--search-every",
        type=int,
        metavar="N",
        help="search the whole picture in every Nth frame only, in between about the faces (1)",
    )
    parser.add_argument(
        "--crops",
        action="store_true",
        default=None,
        help="pictures are ready-cut faces: none is searched for",
    )
    parser.add_argument("--device-id", metavar="ID", help="in every record (the host name)")
    parser.add_argument("--source-name", metavar="NAME", help="in every record")
    parser.add_argument("--threads", type=int, help="of ONNX Runtime")
    parser.add_argument("--weights", type=file_name, metavar="FOLDER")
    _of_settings(parser)
