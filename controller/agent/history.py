"""The last ends of a container: what of them it remembers in a label, and what its object's status tells. Pure.

A message is kept as far as there is room for it, the latest end's the longest. It depends on nothing but the message and its place,
so that an end that was told is not told again in other words.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from controller.agent import excerpts
from controller.agent.decision import is_ahead
from controller.agent.endings import LAST_OUTPUT
from controller.agent.facts import Facts
from controller.agent.identity import HISTORY_ROOM, PastExit
from controller.agent.observation import past_ends
from controller.api.container import ContainerStatus
from controller.api.status import PastRun, whole_seconds


def remembered(ends: Iterable[PastExit]) -> tuple[PastExit, ...]:
    """The ends that a container is to remember, the latest first."""
    return tuple(
        replace(past, message=_short(past.message, room)) for past, room in zip(ends, HISTORY_ROOM, strict=False)
    )


def told(facts: Facts, before: ContainerStatus, now: datetime) -> list[PastRun]:
    """The last ends, the latest first: those that the container remembers, then those of the status before."""
    ends = past_ends(facts.container) if facts.container is not None else facts.past
    runs = [_run(past) for past in ends]
    runs += [run for run in before.history if not any(_is_same(one, run, now) for one in runs)]
    return [
        run.model_copy(update={"message": _short(run.message or "", room) or None})
        for run, room in zip(runs, HISTORY_ROOM, strict=False)
    ]


def _is_same(remembered: PastRun, told: PastRun, now: datetime) -> bool:
    """Whether the status tells of a run that the container remembers, perhaps with an end that was corrected since."""
    # NB: two containers of one object, each in its first run, may begin and end within the same second.
    if (remembered.restart, remembered.exit_code) != (told.restart, told.exit_code):
        return False
    if remembered.started_at is not None and told.started_at is not None:
        return remembered.started_at == told.started_at
    return remembered.finished_at == told.finished_at or is_ahead(told.finished_at, now)


def _run(past: PastExit) -> PastRun:
    return PastRun(
        restart=past.restart,
        started_at=whole_seconds(past.started_at),
        finished_at=whole_seconds(past.finished_at),
        exit_code=past.code,
        signal=past.signal,
        oom_killed=past.oom_killed,
        reason=past.reason.value,
        message=past.message,
    )


def _short(message: str, room: int) -> str:
    """How a process ended, and of what it printed last the end: that is where it says why."""
    if excerpts.size(message) <= room:
        return message
    said, mark, output = message.partition(LAST_OUTPUT)
    if not mark:
        return excerpts.beginning(message, room)
    # A half for each at the most; one end has seldom much to say besides.
    said = excerpts.beginning(said, room // 2)
    quotes = excerpts.size("")
    left = room - (excerpts.size(said + mark) - quotes)
    return said + mark + excerpts.last_lines(output.split("\n"), left)
