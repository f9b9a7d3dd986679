"""How a process ended: noticed however fast it was, and told in the words of an engine."""

from pathlib import Path

import pytest

from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Namespace
from tests.e2e.node import Node
from tests.e2e.objects import condition, container_id, has_exited, status

TIMES = 20


@pytest.mark.feature("L5", "L11", "L16")
def test_processes_that_end_within_milliseconds_are_all_seen_to_end(namespace: Namespace, node: Node) -> None:
    wanted = {f"quick-{number}": 0 if number % 2 else 3 for number in range(TIMES)}
    for name, code in wanted.items():
        if code:
            namespace.shell(name, f"exit {code}")
        else:
            namespace.create(name, command=["/bin/true"])
    bodies = namespace.wait_all(wanted, has_exited, "all have ended")
    registered = node.containers(namespace.name)
    for name, body in bodies.items():
        shown, ready = status(body), condition(body, "Ready")
        assert shown["exitCode"] == wanted[name], name
        assert (ready["status"], ready["reason"]) == ("False", "Error" if wanted[name] else "Completed")
        assert (condition(body, "Stalled")["status"], shown["restartCount"]) == ("False", 0)
        assert shown["startedAt"] <= shown["finishedAt"]
        assert registered[container_id(body)].object == name
    assert len(registered) == TIMES
    assert node.processes() == {}


@pytest.mark.feature("L11")
def test_a_process_that_a_signal_ended_says_which(namespace: Namespace) -> None:
    namespace.shell("killed", "sh -c 'kill -9 $PPID' & wait", init=True)
    namespace.shell("aborted", "kill -6 $$", init=True)
    bodies = namespace.wait_all(["killed", "aborted"], has_exited)
    killed, aborted = status(bodies["killed"]), status(bodies["aborted"])
    assert (killed["exitCode"], killed["signal"], killed["oomKilled"]) == (137, 9, False)
    assert (aborted["exitCode"], aborted["signal"]) == (134, 6)


@pytest.mark.feature("L11")
def test_a_process_that_wanted_too_much_memory_is_told_from_one_that_was_killed(namespace: Namespace) -> None:
    namespace.shell("greedy", "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done", resources={"limits": {"memory": "16Mi"}})
    body = namespace.wait("greedy", has_exited)
    assert (status(body)["exitCode"], status(body)["oomKilled"]) == (137, True)
    assert condition(body, "Ready")["reason"] == "OOMKilled"


@pytest.mark.feature("L11")
def test_what_has_ended_stays_ended_while_nobody_changes_it(namespace: Namespace, node: Node) -> None:
    namespace.shell("job", "exit 3")
    before = namespace.wait("job", has_exited)
    namespace.patch("job", {"metadata": {"labels": {"touched": "yes"}}})
    namespace.create("other", command=["true"])
    namespace.wait("other", has_exited)
    after = namespace.get("job")
    assert after["status"] == before["status"]
    assert container_id(after) in node.containers()

    namespace.change("job", command=["sh", "-c", "exit 4"])
    body = namespace.wait("job", lambda body: has_exited(body) and container_id(body) != container_id(before))
    assert status(body)["exitCode"] == 4
    assert len(node.of(namespace.name, "job")) == 1


@pytest.mark.feature("L11")
def test_a_process_that_lost_a_child_to_the_kernel_and_was_killed_later_was_not_out_of_memory(
    namespace: Namespace, shared: Path
) -> None:
    script = "tail /dev/zero; touch /shared/lost; trap '' TERM; while :; do sleep 0.1; done"
    mounts = [{"mountPath": "/shared", "hostPath": {"path": str(shared)}}]
    namespace.shell("web", script, resources={"limits": {"memory": "16Mi"}}, mounts=mounts)
    waiting.until((shared / "lost").exists, "the child was killed")
    namespace.change("web", desiredState="Stopped")
    shown = status(namespace.wait("web", has_exited))
    assert (shown["exitCode"], shown["signal"], shown["oomKilled"]) == (137, 9, False)


@pytest.mark.feature("L11", "L15")
def test_the_sigkill_of_an_agent_that_died_before_it_took_down_the_end_is_its_own(
    namespace: Namespace, agent: AgentProcess, shared: Path
) -> None:
    script = "tail /dev/zero; touch /shared/lost; trap '' TERM; while :; do sleep 0.1; done"
    mounts = [{"mountPath": "/shared", "hostPath": {"path": str(shared)}}]
    limits = {"limits": {"memory": "16Mi"}}
    namespace.shell("web", script, resources=limits, mounts=mounts, terminationGracePeriodSeconds=1)
    before = namespace.running("web")
    waiting.until((shared / "lost").exists, "the child was killed")
    [fifo] = (agent.directory / "run").rglob(f"{container_id(before)}.stdout")

    # With the pipe held open the agent waits for more output, after the end and before it takes that down.
    with fifo.open("wb"):
        namespace.change("web", desiredState="Stopped")
        waiting.until(lambda: not Path(f"/proc/{status(before)['pid']}").exists(), "the process has ended")
        agent.kill()
    agent.start()

    shown = status(namespace.wait("web", has_exited))
    assert (shown["exitCode"], shown["signal"], shown["oomKilled"]) == (137, 9, False)
