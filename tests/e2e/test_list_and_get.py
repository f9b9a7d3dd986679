"""List and get never disagree: status, lists, the watch and containerd are looked at together while containers come and go."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from kubernetes import watch

from tests.e2e import waiting
from tests.e2e.cluster import GROUP, PLURAL, VERSION, Namespace
from tests.e2e.node import Node
from tests.e2e.objects import Body, container_id, is_settled, status

TURNS = 8
LANES = 4
"""So many containers are made, changed and deleted at once, so many times in a row."""


@dataclass
class Book:
    """What was seen of each version of each object; every source must tell the same."""

    seen: dict[tuple[str, str], tuple[str, Body]] = field(default_factory=dict)
    disagreements: list[str] = field(default_factory=list)
    looks: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, source: str, body: Body) -> None:
        metadata = body["metadata"]
        key = (metadata["uid"], metadata["resourceVersion"])
        what = {"metadata": metadata, "spec": body["spec"], "status": body.get("status")}
        with self._lock:
            self.looks += 1
            before_source, before = self.seen.setdefault(key, (source, what))
            if before != what:
                self.disagreements.append(f"{source}: {what}\n{before_source}: {before}")


@dataclass
class Checks:
    """Threads that look until they are told to stop, and whose errors fail the test."""

    stop: threading.Event = field(default_factory=threading.Event)
    errors: list[BaseException] = field(default_factory=list)
    rounds: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def running(self, *looks: Callable[[], None]) -> Iterator[None]:
        threads = [threading.Thread(target=self._repeat, args=(look,), daemon=True) for look in looks]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(waiting.SECONDS)
        for error in self.errors:
            raise error

    def _repeat(self, look: Callable[[], None]) -> None:
        try:
            while not self.stop.is_set():
                look()
                name = getattr(look, "__name__", "")
                self.rounds[name] = self.rounds.get(name, 0) + 1
        except BaseException as error:  # noqa: BLE001 - it is raised in the test's own thread
            self.errors.append(error)


class Observer:
    """Looks at everything there is, in an order from which a contradiction follows."""

    def __init__(self, namespace: Namespace, node: Node, checks: Checks) -> None:
        self.namespace, self.node, self.checks = namespace, node, checks
        self.book = Book()
        self.unregistered: list[str] = []
        self.ids: set[str] = set()

    def lists_and_gets(self) -> None:
        for name, body in self.namespace.listed().items():
            self.book.note("list", body)
            single = self.namespace.find(name)
            if single is not None:
                self.book.note("get", single)

    def watches(self) -> None:
        watching: Any = watch.Watch
        stream = watching().stream(
            self.namespace.cluster.objects.list_namespaced_custom_object,
            GROUP,
            VERSION,
            self.namespace.name,
            PLURAL,
            timeout_seconds=2,
        )
        for event in stream:
            body: Any = event["object"]
            if event["type"] in {"ADDED", "MODIFIED"}:
                self.book.note("watch", body)

    def kubectl_gets(self) -> None:
        shown = self.namespace.kubectl("get", "containers", "-o", "wide", "--no-headers")
        ids = {words[-1] for words in map(str.split, shown.splitlines()) if words and len(words[-1]) == 64}
        self._assert_registered(dict.fromkeys(ids, "kubectl get"), self.namespace.listed)

    def statuses_against_containerd(self) -> None:
        listed = self.namespace.listed()
        self._assert_registered(
            {container_id(body): name for name, body in listed.items() if container_id(body)}, self.namespace.listed
        )

    def _assert_registered(self, named: dict[str, str], again: Callable[[], dict[str, Body]]) -> None:
        """An id that a status named, that containerd then did not have, and that a status still names after that."""
        self.ids |= named.keys()
        missing = named.keys() - self.node.containers().keys()
        if missing:
            still = {container_id(body): body for body in again().values()}
            self.unregistered += [f"{one} of {named[one]}: {status(still[one])}" for one in missing if one in still]


def _come_and_go(namespace: Namespace, lane: int) -> None:
    """A long-lived container, a short-lived one, one that fails to start, one that is replaced; then all are deleted."""
    for turn in range(TURNS):
        names = [f"{kind}-{lane}-{turn}" for kind in ("long", "short", "failing", "replaced")]
        long, short, failing, replaced = names
        namespace.sleeper(long)
        namespace.shell(short, "exit 3")
        namespace.create(failing, command=["/no/such/program"])
        namespace.sleeper(replaced)
        if turn % 3:
            namespace.wait_all(names, is_settled)
        namespace.change(replaced, env=[{"name": "TURN", "value": str(turn)}])
        namespace.change(long, desiredState="Stopped")
        if turn % 2:
            namespace.wait_all([long, replaced], is_settled)
        for name in names:
            namespace.delete(name)
    namespace.wait_gone(*[f"long-{lane}-{turn}" for turn in range(TURNS)])


@pytest.mark.feature("L5", "L16")
def test_no_status_names_a_container_that_containerd_does_not_have(namespace: Namespace, node: Node) -> None:
    checks = Checks()
    observer = Observer(namespace, node, checks)
    looks = (
        observer.lists_and_gets,
        observer.watches,
        observer.kubectl_gets,
        observer.statuses_against_containerd,
    )
    lanes = Checks()
    since = time.monotonic()
    with checks.running(*looks):
        workers = [threading.Thread(target=_guarded, args=(lanes, namespace, lane)) for lane in range(LANES)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    for error in lanes.errors:
        raise error
    print(
        f"{time.monotonic() - since:.0f} s, {len(observer.ids)} ids seen, {len(observer.book.seen)} versions of objects in "
        f"{observer.book.looks} looks, rounds {checks.rounds}"
    )
    assert not observer.unregistered, "ids in a status without a container"
    assert not observer.book.disagreements, "one version, two contents"
    assert min(checks.rounds.values()) > 0
    assert len(observer.ids) > TURNS


def _guarded(lanes: Checks, namespace: Namespace, lane: int) -> None:
    try:
        _come_and_go(namespace, lane)
    except BaseException as error:  # noqa: BLE001 - it is raised in the test's own thread
        lanes.errors.append(error)
