"""Envelopes that are not what they should be."""

from google.protobuf.any_pb2 import Any as AnyMessage

from controller.containerd.event_types import OtherEvent, TaskDelete, decode
from controller.containerd.wire import event_types_pb2, events_pb2


def envelope(type_url: str, value: bytes) -> events_pb2.Envelope:
    return events_pb2.Envelope(namespace="n", topic="/t", event=AnyMessage(type_url=type_url, value=value))


def test_an_unknown_event() -> None:
    assert decode(envelope("containerd.events.New", b"?")) == OtherEvent("n", "/t", None, "containerd.events.New")


def test_an_event_that_cannot_be_read_ends_nothing() -> None:
    found = decode(envelope("containerd.events.TaskExit", b"\xff\xff\xff"))
    assert found == OtherEvent("n", "/t", None, "containerd.events.TaskExit")


def test_a_type_url_with_a_prefix_and_a_delete_without_a_process() -> None:
    value = event_types_pb2.TaskDelete(container_id="c", pid=7, exit_status=3).SerializeToString()
    found = decode(envelope("type.googleapis.com/containerd.events.TaskDelete", value))
    assert found == TaskDelete("n", "/t", None, "c", "c", 7, 3, None)
