"""The log files of containers on the node: how they are called, when a new one is begun, which are removed, what they end with.

    <log dir>/<namespace>_<name>_<uid>/<run>.log                      what is written now, in the CRI format
    <log dir>/<namespace>_<name>_<uid>/<run>.log.<time>               what was written before, by the time of its rotation
    <log dir>/<namespace>_<name>_<uid>/<run>.out                      driver `file`: the bytes as they are

Runs are counted on over restarts and over replacements of the container. The last run and the one before it are kept.
"""

import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from controller.agent import excerpts
from controller.agent.excerpts import Output
from controller.agent.identity import Key
from controller.agent.streams import cri

CRI: Final = ".log"
RAW: Final = ".out"
KEPT_RUNS: Final = 2
TAIL_LINES: Final = 80
TAIL_BYTES: Final = 2048
"""What of the output becomes part of an exit's message; the kubelet's numbers."""
_READ_BYTES: Final = 65536
_NAME_BYTES: Final = 255
_RUN: Final = re.compile(r"(\d{1,9})(\.log|\.out)(\.\d{8}-\d{6}\.\d{6})?")
_UNFIT: Final = re.compile(r"[^-.a-zA-Z0-9]")
_UNPRINTABLE: Final = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|[^\t\n\x20-\x7e\xa0-\U0010ffff]")


def directory_of(log_dir: Path, key: Key, uid: str) -> Path:
    """The directory of one object. A name that is too long for a directory is cut; the uid tells them apart."""
    uid = _UNFIT.sub("-", uid)[:64]
    return log_dir / f"{'_'.join(key)[: _NAME_BYTES - 1 - len(uid)]}_{uid}"


def runs(directory: Path) -> list[Path]:
    """The present file of each run that is kept, the oldest first.

    It may not be there: an agent that is killed in the middle of a rotation leaves only those that it put away.
    """
    if not directory.is_dir():
        return []
    found = {(int(match[1]), match[2]) for path in directory.iterdir() if (match := _RUN.fullmatch(path.name))}
    return [directory / f"{number}{kind}" for number, kind in sorted(found)]


def begin_run(directory: Path, kind: str) -> Path:
    """Make the file of a new run, and remove what is too old. Raises `OSError`."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    known = runs(directory)
    number = int(known[-1].stem) + 1 if known else 0
    for old in known[: max(len(known) + 1 - KEPT_RUNS, 0)]:
        for path in (*rotated(old), old):
            path.unlink(missing_ok=True)
    path = directory / f"{number}{kind}"
    path.touch(mode=0o640)
    return path


def rotated(path: Path) -> list[Path]:
    """The former files of a run, the oldest first."""
    return sorted(path.parent.glob(f"{path.name}.*"))


def rotate(path: Path, max_files: int) -> None:
    """Put the present file away, begin a new one, and remove those beyond the number that may be kept. Raises `OSError`."""
    path.rename(path.with_name(f"{path.name}.{datetime.now(UTC):%Y%m%d-%H%M%S.%f}"))
    path.touch(mode=0o640)
    former = rotated(path)
    for old in former[: max(len(former) + 1 - max_files, 0)]:
        old.unlink(missing_ok=True)


def open_to_write(path: Path) -> int:
    """Open the present file of a run; made anew if somebody has removed it. Raises `OSError`."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)


def erase(directory: Path) -> None:
    """Remove all logs of an object."""
    shutil.rmtree(directory, ignore_errors=True)


def last_output(directory: Path) -> Output:
    """The end of the last run's output; empty when there is none, or when it can't be read."""
    known = runs(directory)
    if not known:
        return Output()
    try:
        lines, whole = _last_lines(known[-1])
    except OSError:
        return Output()
    only = _text(lines[0]) if whole and len(lines) == 1 else None
    return Output(excerpts.last_lines([_text(line) for line in lines], TAIL_BYTES), only)


def _last_lines(path: Path) -> tuple[list[bytes], bool]:
    """The last lines of a run, and whether those are all."""
    content, whole = _end_of(path)
    former = rotated(path)
    if len(content) < _READ_BYTES and former:
        content, whole = _end_of(former[-1])[0] + content, False
    lines = list(cri.texts(content)) if path.suffix == CRI else content.splitlines()
    return lines[-TAIL_LINES:], whole and len(lines) <= TAIL_LINES


def _end_of(path: Path) -> tuple[bytes, bool]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _READ_BYTES, 0))
            content = file.read(_READ_BYTES)
    except FileNotFoundError:  # put away by an agent that was killed before it began a new one
        return b"", True
    if size <= _READ_BYTES:
        return content, True
    return content.partition(b"\n")[2], False


def _text(line: bytes) -> str:
    return _UNPRINTABLE.sub("", line.decode(errors="replace"))
