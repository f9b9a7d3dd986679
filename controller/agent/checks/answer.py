"""What a check was answered, in the terms of an exit code and some output. Pure."""

from dataclasses import dataclass
from typing import Final

OUTPUT_BYTES: Final = 1024
"""How much of an output is kept; the rest is read and thrown away."""


class CannotAsk(Exception):
    """The check could not be made, for a reason that says nothing about the process: its container ended just now, or the node is short of something."""


@dataclass(frozen=True, slots=True)
class Answer:
    """0 is a success; the output is for people."""

    exit_code: int
    output: str = ""


def text_of(output: bytes) -> str:
    """Output as it can be shown: cut, without what is no text."""
    kept = output[:OUTPUT_BYTES].decode(errors="replace")
    shown = "".join(letter for letter in kept if letter in "\n\t" or letter.isprintable())
    return shown.encode()[:OUTPUT_BYTES].decode(errors="ignore").strip()
