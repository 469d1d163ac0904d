"""Whether what a user named as outputs can be written without the loss of another file.

Everything is looked at before anything is opened: no output may be an input or another output, by
whatever name, and none may replace a file that is there already unless that is asked for.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from splitfer.edge_client.sinks.json_lines import check_lines, older
from splitfer.edge_client.sources.picture import SUFFIXES
from splitfer.shared.errors import ConfigError
from splitfer.shared.whole_file import holds_something, open_draft, real_file

STANDARD_OUTPUT = "-"


@dataclass(frozen=True)
class Input:
    """Files that are read, as the user ``named`` them; a picture in ``folder`` is one of them."""

    named: str
    files: Sequence[Path]
    folder: Path | None = None


@dataclass(frozen=True)
class Output:
    """A file to be written, as ``flag`` and ``target`` name it.

    ``endings`` are the ones that it may have, of which each is a format; none means any. Lines
    (``appended``) are added to what is there, where ``check`` lets them; with ``rotated`` the file
    is renamed when it is full.
    """

    flag: str
    target: str
    endings: Sequence[str] = ()
    appended: bool = False
    rotated: bool = False
    check: Callable[[Path], None] = check_lines

    @property
    def named(self) -> str:
        """As it was typed."""
        return f"{self.flag} {self.target}"

    @property
    def files(self) -> list[Path]:
        """All that are written, links followed."""
        real = real_file(Path(self.target))
        return [real, older(real)] if self.rotated else [real]


def check_outputs(outputs: Sequence[Output], inputs: Sequence[Input], overwrite: bool) -> None:
    """Return where all ``outputs`` can be written and no other file is lost by it. Changes nothing.

    Raises:
        ConfigError: names the output, and the file that it would destroy or what else is wrong.
    """
    for output in outputs:
        ending = Path(output.target).suffix.lower()
        if output.endings and ending not in output.endings:
            raise ConfigError(
                f"{output.named}: the ending says the format, and is one of "
                f"{', '.join(output.endings)}"
            )
        if output.target == STANDARD_OUTPUT and not output.appended:
            raise ConfigError(f"{output.named}: only lines go to standard output; name a file")
    files = [output for output in outputs if output.target != STANDARD_OUTPUT]
    _refuse_inputs(files, inputs)
    _refuse_each_other(files)
    for output in files:
        try:
            for file in output.files:
                _check_file(output, file, overwrite)
        except OSError as error:
            raise ConfigError(f"{output.named}: {error.strerror}") from error


def _refuse_inputs(outputs: Sequence[Output], inputs: Sequence[Input]) -> None:
    read = {place: one.named for one in inputs for file in one.files for place in _places(file)}
    folders = {place: one.named for one in inputs if one.folder for place in _places(one.folder)}
    for place in _standard_streams():
        if place in read:
            raise ConfigError(
                f"standard output is also read, as {read[place]}: redirect it to another file"
            )
    for output in outputs:
        for file in output.files:
            named = next((read[place] for place in _places(file) if place in read), None)
            if named is None and file.suffix.lower() in SUFFIXES:
                named = next((folders[p] for p in _places(file.parent) if p in folders), None)
            if named is not None:
                raise ConfigError(f"{output.named} is also read, as {named}: name another file")


def _refuse_each_other(outputs: Sequence[Output]) -> None:
    taken: dict[Hashable, str] = dict.fromkeys(_standard_streams(), "the shell's redirection")
    for output in outputs:
        for file in output.files:
            for place in _places(file):
                if place in taken:
                    raise ConfigError(
                        f"{output.named} and {taken[place]} are one file: name another one"
                    )
        taken |= {place: output.named for file in output.files for place in _places(file)}


def _standard_streams() -> Iterator[Hashable]:
    for descriptor in (1, 2):
        try:
            found = os.fstat(descriptor)
        except OSError:  # closed
            continue
        if stat.S_ISREG(found.st_mode):
            yield found.st_dev, found.st_ino


def _places(path: Path) -> Iterator[Hashable]:
    """What two names of one file have in common; nothing for a device or a pipe, which may be
    shared. A file that is not there yet is known by its folder and its name in any case: there are
    file systems for which the case makes no difference."""
    try:
        found = path.stat()
    except OSError:
        real = Path(os.path.realpath(path))
        name = unicodedata.normalize("NFC", real.name).casefold()
        try:
            folder = real.parent.stat()
        except OSError:  # which is an error of its own
            yield str(real.parent), name
        else:
            yield folder.st_dev, folder.st_ino, name
    else:
        if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
            yield found.st_dev, found.st_ino


def _is_there(file: Path) -> bool:
    try:
        file.stat()
    except FileNotFoundError:
        return False
    return True


def _check_file(output: Output, file: Path, overwrite: bool) -> None:
    if file.is_dir():
        raise ConfigError(f"{output.named}: {file} is a folder; name a file")
    if not file.parent.is_dir():
        raise ConfigError(f"{output.named}: there is no folder {file.parent}")
    there = _is_there(file)
    if there and not os.access(file, os.W_OK):
        raise ConfigError(f"{output.named}: {file} is write-protected")
    if there and not file.is_file():
        if output.endings:
            raise ConfigError(f"{output.named}: {file} is a device or a pipe; name a file")
        return
    if there and output.appended:
        output.check(file)
    elif not overwrite and holds_something(file):
        raise ConfigError(f"{output.named}: it exists already; --overwrite replaces it")
    if output.rotated or not (there and output.appended):
        descriptor, draft = open_draft(file)
        os.close(descriptor)
        draft.unlink()
