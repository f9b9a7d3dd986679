"""What ties a containerd container to its object: its id, and the labels that are the node's only memory. Pure.

Labels are read as untrusted text: whoever can reach containerd can write them. A label that does not parse counts as absent.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

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
STOP_SIGNAL: Final = PREFIX + "stop-signal"
GRACE: Final = PREFIX + "grace-seconds"
RESTARTS: Final = PREFIX + "restart-count"
STOP: Final = PREFIX + "stop"
EXIT: Final = PREFIX + "exit"

Key = tuple[str, str]
"""Namespace and name of an object."""


class StopCause(StrEnum):
    """Who asked for the stop."""

    USER = "User"
    RECREATE = "Recreate"
    REMOVE = "Remove"


@dataclass(frozen=True)
class StopMark:
    """That the container was asked to stop: when, and why."""

    cause: StopCause
    at: datetime


@dataclass(frozen=True)
class ExitRecord:
    """How the last process ended."""

    code: int
    signal: int | None
    finished_at: datetime
    oom_killed: bool
    reason: Reason
    message: str = ""


def container_id(uid: str, spec_hash: str) -> str:
    """64 hexadecimal digits, the same for the same object and spec: a repeated creation finds the first one's container."""
    return hashlib.sha256(f"{uid}/{spec_hash}".encode()).hexdigest()


def key_of(labels: Mapping[str, str]) -> Key | None:
    """The object that a container belongs to, or None when it is not one of ours."""
    namespace, name = labels.get(NAMESPACE), labels.get(NAME)
    return (namespace, name) if namespace and name and labels.get(UID) else None


def stop_label(mark: StopMark) -> dict[str, str]:
    """The label that remembers a stop."""
    return {STOP: json.dumps({"cause": mark.cause, "at": mark.at.isoformat()})}


def read_stop(labels: Mapping[str, str]) -> StopMark | None:
    """The stop that was asked for, if any."""
    try:
        raw = json.loads(labels[STOP])
        return StopMark(StopCause(raw["cause"]), datetime.fromisoformat(raw["at"]))
    except (KeyError, TypeError, ValueError):
        return None


def exit_label(record: ExitRecord) -> dict[str, str]:
    """The label that remembers how the last process ended. The message is cut: a label holds 4096 bytes."""
    raw = {
        "code": record.code,
        "signal": record.signal,
        "at": record.finished_at.isoformat(),
        "oom": record.oom_killed,
        "reason": record.reason,
        "message": record.message[:512],
    }
    return {EXIT: json.dumps(raw)}


def read_exit(labels: Mapping[str, str]) -> ExitRecord | None:
    """How the last process ended, if that is recorded."""
    try:
        raw = json.loads(labels[EXIT])
        signal = raw["signal"]
        return ExitRecord(
            code=int(raw["code"]),
            signal=None if signal is None else int(signal),
            finished_at=datetime.fromisoformat(raw["at"]),
            oom_killed=bool(raw["oom"]),
            reason=Reason(raw["reason"]),
            message=str(raw.get("message", "")),
        )
    except (KeyError, TypeError, ValueError):
        return None


def read_number(labels: Mapping[str, str], name: str, default: int) -> int:
    """A label's whole number, or the default."""
    text = labels.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else default


def read_fingerprint(labels: Mapping[str, str]) -> dict[str, str]:
    """The hashes of the fields that the container was made from; empty when unknown."""
    return fingerprint.decode(labels.get(FINGERPRINT, ""))
