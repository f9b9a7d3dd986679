"""What a user reads of a container's life: Kubernetes Events, each once, in order, counted when they repeat, and never a flood."""

from collections import Counter

import pytest

from hack import lab
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.audit import Audit
from tests.e2e.cluster import Namespace
from tests.e2e.conftest import Images
from tests.e2e.objects import FOREVER, because, condition, has_exited, in_state, is_running
from tests.e2e.pages import value

PULL = ["Pulling", "Pulled"]
QUICK = {"initialSeconds": 0.1, "factor": 1, "maxSeconds": 0.1}
OBEDIENT = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


def _described(namespace: Namespace, name: str) -> list[tuple[str, str]]:
    """Type and reason of the events that `kubectl describe` shows, in its order."""
    _, _, shown = namespace.kubectl("describe", "container", name).partition("\nEvents:\n")
    rows = [line.split() for line in shown.splitlines()[2:]]
    return [(row[0], row[1]) for row in rows if row]


def _told(namespace: Namespace, name: str) -> list[str]:
    """The reasons of the events about an object, in the order in which they became news; a pull may be another's, too."""
    events = sorted(namespace.events(name), key=lambda event: event.metadata.name)
    return [event.reason for event in events if event.reason not in PULL]


def _wait_told(namespace: Namespace, name: str, reasons: list[str]) -> None:
    waiting.until(lambda: _told(namespace, name) == reasons, "these events", seen=lambda: _told(namespace, name))


def _count(namespace: Namespace, name: str, reason: str) -> int:
    return sum(event.count for event in namespace.events(name, reason))


@pytest.mark.feature("L19")
def test_a_life_is_told_step_by_step(namespace: Namespace, images: Images) -> None:
    layer = lab.layer({"data": namespace.name.encode()}, compression="none")
    lab.push(images.registry.address, f"{namespace.name}:1", lab.Image([*lab.busybox().layers, layer]))
    image = f"{images.registry.address}/{namespace.name}:1"
    namespace.shell("web", OBEDIENT, image=image, terminationGracePeriodSeconds=30)
    namespace.running("web")
    namespace.change("web", desiredState="Paused")
    namespace.wait("web", in_state("Paused"))
    namespace.change("web", desiredState="Running")
    namespace.running("web")
    namespace.change("web", resources={"limits": {"pids": 50}})
    namespace.running("web")
    namespace.change("web", desiredState="Stopped")
    namespace.wait("web", has_exited)

    life = ["Created", "Started", "Paused", "Resumed", "Updated", "Stopping", "Stopped"]
    _wait_told(namespace, "web", life)
    assert _described(namespace, "web") == [("Normal", reason) for reason in PULL + life]
    messages = {event.reason: event.message for event in namespace.events("web")}
    assert image in messages["Pulled"]
    assert messages["Stopping"] == "desiredState is Stopped: SIGTERM is sent, SIGKILL follows after 30 s"
    assert messages["Stopped"].startswith("the process ended with exit code 0 after ")
    assert {event.count for event in namespace.events("web")} == {1}

    namespace.delete("web")
    namespace.wait_gone("web")
    _wait_told(namespace, "web", [*life, "Removed"])


@pytest.mark.feature("L19", "D6")
def test_a_deletion_and_a_kill_are_told(namespace: Namespace) -> None:
    namespace.shell("web", "trap '' TERM; while :; do sleep 0.05; done", terminationGracePeriodSeconds=1)
    namespace.running("web")
    namespace.delete("web")
    namespace.wait_gone("web")

    _wait_told(namespace, "web", ["Created", "Started", "Stopping", "Killing", "Stopped", "Removed"])
    [stopping] = namespace.events("web", "Stopping")
    assert stopping.message == "the object is deleted: SIGTERM is sent, SIGKILL follows after 1 s"
    [killing] = namespace.events("web", "Killing")
    assert killing.type == "Warning"
    [stopped] = namespace.events("web", "Stopped")
    assert "SIGKILL (exit code 137)" in stopped.message


@pytest.mark.feature("L19", "L11")
def test_a_crash_loop_is_a_few_events_that_count(namespace: Namespace, audit: Audit) -> None:
    namespace.shell("web", "exit 5", restartPolicy={"name": "OnFailure", "maximumRetryCount": 9, "backoff": QUICK})
    namespace.wait("web", because("RetryLimitReached"))

    waiting.until(lambda: _count(namespace, "web", "Error") == 10, "ten ends counted")
    waiting.until(lambda: _count(namespace, "web", "Started") == 10, "ten starts counted")
    told = Counter(_told(namespace, "web"))
    assert {reason: told[reason] for reason in ("Created", "Started", "Error", "RetryLimitReached")} == {
        "Created": 1,
        "Started": 1,
        "Error": 1,
        "RetryLimitReached": 1,
    }
    assert set(told) <= {"Created", "Started", "Error", "RetryLimitReached", "CrashLoopBackOff"}
    [ended] = namespace.events("web", "Error")
    assert ended.type == "Warning"
    assert "exit code 5" in ended.message
    posts = [write for write in audit.by_agent(namespace.name) if write.resource == "events"]
    assert len(posts) <= 10


@pytest.mark.feature("L19", "L9")
def test_a_long_wait_says_until_when(namespace: Namespace) -> None:
    policy = {"name": "Always", "backoff": {"initialSeconds": 600, "maxSeconds": 600}}
    namespace.shell("web", "echo my password; exit 5", restartPolicy=policy)
    body = namespace.wait("web", because("CrashLoopBackOff"))
    assert "my password" in condition(body, "Ready")["message"]

    _wait_told(namespace, "web", ["Created", "Started", "Error", "CrashLoopBackOff"])
    [waits] = namespace.events("web", "CrashLoopBackOff")
    assert waits.type == "Warning"
    assert waits.message.startswith("ended with exit code 5; restart 1 at 20")
    assert "password" not in str([event.message for event in namespace.events("web")])


@pytest.mark.feature("L19", "L10")
def test_a_restart_that_was_asked_for_is_told(namespace: Namespace) -> None:
    namespace.sleeper("web")
    namespace.running("web")
    namespace.patch("web", {"metadata": {"annotations": {"tallyman.dev/restartedAt": "2026-01-01T00:00:00Z"}}})

    waiting.until(lambda: _count(namespace, "web", "Started") == 2, "started twice")
    _wait_told(namespace, "web", ["Created", "Started", "Restarting", "Stopped"])


@pytest.mark.feature("L19", "L15")
def test_an_agent_that_adopts_has_no_news(namespace: Namespace, agent: AgentProcess, audit: Audit) -> None:
    namespace.sleeper("web")
    namespace.running("web")
    _wait_told(namespace, "web", ["Created", "Started"])
    before = audit.by_agent(namespace.name)
    agent.kill()
    agent.start()
    namespace.sleeper("next", command=["sleep", FOREVER])
    namespace.wait("next", is_running)
    _wait_told(namespace, "next", ["Created", "Started"])
    assert _told(namespace, "web") == ["Created", "Started"]
    after = audit.by_agent(namespace.name)[len(before) :]
    assert not [write for write in after if write.name.startswith("web")]


@pytest.mark.feature("L19", "K4")
def test_what_was_posted_is_a_metric(namespace: Namespace, agent: AgentProcess) -> None:
    namespace.create("web", command=["true"])
    namespace.wait("web", has_exited)
    _wait_told(namespace, "web", ["Created", "Started", "Completed"])
    assert value(agent, "tallyman_events_posted_total", type="Normal") >= 3
    assert value(agent, "tallyman_events_dropped_total", type="Warning") == 0
