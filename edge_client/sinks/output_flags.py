"""What the flags that name outputs mean: whether they can be written, and what is opened."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.policy.decision import Decision
from splitfer.edge_client.sinks.aggregate import Aggregate
from splitfer.edge_client.sinks.blur import Blurred
from splitfer.edge_client.sinks.csv_lines import CsvLines, check_table
from splitfer.edge_client.sinks.heartbeat import AnswersAndHeartbeats
from splitfer.edge_client.sinks.json_lines import Explanations, JsonLines
from splitfer.edge_client.sinks.kept_pictures import KeptPictures, Segments
from splitfer.edge_client.sinks.output_files import Input, Output, check_outputs
from splitfer.edge_client.sinks.outputs import Act, Outputs
from splitfer.edge_client.sinks.records import Origin
from splitfer.edge_client.sinks.sink import Sink
from splitfer.edge_client.source_name import slug
from splitfer.edge_client.sources.open import Source, source_files
from splitfer.shared.errors import ConfigError
from splitfer.shared.weights import default_folder


def check(arguments: argparse.Namespace, config: EdgeConfig, sources: Sequence[str]) -> None:
    """Return where every output named can be written, and no other file is lost by it.

    Raises:
        ConfigError: names the output and what is wrong.
    """
    if config.privacy == "aggregate":
        for name in ("annotate", "contact_sheet", "explain", "csv"):
            if getattr(arguments, name, None) is not None:
                flag = "--" + name.replace("_", "-")
                raise ConfigError(f"{flag}: privacy aggregate keeps nothing but counts")
    rotated = config.output_max_mb is not None
    outputs = []
    for name in ("output", "explain", "annotate", "contact_sheet", "summary"):
        target = config.output if name == "output" else getattr(arguments, name, None)
        if target is not None:
            lines = name in ("output", "explain")
            outputs.append(
                Output(
                    "--" + name.replace("_", "-"),
                    str(target),
                    _endings(name),
                    appended=lines,
                    rotated=lines and rotated and str(target) != "-",
                )
            )
    if getattr(arguments, "csv", None) is not None:
        table = str(arguments.csv)
        outputs.append(Output("--csv", table, (".csv",), appended=True, check=check_table))
    overwrite = getattr(arguments, "overwrite", False)
    check_outputs(outputs, _inputs(arguments, config, sources), overwrite)


def of_camera(arguments: argparse.Namespace, name: str) -> argparse.Namespace:
    """The flags of one of several cameras, whose files have its name at the end of theirs; lines
    and summary are common."""
    own = argparse.Namespace(**vars(arguments))
    for flag in ("explain", "csv", "annotate", "contact_sheet"):
        target = getattr(own, flag, None)
        if target is not None and str(target) != "-":
            path = Path(target)
            setattr(own, flag, type(target)(path.with_stem(f"{path.stem}-{slug(name)}")))
    return own


def opened(
    arguments: argparse.Namespace,
    config: EdgeConfig,
    source: Source | None = None,
    decision: Callable[[], Decision | None] = lambda: None,
    kept: KeptPictures | None = None,
    among: JsonLines | None = None,
) -> Outputs:
    """The outputs that are written frame by frame. Of a ``source`` there are heartbeats too;
    ``decision`` is the last frame's. A camera's pictures go by ``kept``. ``among`` is where several
    cameras' lines go.

    Raises:
        ConfigError: a file cannot be opened, or a camera's pictures would be kept for ever.
    """
    most_mb = config.output_max_mb
    target = among or config.output
    origin = Origin(config.device_id or socket.gethostname() or None, config.source_name)
    beat: Act | None = None
    lines: JsonLines | Aggregate
    if config.privacy == "aggregate":
        counted = JsonLines(target, max_mb=most_mb, origin=origin)
        name = source.name if source else ""
        lines = totals = Aggregate(
            counted.add, name, config.aggregate_every_s, origin, counted.close
        )
        beat = totals.idle
    elif source is not None and config.heartbeat_s:
        lines = answers = AnswersAndHeartbeats(
            target, source.name, config.heartbeat_s, most_mb, origin
        )
        beat = answers.idle
    else:
        lines = JsonLines(target, max_mb=most_mb, origin=origin)
    sinks: dict[str, Sink] = {"output": lines}
    if getattr(arguments, "explain", None):
        sinks["explain"] = Explanations(arguments.explain, decision, most_mb, origin)
    if getattr(arguments, "csv", None):
        sinks["csv"] = CsvLines(arguments.csv, origin)
    outputs = Outputs(sinks, beat)
    for name, made in _picture_sinks(arguments, source).items():
        path: Path = getattr(arguments, name.replace("-", "_"))
        sink: Sink
        if source is not None and source.live and source.self_paced:
            if config.keep_pictures_h is None or kept is None:
                raise ConfigError(
                    f"--{name}: say how long pictures of {source.name} are kept: "
                    "--keep-pictures-h H, or keep_pictures_h in the config file"
                )
            sink = parts = Segments(path, made, kept, config.keep_pictures_h * 3600)
            outputs.add(name, Blurred(sink) if config.blur_faces else sink, parts.idle)
        else:
            sink = made(path)
            outputs.add(name, Blurred(sink) if config.blur_faces else sink)
    return outputs


def _picture_sinks(
    arguments: argparse.Namespace, source: Source | None
) -> dict[str, Callable[[Path], Sink]]:
    """What makes a sink of pictures of a path, by the flag's name, of the flags that were given."""
    sinks: dict[str, Callable[[Path], Sink]] = {}
    replace: bool = getattr(arguments, "overwrite", False)
    if getattr(arguments, "annotate", None):
        from splitfer.edge_client.sinks.video import AnnotatedVideo

        fps = source.fps if source else None
        sinks["annotate"] = lambda path: AnnotatedVideo(path, fps, replace)
    if getattr(arguments, "contact_sheet", None):
        from splitfer.edge_client.sinks.contact_sheet import ContactSheet

        sinks["contact-sheet"] = lambda path: ContactSheet(path, replace=replace)
    return sinks


def _endings(name: str) -> Sequence[str]:
    if name == "annotate":
        from splitfer.edge_client.sinks.video import FORMATS as VIDEOS

        return tuple(VIDEOS)
    if name == "contact_sheet":
        from splitfer.edge_client.sinks.contact_sheet import FORMATS as PICTURES

        return tuple(PICTURES)
    return ()


def _inputs(
    arguments: argparse.Namespace, config: EdgeConfig, sources: Sequence[str]
) -> list[Input]:
    flag = "--source " if hasattr(arguments, "source") else ""
    inputs = [
        Input(flag + one, source_files(one), Path(one) if os.path.isdir(one) else None)
        for one in sources
    ]
    weights = config.weights or default_folder()
    if weights.is_dir():
        inputs.append(Input(f"--weights {weights}", list(weights.iterdir())))
    settings = {
        "config": arguments.config,
        "server-ca": config.server_ca,
        "client-cert": config.client_cert,
        "client-key": config.client_key,
    }
    inputs += [Input(f"--{name} {file}", [file]) for name, file in settings.items() if file]
    return inputs
