"""What the logs of a container hold, read while somebody writes and rotates them."""

from pathlib import Path

from controller.agent.streams import cri, logs


def lines(directory: Path) -> list[str]:
    """All lines of the last run that are kept. Read again where a file was put away meanwhile."""
    while True:
        known = logs.runs(directory)[-1:]
        former = [file for run in known for file in logs.rotated(run)]
        content = b"".join(_content(file) for file in (*former, *known))
        if [file for run in known for file in logs.rotated(run)] == former:
            return [line.decode() for line in cri.texts(content)]


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
