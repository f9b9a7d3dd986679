"""What is started again, when, and how often; and what goes by itself."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Namespace
from tests.e2e.node import Node
from tests.e2e.objects import Body, because, condition, container_id, has_exited, in_state, status
from tests.e2e.pages import value

QUICK = {"initialSeconds": 0.1, "factor": 1, "maxSeconds": 0.1}


def _seconds_between(later: str, earlier: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def _has_restarted(times: int) -> Any:
    return lambda body: status(body).get("restartCount") == times and status(body).get("state") == "Running"


@pytest.mark.feature("L9", "L11")
def test_a_failing_container_is_started_again_as_often_as_allowed(
    namespace: Namespace, node: Node, agent: AgentProcess
) -> None:
    before = value(agent, "tallyman_container_restarts_total", cause="policy")
    policy = {"name": "OnFailure", "maximumRetryCount": 3, "backoff": QUICK}
    namespace.shell("web", "exit 5", restartPolicy=policy)

    body = namespace.wait("web", because("RetryLimitReached"))

    assert status(body)["restartCount"] == 3
    assert status(body)["exitCode"] == 5
    assert condition(body, "Stalled")["status"] == "True"
    assert [(run["restart"], run["exitCode"]) for run in status(body)["history"]] == [(3, 5), (2, 5), (1, 5), (0, 5)]
    assert [one.id for one in node.of(namespace.name, "web")] == [container_id(body)]
    assert value(agent, "tallyman_container_restarts_total", cause="policy") == before + 3


@pytest.mark.feature("L9", "L11")
def test_the_last_ends_are_told_with_signal_oom_and_what_was_printed_last(namespace: Namespace, shared: Path) -> None:
    script = """
        run=$(ls /shared | wc -l); touch /shared/$run; echo this is run $run
        case $run in
        0) exit 3;;
        1) kill -9 $$;;
        2) x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done;;
        *) exec sleep 1000000;;
        esac
    """
    mounts = [{"mountPath": "/shared", "hostPath": {"path": str(shared)}}]
    namespace.shell(
        "web",
        script,
        init=True,
        mounts=mounts,
        resources={"limits": {"memory": "16Mi"}},
        restartPolicy={"name": "Always", "backoff": QUICK},
    )

    runs = status(namespace.wait("web", _has_restarted(3)))["history"]

    ends = [(run["exitCode"], run.get("signal"), run["oomKilled"], run["reason"]) for run in runs]
    assert ends == [(137, 9, True, "OOMKilled"), (137, 9, False, "Error"), (3, None, False, "Error")]
    assert [run["message"] for run in runs] == [
        "killed by the kernel for want of memory (exit code 137); last output:\nthis is run 2",
        "ended by SIGKILL (exit code 137); last output:\nthis is run 1",
        "ended with exit code 3; last output:\nthis is run 0",
    ]
    described = namespace.kubectl("describe", "container", "web")
    assert re.search(r"Oom Killed: +true\n +Reason: +OOMKilled\n +Restart: +2\n +Signal: +9", described)
    assert not any("this is run" in event.message for event in namespace.events("web"))


@pytest.mark.feature("L9")
def test_a_wait_shows_until_when_and_a_stop_ends_it(namespace: Namespace) -> None:
    policy = {"name": "Always", "backoff": {"initialSeconds": 600, "maxSeconds": 600}}
    namespace.shell("web", "exit 5", restartPolicy=policy)

    body = namespace.wait("web", because("CrashLoopBackOff"))
    assert status(body)["state"] == "Restarting"
    assert status(body)["nextRestartAt"] > status(body)["finishedAt"]
    assert "exit code 5" in condition(body, "Ready")["message"]

    namespace.change("web", desiredState="Stopped")
    body = namespace.wait("web", because("Stopped"))
    assert status(body)["state"] == "Exited"
    assert "nextRestartAt" not in status(body)


@pytest.mark.feature("L9")
def test_some_exit_codes_are_success_and_some_forbid_a_restart(namespace: Namespace) -> None:
    namespace.shell("fine", "exit 7", restartPolicy={"name": "OnFailure", "successExitCodes": [0, 7]})
    namespace.shell("final", "exit 78", restartPolicy={"name": "Always", "neverRestartExitCodes": [78]})

    assert condition(namespace.wait("fine", has_exited), "Ready")["reason"] == "Completed"
    assert status(namespace.wait("final", because("RestartExcluded")))["restartCount"] == 0


@pytest.mark.feature("L4", "L9")
def test_a_start_that_fails_is_up_to_the_policy_also_over_a_restart_of_the_agent(
    namespace: Namespace, node: Node, agent: AgentProcess
) -> None:
    patient = {"initialSeconds": 600, "maxSeconds": 600}
    limited = {"name": "OnFailure", "maximumRetryCount": 2, "backoff": QUICK}
    namespace.create("typo", command=["/no/such"], restartPolicy=limited)
    namespace.create("final", command=["/no/such"], restartPolicy={"name": "Always", "neverRestartExitCodes": [127]})
    namespace.create("patient", command=["/no/such"], restartPolicy={"name": "Always", "backoff": patient})
    at_once = {"initialSeconds": 0, "maxSeconds": 0}
    namespace.create("hasty", command=["/no/such"], restartPolicy={"name": "Always", "backoff": at_once})
    hasty = namespace.wait("hasty", lambda body: status(body).get("restartCount", 0) >= 2, "tells of its tries")
    assert condition(hasty, "Ready")["reason"] == "CrashLoopBackOff"
    namespace.change("hasty", desiredState="Stopped")

    body = namespace.wait("typo", because("RetryLimitReached"))
    assert (status(body)["restartCount"], status(body)["exitCode"]) == (2, 127)
    told = [(run["restart"], run["exitCode"], run["reason"]) for run in status(body)["history"]]
    assert told == [(number, 127, "CommandNotFound") for number in (2, 1, 0)]
    assert "/no/such" in condition(body, "Ready")["message"]
    assert status(namespace.wait("final", because("RestartExcluded")))["restartCount"] == 0
    waits = namespace.wait("patient", because("CrashLoopBackOff"))
    assert status(waits)["state"] == "Restarting"

    agent.kill()
    agent.start()
    namespace.sleeper("after")
    namespace.running("after")
    for name, before in (("typo", body), ("patient", waits)):
        assert status(namespace.get(name)) == status(before), "another agent begins nothing anew"
    namespace.change("patient", command=["sleep", "1000000"])
    namespace.running("patient")


@pytest.mark.feature("L10")
def test_an_annotation_restarts_a_container_once(namespace: Namespace) -> None:
    namespace.sleeper("web")
    first = namespace.running("web")

    namespace.patch("web", {"metadata": {"annotations": {"tallyman.dev/restartedAt": "2026-01-01T00:00:00Z"}}})
    body = namespace.wait("web", _has_restarted(1))

    assert container_id(body) == container_id(first)
    assert status(body)["pid"] != status(first)["pid"]
    assert status(body)["restartedAt"] == "2026-01-01T00:00:00Z"


def _ask(namespace: Namespace, when: str) -> None:
    namespace.patch("web", {"metadata": {"annotations": {"tallyman.dev/restartedAt": when}}})


def _trapping(namespace: Namespace, shared: Path, trap: str, grace: int) -> Body:
    """A container that has its trap set, surely, and writes down each of its runs."""
    namespace.shell(
        "web",
        f"{trap}; echo run >> /shared/runs; while :; do sleep 0.02; done",
        terminationGracePeriodSeconds=grace,
        mounts=[{"mountPath": "/shared", "hostPath": {"path": str(shared)}}],
    )
    body = namespace.running("web")
    _wait_runs(shared, 1)
    return body


def _wait_runs(shared: Path, count: int) -> None:
    runs = shared / "runs"
    waiting.until(
        lambda: runs.exists() and len(runs.read_text().splitlines()) == count, f"run {count} has its trap set"
    )


@pytest.mark.feature("L10", "L7")
def test_a_restart_on_request_is_obeyed_within_the_grace_period(namespace: Namespace, node: Node, shared: Path) -> None:
    first = _trapping(namespace, shared, "trap 'exit 7' TERM", grace=600)

    _ask(namespace, "2026-01-01T00:00:00Z")
    body = namespace.wait("web", _has_restarted(1))
    _wait_runs(shared, 2)

    assert [(run["restart"], run["exitCode"]) for run in status(body)["history"]] == [(0, 7)]
    assert container_id(body) == container_id(first)
    assert namespace.events("web", "Killing") == []
    assert [one.id for one in node.of(namespace.name, "web")] == [container_id(body)]


@pytest.mark.feature("L10", "L7")
def test_who_ignores_the_request_for_a_restart_is_killed_after_the_grace_period(
    namespace: Namespace, shared: Path
) -> None:
    _trapping(namespace, shared, "trap '' TERM", grace=1)

    _ask(namespace, "2026-01-01T00:00:00Z")
    body = namespace.wait("web", _has_restarted(1))
    _wait_runs(shared, 2)

    [run] = status(body)["history"]
    assert (run["restart"], run["exitCode"]) == (0, 137)
    assert _seconds_between(status(body)["startedAt"], status(namespace.get("web"))["history"][0]["startedAt"]) >= 1
    waiting.until(lambda: namespace.events("web", "Killing"), "the kill is told")


@pytest.mark.feature("L10", "L8")
@pytest.mark.parametrize(("trap", "grace", "code"), [("trap 'exit 7' TERM", 600, 7), ("trap '' TERM", 1, 137)])
def test_a_paused_container_is_restarted_on_request_and_paused_again(
    namespace: Namespace, shared: Path, trap: str, grace: int, code: int
) -> None:
    first = _trapping(namespace, shared, trap, grace)
    namespace.change("web", desiredState="Paused")
    namespace.wait("web", in_state("Paused"))

    _ask(namespace, "2026-01-01T00:00:00Z")
    body = namespace.wait("web", lambda body: in_state("Paused")(body) and status(body)["restartCount"] == 1)

    assert status(body)["pid"] != status(first)["pid"]
    assert [run["exitCode"] for run in status(body)["history"]] == [code]
    namespace.change("web", desiredState="Running")
    assert status(namespace.running("web"))["restartCount"] == 1
    _wait_runs(shared, 2)


@pytest.mark.feature("L10", "L7")
def test_what_its_user_has_stopped_is_not_started_by_a_request(namespace: Namespace, shared: Path) -> None:
    _trapping(namespace, shared, "trap 'exit 7' TERM", grace=600)
    namespace.patch(
        "web",
        {
            "metadata": {"annotations": {"tallyman.dev/restartedAt": "2026-01-01T00:00:00Z"}},
            "spec": {"desiredState": "Stopped"},
        },
    )

    body = namespace.wait("web", because("Stopped"))
    assert (status(body)["state"], status(body)["restartCount"]) == ("Exited", 0)
    namespace.change("web", desiredState="Running")
    assert status(namespace.running("web"))["restartCount"] == 1
    _wait_runs(shared, 2)


@pytest.mark.feature("L12")
def test_a_container_that_is_to_go_goes_after_its_exit(namespace: Namespace, node: Node) -> None:
    namespace.shell("job", "exit 0", autoRemove=True)
    namespace.create("typo", command=["/no/such"], autoRemove=True)
    namespace.create("nobody", command=["true"], securityContext={"user": "no-such-user"}, autoRemove=True)

    namespace.wait_gone("job", "typo", "nobody")
    assert node.containers(namespace.name) == {}
    waiting.until(lambda: namespace.events("nobody", "UserNotFound"), "why it could not be made")
