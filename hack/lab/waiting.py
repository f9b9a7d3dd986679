"""Waiting for a condition with a deadline: the only place of the lab that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from hack.lab.errors import LabError


def until(
    condition: Callable[[], bool],
    *,
    what: str,
    timeout: float,
    alive: Callable[[], bool] | None = None,
    log: Path | None = None,
    every: float = 0.02,
) -> None:
    """Return once `condition` holds; raise when `timeout` seconds have passed or `alive` turned false."""
    deadline = time.monotonic() + timeout
    while not condition():
        if alive is not None and not alive():
            raise LabError(f"{what}: the process ended before that", log=log)
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not after {timeout:g} s", log=log)
        time.sleep(every)


def holds(condition: Callable[[], bool], *, timeout: float, every: float = 0.02) -> bool:
    """Say whether `condition` came true within `timeout` seconds."""
    try:
        until(condition, what="", timeout=timeout, every=every)
    except LabError:
        return False
    return True
