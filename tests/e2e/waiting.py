"""Waiting for what must become true, with a deadline; nothing here or in a test waits for bare time."""

import time
from collections.abc import Callable
from typing import TypeVar

SECONDS = 30.0
"""How long something may take on a machine that is busy with other things."""
EVERY = 0.03
T = TypeVar("T")


class TooLate(AssertionError):
    """Something did not become true in time."""


def until(look: Callable[[], T], what: str, *, seconds: float = SECONDS, seen: Callable[[], object] | None = None) -> T:
    """Look until the answer is true and return it; `seen` tells what there was instead, for the message."""
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() > deadline
        answer = look()
        if answer:
            return answer
        if late:
            instead = "" if seen is None else f"; there was instead:\n{seen()}"
            raise TooLate(f"{what}: not after {seconds:g} s{instead}")
        time.sleep(EVERY)


def empty(look: Callable[[], list[str]], what: str, *, seconds: float = SECONDS) -> None:
    """Look until nothing is left."""
    until(lambda: not look(), what, seconds=seconds, seen=lambda: "\n".join(look()))
