"""Changes of a folder of weights that is there: tails, golden arrays and what the manifest says."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.contracts import AnswerPath
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Manifest, TailEntry, Weights
from splitfer.shared.weights.manifest import Measured
from splitfer.shared.whole_file import open_draft, publish, real_file, write_whole

# Of any type, by name.
Arrays = dict[str, Any]
_MANIFEST = "manifest.json"
# The hash of a file that ``write_tails`` is yet to write.
NOT_WRITTEN = "0" * 64


def unmeasured(name: str, path: AnswerPath, label_sets: Iterable[str]) -> TailEntry:
    """What a manifest says of a new tail: its temperatures are 1, and ``write_tails`` writes its
    file."""
    answers = {LabelSet(one): Measured(temperature=1.0) for one in label_sets}
    return TailEntry(file=f"{name}.onnx", sha256=NOT_WRITTEN, path=path, answers=answers)


def golden_arrays(weights: Weights) -> Arrays:
    """What the golden file holds, by name."""
    with np.load(weights.folder / weights.manifest.golden.file) as file:
        return dict(file)


def largest_change(
    found: Mapping[LabelSet, NDArray[np.float32]], before: Mapping[LabelSet, NDArray[np.float32]]
) -> float:
    """Of a tail's logits, as a share of the largest of its label set before; NaN where one of them
    is no number."""
    shares = [np.abs(found[one] - of).max() / np.abs(of).max() for one, of in before.items()]
    return float(np.max(shares))


def write_tails(
    folder: Path, manifest: Manifest, networks: Mapping[str, bytes], golden: Arrays | None = None
) -> None:
    """Let ``folder`` hold these ``networks``, by tail, the ``golden`` arrays where they changed,
    and, once these are written, ``manifest`` with their hashes.

    Raises:
        ValueError: the manifest contradicts itself; nothing is written.
        OSError: there is no room, or no right to write; nothing is changed.
    """
    files = {manifest.tails[name].file: data for name, data in networks.items()}
    if golden is not None:
        packed = io.BytesIO()
        np.savez_compressed(packed, **golden)
        files[manifest.golden.file] = packed.getvalue()
    changed = manifest.model_dump()
    for entry in (*changed["tails"].values(), changed["golden"]):
        if (data := files.get(entry["file"])) is not None:
            entry["sha256"] = hashlib.sha256(data).hexdigest()
    manifest = Manifest.model_validate(changed)
    _write_together(folder, files | {_MANIFEST: _packed(manifest)})


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest of ``folder``."""
    write_whole(folder / _MANIFEST, _packed(manifest))


@contextmanager
def all_or_nothing(folder: Path) -> Iterator[Path]:
    """A copy of ``folder`` to change in steps. What changed in it is put into ``folder`` where the
    block ends well; after an error or Ctrl-C ``folder`` is as it was.

    Raises:
        WeightsError: the folder is not to be used.
        OSError: there is no room, or no right to write; nothing is changed.
    """
    Weights(folder)  # so that errors name this folder, not the copy
    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(folder, Path(place, folder.resolve().name)))
        yield copy
        put_files(copy, folder)


def put_files(source: Path, folder: Path) -> None:
    """Let ``folder`` hold the files of ``source``, the manifest last; others in it stay.

    Raises:
        OSError: there is no room, or no right to write; nothing is changed.
    """
    names = sorted(
        (one.name for one in source.iterdir() if one.is_file()), key=lambda name: name == _MANIFEST
    )
    made = {name: (source / name).read_bytes() for name in names}
    _write_together(
        folder,
        {
            name: data
            for name, data in made.items()
            if not (folder / name).exists() or (folder / name).read_bytes() != data
        },
    )


def _packed(manifest: Manifest) -> bytes:
    return f"{manifest.model_dump_json(indent=2)}\n".encode()


def _write_together(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace files, by name and in their order, once all of them are on the disk."""
    with ExitStack() as stack:
        drafts = []
        for name, data in files.items():
            path = real_file(folder / name)
            descriptor, draft = open_draft(path)
            stack.callback(draft.unlink, missing_ok=True)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            drafts.append((draft, path))
        for draft, path in drafts:
            publish(draft, path)
