"""One base object, and the container that fits it: tests name only what differs."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.agent.declared import Declared, parse_object
from controller.agent.identity import ExitRecord, StopCause, StopMark, container_id
from controller.agent.observation import Failure, ImagePhase, ObservedContainer, ObservedImage, ObservedTask, TaskState
from controller.api.container import FINALIZER, NODE_LABEL
from controller.api.reasons import Reason

NOW = datetime(2026, 11, 22, 10, 0, 0, 250_000, tzinfo=UTC)
NODE = "node-a"
KEY = ("shop", "web")
UID = "11111111-aaaa"
OTHER_UID = "22222222-bbbb"
FOREIGN = "example.com/backup"
PID = 4711


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def ahead(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def body(
    *,
    uid: str = UID,
    generation: int = 1,
    version: str = "100",
    deleting: bool = False,
    finalizers: tuple[str, ...] = (FINALIZER,),
    status: Mapping[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A Container as the API server sends it; `spec` holds fields of the spec that differ from the base."""
    metadata: dict[str, Any] = {
        "namespace": KEY[0],
        "name": KEY[1],
        "uid": uid,
        "generation": generation,
        "resourceVersion": version,
        "labels": {NODE_LABEL: NODE},
    }
    if finalizers:
        metadata["finalizers"] = list(finalizers)
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-22T09:59:00Z"
    wanted = {"nodeName": NODE, "image": "registry.example.com/shop/web:1.4", **spec}
    return {"metadata": metadata, "spec": wanted, "status": dict(status or {})}


def declared(**changes: Any) -> Declared:
    return parse_object(body(**changes), NODE)


BASE = declared()
ID = container_id(UID, BASE.spec_hash)

NEVER_STARTED = None
RUNNING = ObservedTask(TaskState.RUNNING, PID)
PAUSED = ObservedTask(TaskState.PAUSED, PID)
CREATED = ObservedTask(TaskState.CREATED, PID)
UNKNOWN = ObservedTask(TaskState.UNKNOWN, PID)


EARLIER = ago(5)


def ended(code: int = 0, at: datetime = EARLIER) -> ObservedTask:
    return ObservedTask(TaskState.STOPPED, PID, code, at)


def ending(code: int = 0, reason: Reason = Reason.COMPLETED, at: datetime = EARLIER, message: str = "") -> ExitRecord:
    signal = code - 128 if code > 128 else None
    return ExitRecord(code, signal, at, reason is Reason.OOM_KILLED, reason, message)


def mark(cause: StopCause = StopCause.USER, seconds_ago: float = 2) -> StopMark:
    return StopMark(cause, ago(seconds_ago))


def container(of: Declared = BASE, task: ObservedTask | None = RUNNING, **changes: Any) -> ObservedContainer:
    """The container that was made from an object, with a running process unless told otherwise."""
    fields: dict[str, Any] = {
        "id": container_id(of.uid, of.spec_hash),
        "key": of.key,
        "uid": of.uid,
        "spec_hash": of.spec_hash,
        "fingerprint": dict(of.fingerprint),
        "resources": of.resources,
        "image_id": "sha256:0123",
        "chain_id": "sha256:4567",
        "runtime_name": "runc",
        "created_at": ago(60),
        "task": task,
        "signalled": "stop" in changes,
        **changes,
    }
    return ObservedContainer(**fields)


def present(of: Declared = BASE) -> ObservedImage:
    return ObservedImage(of.image_wanted, ImagePhase.PRESENT, image_id="sha256:0123")


def pulling(of: Declared = BASE, seconds: float = 0.5) -> ObservedImage:
    return ObservedImage(of.image_wanted, ImagePhase.PULLING, started_at=ago(seconds), message="pulling web")


def unavailable(
    of: Declared = BASE, reason: Reason = Reason.ERR_IMAGE_PULL, retry_at: datetime | None = None
) -> ObservedImage:
    when = retry_at or ahead(5)
    return ObservedImage(of.image_wanted, ImagePhase.FAILED, reason=reason, message="no such image", retry_at=when)


def failure(
    of: Declared = BASE,
    reason: Reason = Reason.COMMAND_NOT_FOUND,
    exit_code: int | None = 127,
    retry_at: datetime | None = None,
) -> Failure:
    return Failure(of.uid, of.spec_hash, reason, "it failed", ago(1), exit_code, retry_at)
