"""What is kept of a text where there is little room. Pure.

Room is measured in bytes of JSON, for that is the form in which texts go into labels and statuses.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Output:
    """The end of what a process has printed."""

    text: str = ""
    only_line: str | None = None
    """Its one line, when it printed just one."""


def size(text: str) -> int:
    """The bytes of a text as JSON, quotes included."""
    return len(json.dumps(text, ensure_ascii=False).encode())


def beginning(text: str, room: int) -> str:
    """The beginning of a text, free of what UTF-8 has no code for."""
    kept = text[:room].encode(errors="replace").decode()
    while size(kept) > room:
        kept = kept[: len(kept) * 7 // 8]
    return kept


def last_lines(lines: Sequence[str], room: int) -> str:
    """The lines from the last one back, for as long as there is room. If there is not enough for the last one, its end."""
    kept = list(_whole_lines(lines, room))
    if kept or not lines:
        return "\n".join(reversed(kept))
    end = lines[-1]
    while end and size(end) > room:
        end = end[max(len(end) // 8, 1) :]
    return end


def _whole_lines(lines: Sequence[str], room: int) -> Iterator[str]:
    """Those that fit, the last one first."""
    for line in reversed(lines):
        # The quotes of each line stand for the newline between it and the next, which is two bytes of JSON.
        room -= size(line)
        if room < 0:
            return
        yield line
