"""The node's own object: made when there is none, kept up to date, and by no failure brought to an end."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from controller.agent.heartbeat import Heartbeat
from controller.agent.nodestatus import NodeReport
from controller.agent.registration import Registration
from controller.api.container import ContainerState
from controller.kube import errors
from controller.kube.leases import Owner
from controller.kube.nodes import ContainerNodes
from tests.unit.agent import virtual_time
from tests.unit.agent.test_nodestatus import REPORT
from tests.unit.agent.world import merge_patch

pytestmark = pytest.mark.feature("D7", "K2")

NODE = "node-a"
LABELS = {"kubernetes.io/hostname": NODE, "disk": "ssd"}
READ_SECONDS = 30.0
LOST = {"type": "Ready", "status": "Unknown", "reason": "NodeLost", "lastTransitionTime": "2026-11-22T09:00:00Z"}


class FakeNodes:
    """The API server's ContainerNodes: at most one."""

    def __init__(self) -> None:
        self.object: dict[str, Any] | None = None
        self.is_served = True
        self.error: Exception | None = None
        self.created = 0
        self.reads = 0
        self.writes: list[Mapping[str, Any]] = []

    async def get(self, name: str) -> Mapping[str, Any]:
        self._serve(name)
        self.reads += 1
        if self.object is None:
            raise errors.NotFound("no such node")
        return self.object

    async def served(self) -> bool:
        self._serve(NODE)
        return self.is_served

    async def create(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self._serve(body["metadata"]["name"])
        if self.object is not None:
            raise errors.Conflict("there is one")
        self.created += 1
        self.put(body)
        assert self.object is not None
        return self.object

    def put(self, body: Mapping[str, Any]) -> None:
        metadata = {**body["metadata"], "uid": f"uid-{self.created}", "generation": 1, "resourceVersion": "1"}
        self.object = {**body, "metadata": metadata}

    async def patch(self, name: str, uid: str, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._patched(name, uid, {"metadata": metadata})

    async def patch_status(self, name: str, uid: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
        self.writes.append(status)
        return self._patched(name, uid, {"status": status})

    def _patched(self, name: str, uid: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        self._serve(name)
        if self.object is None:
            raise errors.NotFound("no such node")
        if uid != self.object["metadata"]["uid"]:
            raise errors.Conflict("another one")
        self.object = merge_patch(self.object, patch)
        return self.object

    def _serve(self, name: str) -> None:
        assert name == NODE
        if self.error is not None:
            raise self.error

    @property
    def ready(self) -> tuple[str, str]:
        assert self.object is not None
        (condition,) = self.object["status"]["conditions"]
        return condition["status"], condition["reason"]


class FakeHeartbeat:
    """Whom the heartbeat goes with."""

    def __init__(self) -> None:
        self.owner: Owner | None = None
        self.silent = False
        self.is_heard = True

    def goes_with(self, owner: Owner | None) -> None:
        self.owner = owner

    def falls_silent(self) -> None:
        self.owner, self.silent = None, True

    def heard(self) -> bool:
        return self.is_heard


class Bench:
    """A registration and its surroundings."""

    def __init__(self) -> None:
        self.api = FakeNodes()
        self.heartbeat = FakeHeartbeat()
        self.report = REPORT
        self.compared = 0
        self.compare_error: Exception | None = None
        self.registration = Registration(
            api=cast(ContainerNodes, self.api),
            node=NODE,
            labels=LABELS,
            report=self._report,
            compare=self._compare,
            heartbeat=cast(Heartbeat, self.heartbeat),
            read_seconds=READ_SECONDS,
            clock=virtual_time.now,
        )

    async def _report(self) -> NodeReport:
        return self.report

    async def _compare(self) -> None:
        if self.compare_error is not None:
            raise self.compare_error
        assert self.api.object is None, "the objects are compared before the node is made"
        self.compared += 1

    def runs(self, *states: ContainerState) -> None:
        self.report = replace(self.report, states=states)

    def written(self, **status: Any) -> None:
        """Somebody else writes into the status."""
        assert self.api.object is not None
        self.api.object = {**self.api.object, "status": {**self.api.object["status"], **status}}


def keep(script: Callable[[Bench], Awaitable[None]]) -> Bench:
    """Let a registration go on while the script does what it does."""

    async def main() -> Bench:
        bench = Bench()
        running = asyncio.create_task(bench.registration.run())
        await script(bench)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return bench

    return virtual_time.run(main())


async def _soon() -> None:
    await asyncio.sleep(1)


def test_the_object_is_made_with_its_labels_and_told_of() -> None:
    async def script(bench: Bench) -> None:
        await _soon()

    bench = keep(script)

    assert bench.api.object is not None
    assert (bench.api.created, bench.compared) == (1, 1)
    assert bench.api.object["metadata"]["labels"] == LABELS
    assert bench.api.object["spec"] == {}
    assert bench.api.ready == ("True", "AgentReady")
    assert bench.heartbeat.owner == Owner("tallyman.dev/v1alpha1", "ContainerNode", NODE, "uid-1")


def test_one_that_is_there_is_kept_with_all_that_others_wrote() -> None:
    async def script(bench: Bench) -> None:
        spec = {"unschedulable": True}
        bench.api.put({"metadata": {"name": NODE, "labels": {"theirs": "1", "disk": "old"}}, "spec": spec})
        await _soon()

    bench = keep(script)

    assert bench.api.object is not None
    assert (bench.api.created, bench.compared) == (0, 0)
    assert bench.api.object["metadata"]["labels"] == {"theirs": "1", **LABELS}
    assert bench.api.object["spec"] == {"unschedulable": True}


def test_one_that_was_deleted_is_made_again_after_every_object_was_compared() -> None:
    async def script(bench: Bench) -> None:
        await _soon()
        bench.api.object = None
        await asyncio.sleep(READ_SECONDS + 5)

    bench = keep(script)

    assert (bench.api.created, bench.compared) == (2, 2)
    assert bench.heartbeat.owner is not None
    assert bench.heartbeat.owner.uid == "uid-2"
    assert bench.api.ready == ("True", "AgentReady")


def test_as_long_as_the_objects_can_not_be_compared_it_is_not_made() -> None:
    async def script(bench: Bench) -> None:
        bench.compare_error = errors.Unavailable("no answer")
        await asyncio.sleep(100)
        assert bench.api.object is None
        assert bench.heartbeat.owner is None
        bench.compare_error = None
        await asyncio.sleep(10)
        assert bench.api.object is not None

    keep(script)


def test_a_blind_agent_makes_none() -> None:
    async def script(bench: Bench) -> None:
        bench.report = replace(REPORT, out_of_step=("watch",))
        await asyncio.sleep(100)
        assert bench.api.object is None
        bench.report = REPORT
        await asyncio.sleep(10)
        assert bench.api.object is not None

    keep(script)


def test_one_that_is_being_deleted_is_as_good_as_gone() -> None:
    async def script(bench: Bench) -> None:
        bench.api.put({"metadata": {"name": NODE, "deletionTimestamp": "2026-11-22T10:00:00Z"}})
        await asyncio.sleep(5)

    bench = keep(script)

    assert bench.heartbeat.owner is None
    assert bench.api.writes == []


def test_at_rest_it_is_written_every_five_minutes() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(3600)

    bench = keep(script)

    assert 12 <= len(bench.api.writes) <= 13
    assert all(set(write) <= {"lastHeartbeatTime"} for write in bench.api.writes[1:])
    assert bench.api.reads <= 3600 / READ_SECONDS + 3


def test_what_changes_again_and_again_is_written_now_and_then() -> None:
    async def script(bench: Bench) -> None:
        for number in range(100):
            bench.runs(*[ContainerState.RUNNING] * number)
            await asyncio.sleep(1)

    bench = keep(script)

    assert 9 <= len(bench.api.writes) <= 11


def test_an_agent_that_becomes_blind_says_so_at_once() -> None:
    async def script(bench: Bench) -> None:
        await _soon()
        bench.report = replace(REPORT, out_of_step=("containerd",))
        await asyncio.sleep(5)
        assert bench.api.ready == ("False", "AgentNotReady")
        bench.report = REPORT
        await asyncio.sleep(5)
        assert bench.api.ready == ("True", "AgentReady")

    keep(script)


def test_an_agent_that_has_just_been_started_is_not_called_blind() -> None:
    async def script(bench: Bench) -> None:
        bench.api.put({"metadata": {"name": NODE, "labels": LABELS}})
        bench.report = replace(REPORT, out_of_step=("watch",))
        await asyncio.sleep(10)
        assert bench.api.writes == []
        bench.report = REPORT
        await asyncio.sleep(5)
        assert bench.api.ready == ("True", "AgentReady")
        assert len(bench.api.writes) == 1

    keep(script)


def test_a_node_that_was_taken_for_lost_says_that_it_is_back_once_it_is_heard_of() -> None:
    async def script(bench: Bench) -> None:
        await _soon()
        bench.heartbeat.is_heard = False
        bench.written(conditions=[LOST])
        await asyncio.sleep(400)
        assert bench.api.ready == ("Unknown", "NodeLost")
        bench.heartbeat.is_heard = True
        await asyncio.sleep(5)
        assert bench.api.ready == ("True", "AgentReady")

    keep(script)


def test_without_the_kind_it_says_so_once_and_goes_on() -> None:
    async def script(bench: Bench) -> None:
        bench.api.is_served = False
        with capture_logs() as entries:
            await asyncio.sleep(300)
            assert bench.heartbeat.silent
            bench.api.is_served = True
            await asyncio.sleep(READ_SECONDS + 5)
        assert bench.api.object is not None
        told = [one["event"] for one in entries]
        assert [event for event in told if "can't be kept" in event] == [told[0]]
        assert "the node is registered" in told

    keep(script)


@pytest.mark.parametrize(
    "error",
    [errors.Unavailable("no answer"), errors.Forbidden("may not"), ValueError("a defect")],
    ids=lambda error: type(error).__name__,
)
def test_no_failure_ends_it(error: Exception) -> None:
    async def script(bench: Bench) -> None:
        await _soon()
        bench.api.error = error
        await asyncio.sleep(200)
        bench.api.error = None
        bench.runs(ContainerState.RUNNING)
        await asyncio.sleep(READ_SECONDS + 15)
        assert bench.api.object is not None
        assert bench.api.object["status"]["containers"]["running"] == 1

    keep(script)


def test_one_that_was_replaced_behind_its_back_is_found() -> None:
    async def script(bench: Bench) -> None:
        await _soon()
        bench.api.created = 7
        bench.api.put({"metadata": {"name": NODE}})
        bench.runs()
        await asyncio.sleep(READ_SECONDS + 5)
        assert bench.heartbeat.owner is not None
        assert bench.heartbeat.owner.uid == "uid-7"
        assert bench.api.ready == ("True", "AgentReady")

    keep(script)


def test_a_node_that_is_marked_as_out_of_service_says_so_once() -> None:
    async def script(bench: Bench) -> None:
        taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoSchedule"}
        bench.api.put({"metadata": {"name": NODE, "labels": LABELS}, "spec": {"taints": [taint]}})
        with capture_logs() as entries:
            await asyncio.sleep(300)
        assert [one["event"] for one in entries if "out of service" in one["event"]] == [
            "the node is marked as out of service, and its containers are taken away; remove the taint once it is back"
        ]

    keep(script)
