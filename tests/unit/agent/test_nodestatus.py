"""What is said of a node, and when it is worth a write."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from controller.agent.machine import inspect
from controller.agent.nodestatus import (
    REFRESH_SECONDS,
    SPACING_SECONDS,
    Machine,
    NodeReport,
    Room,
    labels,
    ready,
    says_lost,
    summarize,
    wait_before_write,
)
from controller.agent.status import difference
from controller.api.container import ContainerState
from controller.api.node import ContainerNodeStatus, NodeRuntime
from controller.api.reasons import Reason
from controller.api.validation import read_node_status
from tests.unit.agent.objects import NOW

pytestmark = pytest.mark.feature("D7")

MACHINE = Machine("6.1.0", "amd64", "linux", "Debian GNU/Linux 12", Decimal(4), Decimal(2**30) * 8)
REPORT = NodeReport(
    agent_version="0.1.0",
    containerd_version="1.7.24",
    machine=MACHINE,
    boot_id="boot",
    room=Room(250, Decimal("0.5"), Decimal(2**30)),
    features=("seccomp", "freezer"),
    runtimes=(NodeRuntime(name="runc", binary="runc", available=True),),
    states=(ContainerState.RUNNING, ContainerState.EXITED),
)
UNREADY = replace(REPORT, out_of_step=("containerd",))


def said(report: NodeReport = REPORT, before: ContainerNodeStatus | None = None, **later: Any) -> ContainerNodeStatus:
    return summarize(report, before or ContainerNodeStatus(), 3, NOW + timedelta(**later))


def lost(status: ContainerNodeStatus) -> ContainerNodeStatus:
    written = status.model_dump(by_alias=True, mode="json", exclude_none=True)
    written["conditions"] = [{**written["conditions"][0], "status": "Unknown", "reason": "NodeLost"}]
    return read_node_status(written)


def test_a_node_that_is_well() -> None:
    written = said().model_dump(by_alias=True, mode="json", exclude_none=True)

    assert written == {
        "agentVersion": "0.1.0",
        "containerdVersion": "1.7.24",
        "kernelVersion": "6.1.0",
        "architecture": "amd64",
        "operatingSystem": "linux",
        "osImage": "Debian GNU/Linux 12",
        "bootID": "boot",
        "runtimes": [{"name": "runc", "binary": "runc", "available": True}],
        "features": ["freezer", "seccomp"],
        "capacity": {"cpu": "4", "memory": "8388608Ki", "containers": 250},
        "allocatable": {"cpu": "3500m", "memory": "7340032Ki", "containers": 250},
        "containers": {
            "total": 2,
            "pending": 0,
            "created": 0,
            "running": 1,
            "paused": 0,
            "restarting": 0,
            "exited": 1,
            "removing": 0,
            "unknown": 0,
        },
        "lastHeartbeatTime": "2026-11-22T10:00:00Z",
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "AgentReady",
                "observedGeneration": 3,
                "lastTransitionTime": "2026-11-22T10:00:00Z",
            }
        ],
    }


def test_a_node_whose_agent_is_blind_says_for_what_and_not_since_when() -> None:
    """The words must stay the same from one look to the next, or each would be worth a write."""
    condition = ready(said(UNREADY))

    assert condition is not None
    assert (condition.status, condition.reason) == ("False", Reason.AGENT_NOT_READY)
    assert condition.message == "the agent does not see as it is: containerd; its /readyz and its log say more"


def test_more_reserved_than_there_is_leaves_nothing() -> None:
    allocatable = said(replace(REPORT, room=Room(1, Decimal(99), Decimal(2**60)))).allocatable

    assert allocatable is not None
    assert (allocatable.cpu, allocatable.memory) == ("0", "0Ki")


def test_an_unchanged_condition_keeps_its_time() -> None:
    first = said()
    second = said(before=first, hours=1)

    assert second.conditions == first.conditions
    assert said(UNREADY, first, hours=1).conditions[0].last_transition_time == (NOW + timedelta(hours=1)).replace(
        microsecond=0
    )


@pytest.mark.parametrize(
    ("before", "after", "since_written", "wait"),
    [
        pytest.param(ContainerNodeStatus(), said(), None, 0, id="an agent that has not written yet writes"),
        pytest.param(said(), said(before=said(), seconds=9), 9.0, REFRESH_SECONDS - 9, id="nothing is new"),
        pytest.param(said(), said(before=said(), minutes=5), 300.0, 0, id="nothing was new for a long time"),
        pytest.param(said(), said(replace(REPORT, states=())), 4.0, SPACING_SECONDS - 4, id="the containers changed"),
        pytest.param(
            said(), said(replace(REPORT, states=())), 10.0, 0, id="they changed, and the last write was before"
        ),
        pytest.param(said(), said(UNREADY), 0.5, 0, id="the agent has become blind"),
        pytest.param(said(UNREADY), said(), 0.5, 0, id="the agent sees again"),
        pytest.param(lost(said()), said(), 0.5, 0, id="the cluster took the node for lost"),
    ],
)
def test_when_it_is_worth_a_write(
    before: ContainerNodeStatus, after: ContainerNodeStatus, since_written: float | None, wait: float
) -> None:
    assert wait_before_write(before, after, since_written) == wait


def test_what_is_written_is_the_difference() -> None:
    first = said()

    patch = difference(first, said(replace(REPORT, states=(ContainerState.RUNNING,)), first, seconds=20))

    assert patch == {"containers": {"total": 1, "exited": 0}, "lastHeartbeatTime": "2026-11-22T10:00:20Z"}


def test_a_lost_node_is_known_by_its_reason() -> None:
    assert says_lost(lost(said()))
    assert not says_lost(said())
    assert not says_lost(ContainerNodeStatus())


def test_what_an_operator_wrote_into_a_status_does_not_end_the_agent() -> None:
    status = read_node_status({"containers": "many", "conditions": [{"type": "Ready"}, 5], "bootID": "x"})

    assert (status.containers, status.conditions, status.boot_id) == (None, [], "x")


def test_the_labels() -> None:
    assert labels("node-a", MACHINE, {"disk": "ssd"}) == {
        "disk": "ssd",
        "kubernetes.io/hostname": "node-a",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
    }


class TestMachine:
    @pytest.fixture
    def root(self, tmp_path: Any) -> Any:
        (tmp_path / "etc").mkdir()
        (tmp_path / "meminfo").write_text("MemTotal:       16384 kB\nMemFree:  1 kB\n")
        return tmp_path

    def test_its_system_and_its_memory(self, root: Any) -> None:
        (root / "etc/os-release").write_text('NAME="X"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')

        found = inspect(root, root / "meminfo")

        assert found.os_image == "Debian GNU/Linux 12 (bookworm)"
        assert found.memory_bytes == 16384 * 1024
        assert found.cpus >= 1
        assert found.operating_system == "linux"

    def test_one_that_does_not_name_its_system(self, root: Any) -> None:
        assert inspect(root, root / "meminfo").os_image == ""
