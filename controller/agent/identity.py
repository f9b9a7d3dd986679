"""What ties a containerd container to its object: its id, and the labels that are the node's only memory. Pure.

Labels are read as untrusted text: whoever can reach containerd can write them. A label that does not parse counts as absent.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self

from controller.agent import excerpts
from controller.api.reasons import Reason
from controller.oci import fingerprint

PREFIX: Final = "tallyman.dev/"
NAMESPACE: Final = PREFIX + "namespace"
NAME: Final = PREFIX + "name"
UID: Final = PREFIX + "uid"
GENERATION: Final = PREFIX + "generation"
SPEC_HASH: Final = PREFIX + "spec-hash"
FINGERPRINT: Final = PREFIX + "spec-fields"
RESOURCES: Final = PREFIX + "resources"
IMAGE_ID: Final = PREFIX + "image-id"
CHAIN_ID: Final = PREFIX + "chain-id"
RUNTIME: Final = PREFIX + "runtime-name"
LOG_DRIVER: Final = PREFIX + "log-driver"
STOP_SIGNAL: Final = PREFIX + "stop-signal"
GRACE: Final = PREFIX + "grace-seconds"
RESTARTS: Final = PREFIX + "restart-count"
RETRIES: Final = PREFIX + "retry-count"
SHORT_RUNS: Final = PREFIX + "short-runs"
RESTARTED_AT: Final = PREFIX + "restarted-at"
"""As a label: the user's annotation of this name that the running process answers to."""
BOOT_ID: Final = PREFIX + "boot-id"
HISTORY: Final = PREFIX + "history"
STOP: Final = PREFIX + "stop"
EXIT: Final = PREFIX + "exit"

_NAME_PATTERN: Final = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_MAX_NUMBER: Final = 2**31 - 1
_YEARS: Final = range(1970, 9000)
"""Times outside can't be reckoned with, nor written into a status."""
MOST_TOLD: Final = 256
"""Letters of why a container was stopped that its label has room for, however they are escaped."""
_MAX_MESSAGE: Final = 3000
"""Bytes of a message as JSON: containerd's bound for a label is 4096 bytes, key and value together."""
HISTORY_ROOM: Final = (1536, 384, 384, 384, 384)
"""The same for the messages of the last ends, the latest first; with all that is told besides they fit into one label."""
HISTORY_LENGTH: Final = len(HISTORY_ROOM)

Key = tuple[str, str]
"""Namespace and name of an object."""


class StopCause(StrEnum):
    """Who asked for the stop."""

    USER = "User"
    RECREATE = "Recreate"
    RESTART = "Restart"
    REMOVE = "Remove"
    HEALTH_RESTART = "HealthRestart"
    HEALTH_STOP = "HealthStop"
    HEALTH_KILL = "HealthKill"


FOR_HEALTH: Final = frozenset({StopCause.HEALTH_RESTART, StopCause.HEALTH_STOP, StopCause.HEALTH_KILL})
"""Stops of what its health check found unhealthy."""


@dataclass(frozen=True)
class StopMark:
    """That the container was asked to stop: when, and why."""

    cause: StopCause
    at: datetime
    killed_at: datetime | None = None
    """When SIGKILL was sent first, or about to be: an end by it from then on is none by the kernel's, for want of memory."""
    because: str = ""
    """What more there is to tell of why: the answer to the last health check, in `MOST_TOLD` letters at most."""


@dataclass(frozen=True)
class ExitRecord:
    """How the last process ended."""

    code: int
    signal: int | None
    finished_at: datetime
    oom_killed: bool
    reason: Reason
    message: str = ""
    started_at: datetime | None = None
    short_runs: int = 0
    """How many runs in a row, this one included, ended before they counted as stable."""


@dataclass(frozen=True)
class PastExit:
    """What is kept of an end once the next run has begun."""

    restart: int
    code: int
    finished_at: datetime
    reason: Reason
    started_at: datetime | None = None
    signal: int | None = None
    oom_killed: bool = False
    message: str = ""

    @classmethod
    def of(cls, restart: int, ended: ExitRecord) -> Self:
        """What is to be kept of the end of a run."""
        return cls(
            restart,
            ended.code,
            ended.finished_at,
            ended.reason,
            ended.started_at,
            ended.signal,
            ended.oom_killed,
            ended.message,
        )


def container_id(uid: str, spec_hash: str) -> str:
    """64 hexadecimal digits, the same for the same object and spec: a repeated creation finds the first one's container."""
    return hashlib.sha256(f"{uid}/{spec_hash}".encode()).hexdigest()


def key_of(labels: Mapping[str, str]) -> Key | None:
    """The object that a container belongs to, or None when it is not one of ours."""
    namespace, name = labels.get(NAMESPACE, ""), labels.get(NAME, "")
    # NB: these become part of a URL; nothing but what Kubernetes takes for a name may pass.
    named = _NAME_PATTERN.fullmatch(namespace) and _NAME_PATTERN.fullmatch(name)
    return (namespace, name) if named and labels.get(UID) else None


def stop_label(mark: StopMark) -> dict[str, str]:
    """The label that remembers a stop."""
    return {
        STOP: json.dumps(
            {
                "cause": mark.cause,
                "at": mark.at.isoformat(),
                "killed": mark.killed_at.isoformat() if mark.killed_at else None,
                **({"because": mark.because[:MOST_TOLD]} if mark.because else {}),
            }
        )
    }


def read_stop(labels: Mapping[str, str]) -> StopMark | None:
    """The stop that was asked for, if any."""
    raw = _read_object(labels, STOP)
    try:
        return StopMark(
            StopCause(raw["cause"]),
            _time(raw["at"]),
            None if raw.get("killed") is None else _time(raw["killed"]),
            str(raw.get("because", ""))[:MOST_TOLD],
        )
    except (KeyError, TypeError, ValueError):
        return None


def exit_label(record: ExitRecord) -> dict[str, str]:
    """The label that remembers how the last process ended. The message is cut when it is too long for a label."""
    raw = {
        "code": record.code,
        "signal": record.signal,
        "at": record.finished_at.isoformat(),
        "oom": record.oom_killed,
        "reason": record.reason,
        "message": excerpts.beginning(record.message, _MAX_MESSAGE),
        "started": record.started_at.isoformat() if record.started_at else None,
        "short": record.short_runs,
    }
    # NB: escaped to ASCII, a message could be three times as long.
    return {EXIT: json.dumps(raw, ensure_ascii=False)}


def read_exit(labels: Mapping[str, str]) -> ExitRecord | None:
    """How the last process ended, if that is recorded."""
    raw = _read_object(labels, EXIT)
    try:
        signal = raw["signal"]
        return ExitRecord(
            code=_whole(raw["code"]),
            signal=None if signal is None else _whole(signal),
            finished_at=_time(raw["at"]),
            oom_killed=raw["oom"] is True,
            reason=Reason(raw["reason"]),
            message=excerpts.beginning(str(raw.get("message", "")), _MAX_MESSAGE),
            started_at=None if raw.get("started") is None else _time(raw["started"]),
            short_runs=_whole(raw.get("short", 0)),
        )
    except (KeyError, TypeError, ValueError):
        return None


def history_label(history: Sequence[PastExit]) -> dict[str, str]:
    """The label that remembers the last ends before the present run, the latest first. Messages are cut when they are too long."""
    raw = [
        [
            past.restart,
            past.code,
            past.finished_at.isoformat(),
            past.reason,
            past.started_at.isoformat() if past.started_at else None,
            past.signal,
            past.oom_killed,
            excerpts.beginning(past.message, room),
        ]
        for past, room in zip(history, HISTORY_ROOM, strict=False)
    ]
    return {HISTORY: json.dumps(raw, ensure_ascii=False)}


def read_history(labels: Mapping[str, str]) -> tuple[PastExit, ...]:
    """The last ends before the present run, the latest first; empty when the label does not parse."""
    try:
        raw = json.loads(labels.get(HISTORY, "[]"))
        return tuple(_past(past) for past in raw[:HISTORY_LENGTH])
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()


def _past(raw: Sequence[Any]) -> PastExit:
    """One end as a label tells it. Former agents told less, and later ones may tell more."""
    restart, code, finished, reason, started, *more = raw
    signal, oom_killed, message = more[:3] or (None, reason == Reason.OOM_KILLED, "")
    return PastExit(
        _whole(restart),
        _whole(code),
        _time(finished),
        Reason(reason),
        None if started is None else _time(started),
        None if signal is None else _whole(signal),
        oom_killed is True,
        excerpts.beginning(str(message), _MAX_MESSAGE),
    )


def read_number(labels: Mapping[str, str], name: str, default: int) -> int:
    """A label's whole number, or the default."""
    text = labels.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_NUMBER))):
        return default
    return int(text) if int(text) <= _MAX_NUMBER else default


def read_fingerprint(labels: Mapping[str, str]) -> dict[str, str]:
    """The hashes of the fields that the container was made from; empty when unknown."""
    return fingerprint.decode(labels.get(FINGERPRINT, ""))


def _read_object(labels: Mapping[str, str], name: str) -> dict[str, Any]:
    """A label's JSON object; empty when it holds anything else."""
    try:
        raw = json.loads(labels.get(name, ""))
    except (ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_NUMBER:
        return value
    raise ValueError("not a whole number in range")


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or moment.year not in _YEARS:
        raise ValueError("not a moment that can be reckoned with")
    return moment.astimezone(UTC)
