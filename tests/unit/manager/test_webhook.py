"""The server over real TLS and HTTP: what it answers, what it calls an error, and what it does not wait for."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from controller.manager import admission, bodies, connections
from controller.manager.tls import LiveContext
from controller.manager.webhook import Webhook
from hack.lab.ports import free_port
from tests.unit.manager.keyrings import HOST, files, made, trusting
from tests.unit.manager.reviews import GOOD, UID, container, review

KEYRING = made()
LONG = 30.0
"""Longer than any of it takes."""
LARGE = container({**GOOD, "env": [{"name": f"V{n}", "value": "x" * 2900} for n in range(1024)]})


@dataclass
class Serving:
    """A webhook that runs, a client of it, and what it has reported."""

    port: int
    client: aiohttp.ClientSession
    seen: list[tuple[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}/validate?timeout=5s"

    async def post(self, body: object) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.client.post(
            self.url, data=io.BytesIO(data), headers={"Content-Type": "application/json"}
        ) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    live = LiveContext(lambda _: None)
    live.load(*files(KEYRING))
    port = free_port()
    connector = aiohttp.TCPConnector(ssl=trusting(KEYRING))
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
        made_ = Serving(port, client)
        server = Webhook(HOST, port, live.context, lambda operation, how, _: made_.seen.append((operation, how)))
        await server.open()
        yield made_
        await server.close()


@pytest.mark.feature("D3")
async def test_reviews_are_answered(serving: Serving) -> None:
    good = await serving.post(review(container()))
    bad = await serving.post(review(container({**GOOD, "tty": "yes"})))

    assert good == (
        200,
        {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": {"uid": UID, "allowed": True},
        },
    )
    assert bad[0] == 200
    assert bad[1]["response"]["allowed"] is False
    assert bad[1]["response"]["status"]["message"] == "spec.tty: must be true or false; got 'yes'"
    assert serving.seen == [("CREATE", "allowed"), ("CREATE", "refused")]


BEGINS = "this webhook can't answer the request: "
ERRORS: dict[str, tuple[object, int, str, str]] = {
    "nothing": (b"", 400, "BadRequest", "it is not JSON"),
    "no JSON": (b"{", 400, "BadRequest", "it is not JSON"),
    "no text": (b"\xff\xfe\x00", 400, "BadRequest", "it is not JSON"),
    "JSON that is nested without end": (b"[" * 100_000, 400, "BadRequest", "it is not JSON"),
    "a number that has no end": (b"1" * 100_000, 400, "BadRequest", "it is not JSON"),
    "another object": (
        {"apiVersion": "v1", "kind": "Pod"},
        400,
        "BadRequest",
        "expected an AdmissionReview of admission.k8s.io/v1, got 'Pod' of 'v1'",
    ),
    "too much": (
        b" " * (bodies.MAX_BYTES + 1),
        413,
        "RequestEntityTooLarge",
        f"it has more than {bodies.MAX_BYTES} bytes",
    ),
}


@pytest.mark.feature("D3")
@pytest.mark.parametrize(("body", "code", "reason", "says"), ERRORS.values(), ids=ERRORS.keys())
async def test_what_can_not_be_answered_is_an_error_that_says_why(
    serving: Serving, body: object, code: int, reason: str, says: str
) -> None:
    status, answer = await serving.post(body)

    assert status == code
    assert answer == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": BEGINS + says,
        "reason": reason,
        "code": code,
    }
    assert serving.seen == [("", "malformed")]
    assert (await serving.post(review(container())))[0] == 200


async def test_the_largest_objects_there_can_be_are_read(serving: Serving) -> None:
    status, answer = await serving.post(review(LARGE, LARGE))

    assert (status, answer["response"]["allowed"]) == (200, True)


async def test_very_many_at_once_are_all_answered(serving: Serving) -> None:
    answers = await asyncio.gather(*(serving.post(review(container())) for _ in range(200)))

    assert {(status, body["response"]["allowed"]) for status, body in answers} == {(200, True)}


async def test_who_does_not_send_is_not_waited_for(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READ_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection(HOST, serving.port, ssl=trusting(KEYRING), server_hostname=HOST)
    writer.write(b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    async with asyncio.timeout(10):
        status = await reader.readline()
        await reader.readuntil(b"it did not arrive in time")
    writer.close()

    assert status.startswith(b"HTTP/1.1 503")
    assert serving.seen == [("", "error")]


async def test_who_sends_slowly_holds_up_nobody(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READ_SECONDS", LONG)
    slow = [await _asks(serving, b"{") for _ in range(connections.LIMIT // 4)]

    for _ in range(3):
        assert (await serving.post(review(container())))[0] == 200
    assert [operation for operation, _ in serving.seen] == ["CREATE"] * 3, "none of the others has ended"
    for _, writer in slow:
        writer.close()


async def test_large_ones_that_do_not_come_hold_up_nobody_small_and_lose_their_turns(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "READ_SECONDS", LONG)
    monkeypatch.setattr(bodies, "LARGE_SECONDS", 1.0)
    slow = [await _asks(serving, b" " * (2 * bodies.SMALL_BYTES)) for _ in range(bodies.LARGE_AT_ONCE)]

    assert (await serving.post(review(container())))[0] == 200
    assert (await serving.post(review(LARGE, LARGE)))[0] == 200
    for reader, writer in slow:
        async with asyncio.timeout(LONG):
            await reader.readuntil(b"it did not arrive in time")
        writer.close()


async def _asks(serving: Serving, begins: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose body begins like this and has no end."""
    reader, writer = await asyncio.open_connection(HOST, serving.port, ssl=trusting(KEYRING), server_hostname=HOST)
    writer.write(b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n" + begins)
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize(
    ("method", "path", "code"), [("GET", "/validate", 405), ("POST", "/", 404)], ids=["another method", "another path"]
)
async def test_nothing_else_is_served(serving: Serving, method: str, path: str, code: int) -> None:
    async with serving.client.request(method, f"https://{HOST}:{serving.port}{path}") as answer:
        assert answer.status == code


async def test_a_fault_of_ours_lets_nothing_in(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(admission, "judge", broken)
    async with serving.client.post(serving.url, json=review(container())) as answer:
        assert answer.status == 500
    assert serving.seen == [("CREATE", "error")]


async def test_an_address_that_is_taken_is_an_error(serving: Serving) -> None:
    with pytest.raises(OSError, match="Address already in use"):
        await Webhook(HOST, serving.port, LiveContext(lambda _: None).context, lambda *_: None).open()


async def test_it_stops_listening_when_it_is_told_to() -> None:
    live = LiveContext(lambda _: None)
    live.load(*files(KEYRING))
    port = free_port()
    server = Webhook(HOST, port, live.context, lambda *_: None)
    await server.open()
    (await asyncio.open_connection(HOST, port))[1].close()
    await server.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, port)
