"""The recorder: what it sends, and what follows when the API server won't have it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from controller import metrics
from controller.kube import errors, events, spool
from controller.kube.client import Client
from controller.kube.events import Recorder
from controller.kube.spool import News, Regarding

WEB = Regarding("shop", "web", "11111111-aaaa", "100")
STARTED = News(WEB, "Normal", "Started", "the process is started, pid 1", "")
ENDED = News(WEB, "Warning", "Error", "ended with exit code 3", "3")


class FakeServer:
    """The API server's events, with faults in the order in which they are to come."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.faults: list[errors.KubeError | None] = []
        self.requests = 0
        self.changed = asyncio.Event()

    async def create(self, path: str, body: dict[str, Any]) -> Any:
        assert path == "/api/v1/namespaces/shop/events"
        self._serve()
        if body["metadata"]["name"] in self.events:
            raise errors.Conflict("it exists")
        self.events[body["metadata"]["name"]] = dict(body)
        return body

    async def patch(self, path: str, body: dict[str, Any]) -> Any:
        name = path.removeprefix("/api/v1/namespaces/shop/events/")
        self._serve()
        if name not in self.events:
            raise errors.NotFound("it is not there")
        self.events[name] |= body
        return self.events[name]

    def _serve(self) -> None:
        self.requests += 1
        self.changed.set()
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault

    def reasons(self) -> list[tuple[str, int]]:
        return [(event["reason"], event["count"]) for _, event in sorted(self.events.items())]

    async def until(self, reasons: list[tuple[str, int]]) -> None:
        async with asyncio.timeout(10):
            while self.reasons() != reasons:
                self.changed.clear()
                await self.changed.wait()
                await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for the sake of others that might come first."""
    for name in ("LINGER_SECONDS", "FIRST_SPACING"):
        monkeypatch.setattr(spool, name, 0.001)
    monkeypatch.setattr(spool, "POSTS_PER_SECOND", 1e6)
    monkeypatch.setattr(events, "FIRST_PAUSE", 0.001)


@asynccontextmanager
async def recording(server: FakeServer) -> AsyncIterator[Recorder]:
    recorder = Recorder(cast(Client, server), "node-a")
    running = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def dropped(kind: str) -> float:
    return metrics.REGISTRY.get_sample_value("tallyman_events_dropped_total", {"type": kind}) or 0.0


@pytest.mark.feature("L19")
async def test_an_event_says_what_happened_to_what_and_when() -> None:
    server = FakeServer()
    async with recording(server) as recorder:
        recorder.record(STARTED)
        await server.until([("Started", 1)])
        assert recorder.waiting() == 0
    [event] = server.events.values()
    assert event["involvedObject"] == {
        "apiVersion": "tallyman.dev/v1alpha1",
        "kind": "Container",
        "namespace": "shop",
        "name": "web",
        "uid": WEB.uid,
        "resourceVersion": "100",
    }
    assert (event["type"], event["message"]) == ("Normal", STARTED.message)
    assert event["source"] == {"component": "tallyman", "host": "node-a"}
    assert event["firstTimestamp"] == event["lastTimestamp"]


@pytest.mark.feature("L19")
async def test_repeats_are_counted_in_the_same_event_with_the_last_message() -> None:
    server = FakeServer()
    async with recording(server) as recorder:
        recorder.record(STARTED)
        await server.until([("Started", 1)])
        for pid in (2, 3):
            recorder.record(News(WEB, "Normal", "Started", f"the process is started, pid {pid}", ""))
        await server.until([("Started", 3)])
    assert next(iter(server.events.values()))["message"] == "the process is started, pid 3"


@pytest.mark.feature("L19")
async def test_an_event_that_expired_is_made_again_with_its_count() -> None:
    server = FakeServer()
    async with recording(server) as recorder:
        recorder.record(STARTED)
        await server.until([("Started", 1)])
        server.events.clear()
        recorder.record(STARTED)
        await server.until([("Started", 2)])


@pytest.mark.feature("L19")
async def test_what_the_server_can_not_take_now_is_posted_later() -> None:
    server = FakeServer()
    server.faults = [errors.Unavailable("busy"), errors.Unavailable("busy")]
    async with recording(server) as recorder:
        recorder.record(STARTED)
        recorder.record(ENDED)
        await server.until([("Started", 1), ("Error", 1)])


@pytest.mark.feature("L19")
async def test_an_event_whose_answer_was_lost_is_not_made_twice() -> None:
    class Forgetful(FakeServer):
        async def create(self, path: str, body: dict[str, Any]) -> Any:
            await super().create(path, body)
            if self.requests == 1:
                raise errors.Unavailable("the answer is lost")

    server = Forgetful()
    async with recording(server) as recorder:
        recorder.record(STARTED)
        await server.until([("Started", 1)])
        recorder.record(ENDED)
        await server.until([("Started", 1), ("Error", 1)])
        assert recorder.waiting() == 0


@pytest.mark.feature("L19")
async def test_what_the_server_refuses_is_dropped_and_counted_and_the_next_goes_on() -> None:
    server = FakeServer()
    server.faults = [errors.Forbidden("the namespace is being terminated")]
    before = dropped("Warning")
    async with recording(server) as recorder:
        recorder.record(ENDED)
        recorder.record(STARTED)
        await server.until([("Started", 1)])
    assert dropped("Warning") == before + 1


@pytest.mark.feature("L19")
async def test_news_is_taken_in_without_waiting_for_the_server() -> None:
    class Stuck(FakeServer):
        async def create(self, path: str, body: dict[str, Any]) -> Any:
            self._serve()
            await asyncio.Event().wait()

    server = Stuck()
    async with recording(server) as recorder:
        recorder.record(STARTED)
        await server.changed.wait()
        for number in range(spool.CAPACITY + 10):
            recorder.record(News(Regarding("shop", f"web-{number}", f"{number}", "1"), "Normal", "Started", "x"))
        assert recorder.waiting() == spool.CAPACITY


@pytest.mark.feature("L19")
def test_news_is_logged_with_what_it_is_about_and_repeats_only_for_those_who_want_it_all() -> None:
    recorder = Recorder(cast(Client, FakeServer()), "node-a")
    with capture_logs() as lines:
        for news in (STARTED, ENDED, STARTED):
            recorder.record(news)
    about = {"event": "news", "namespace": "shop", "name": "web"}
    started = {**about, "reason": "Started", "message": STARTED.message}
    assert lines == [
        {**started, "log_level": "info"},
        {**about, "reason": "Error", "message": ENDED.message, "log_level": "info"},
        {**started, "log_level": "debug"},
    ]
