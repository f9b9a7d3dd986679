"""Health checks: what a user declares, waits for and reads, and what the agent does about a container that is not well."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.audit import Audit
from tests.e2e.cluster import Namespace
from tests.e2e.node import Node
from tests.e2e.objects import Body, condition, container_id, has_exited, in_state, is_running, status, up_to_date

pytestmark = pytest.mark.feature("L14")
QUICK = {"intervalSeconds": 0.1, "timeoutSeconds": 5, "retries": 2}


def _asking_for(file: str, **more: Any) -> dict[str, Any]:
    """A check that succeeds while there is a file in the shared directory."""
    return {"exec": {"command": ["cat", f"/shared/{file}"]}, **QUICK, **more}


def _sharing(shared: Path) -> list[Mapping[str, Any]]:
    return [{"mountPath": "/shared", "hostPath": {"path": str(shared)}}]


def _health(body: Body) -> str:
    return str((status(body).get("health") or {}).get("status", ""))


def _is(word: str) -> Any:
    return lambda body: up_to_date(body) and _health(body) == word


def test_ready_waits_for_health_and_follows_it(namespace: Namespace, shared: Path) -> None:
    namespace.sleeper("web", mounts=_sharing(shared), healthCheck=_asking_for("well", startPeriodSeconds=600))
    starting = namespace.wait("web", _is("Starting"))
    assert (condition(starting, "Ready")["status"], condition(starting, "Ready")["reason"]) == (
        "False",
        "HealthStarting",
    )
    assert condition(starting, "Reconciling")["status"] == "True"
    assert status(starting)["state"] == "Running"

    (shared / "well").write_text("quite well\n")
    namespace.kubectl("wait", "--for=condition=Healthy", "container/web", "--timeout=30s")
    healthy = namespace.running("web")
    assert condition(healthy, "Healthy")["reason"] == "Healthy"
    log = status(healthy)["health"]["log"]
    assert (log[-1]["exitCode"], log[-1]["output"]) == (0, "quite well")
    assert 1 <= len(log) <= 5
    assert namespace.kubectl("get", "container", "web", "-o", "wide").split().count("Healthy") == 1

    (shared / "well").unlink()
    ill = namespace.wait("web", _is("Unhealthy"))
    ready = condition(ill, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Unhealthy")
    assert (
        ready["message"] == "2 health checks in a row failed: cat: can't open '/shared/well': No such file or directory"
    )
    assert status(ill)["health"]["failingStreak"] == 2
    assert (status(ill)["state"], condition(ill, "Stalled")["status"]) == ("Running", "False")
    waiting.until(lambda: namespace.events("web", "Unhealthy"), "the event")
    assert namespace.events("web", "Unhealthy")[0].type == "Warning"

    (shared / "well").touch()
    again = namespace.running("web")
    assert status(again)["pid"] == status(starting)["pid"]


def test_a_server_on_the_containers_own_loopback_is_checked_without_a_tool(namespace: Namespace) -> None:
    server = ["httpd", "-f", "-p", "127.0.0.1:80", "-h", "/www"]
    namespace.create("http", command=server, healthCheck={"httpGet": {"port": 80, "path": "/index.html"}, **QUICK})
    namespace.create("tcp", command=server, healthCheck={"tcpSocket": {"port": 80}, **QUICK})
    namespace.create("lost", command=server, healthCheck={"httpGet": {"port": 80, "path": "/lost"}, **QUICK})
    namespace.wait_all(["http", "tcp"], is_running)
    assert "404" in condition(namespace.wait("lost", _is("Unhealthy")), "Healthy")["message"]


def test_the_status_is_written_when_the_health_changes_and_not_for_each_check(
    namespace: Namespace, audit: Audit, agent: AgentProcess
) -> None:
    namespace.sleeper("web", healthCheck={"exec": {"command": ["date", "+%N"]}, **QUICK})
    before = namespace.wait("web", _is("Healthy"))
    checks = _checks(agent)
    waiting.until(lambda: _checks(agent) >= checks + 10, "ten more checks")
    namespace.patch("web", {"metadata": {"labels": {"touched": "yes"}}})
    checks = _checks(agent)
    waiting.until(lambda: _checks(agent) >= checks + 5, "five more checks")
    assert namespace.get("web")["status"] == before["status"]


def _checks(agent: AgentProcess) -> float:
    lines = agent.page("/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("tallyman_health_checks_total{"))


def test_an_unhealthy_container_is_restarted_with_back_off(namespace: Namespace, shared: Path) -> None:
    namespace.sleeper(
        "web",
        mounts=_sharing(shared),
        healthCheck=_asking_for("well", onFailure="Restart"),
        restartPolicy={"backoff": {"initialSeconds": 0.3, "factor": 4, "maxSeconds": 100}},
    )
    namespace.wait("web", lambda body: (status(body).get("restartCount") or 0) >= 2)
    (shared / "well").touch()
    body = namespace.running("web")
    runs = status(body)["history"]
    assert {run["reason"] for run in runs} == {"Unhealthy"}
    assert _health(body) == "Healthy"
    assert namespace.events("web", "Restarting")


def test_an_unhealthy_container_is_stopped_and_stays_so(namespace: Namespace, node: Node, agent: AgentProcess) -> None:
    bad = {"exec": {"command": ["false"]}, **QUICK, "onFailure": "Stop"}
    namespace.sleeper("web", healthCheck=bad, restartPolicy={"name": "Always"})
    ended = namespace.wait("web", has_exited)
    ready = condition(ended, "Ready")
    assert (ready["reason"], condition(ended, "Stalled")["status"]) == ("Unhealthy", "True")
    assert "health" not in status(ended)
    assert condition(ended, "Healthy")["status"] == ""
    agent.kill()
    agent.start()
    namespace.sleeper("other")  # once this runs, the agent has looked at everything
    namespace.running("other")
    assert namespace.get("web")["status"] == ended["status"]
    namespace.patch("web", {"metadata": {"annotations": {"tallyman.dev/restartedAt": "now"}}})
    again = namespace.wait("web", lambda body: has_exited(body) and status(body)["restartCount"] == 1)
    assert container_id(again) == container_id(ended)


def test_an_unhealthy_container_is_killed_and_its_policy_decides(namespace: Namespace) -> None:
    bad = {"exec": {"command": ["false"]}, **QUICK, "onFailure": "Kill"}
    namespace.sleeper("never", healthCheck=bad, terminationGracePeriodSeconds=600)
    namespace.sleeper("always", healthCheck=bad, restartPolicy={"name": "Always"})
    ended = status(namespace.wait("never", has_exited))
    assert (ended["exitCode"], ended["signal"]) == (137, 9)
    assert condition(namespace.get("never"), "Ready")["reason"] == "Unhealthy"
    namespace.wait("always", lambda body: (status(body).get("restartCount") or 0) >= 1)


def test_another_agent_goes_on_with_what_was_known_and_writes_nothing(
    namespace: Namespace, agent: AgentProcess, shared: Path
) -> None:
    (shared / "well").touch()
    namespace.sleeper("well", mounts=_sharing(shared), healthCheck=_asking_for("well"))
    namespace.sleeper("ill", mounts=_sharing(shared), healthCheck=_asking_for("missing"))
    before = {"well": namespace.running("well"), "ill": namespace.wait("ill", _is("Unhealthy"))}
    agent.kill()
    agent.start()
    waiting.until(lambda: _checks(agent) >= 10, "ten checks")
    assert {name: namespace.get(name)["status"] for name in before} == {n: b["status"] for n, b in before.items()}


def test_a_paused_container_is_not_checked(namespace: Namespace, agent: AgentProcess) -> None:
    namespace.sleeper("web", healthCheck={"exec": {"command": ["true"]}, **QUICK})
    before = namespace.running("web")
    namespace.change("web", desiredState="Paused")
    paused = namespace.wait("web", in_state("Paused"))
    assert "health" not in status(paused)
    checks = _checks(agent)
    time.sleep(1)
    assert _checks(agent) <= checks + 1
    namespace.change("web", desiredState="Running")
    assert status(namespace.running("web"))["pid"] == status(before)["pid"]


def test_a_check_may_be_changed_taken_away_and_added_in_a_running_container(namespace: Namespace) -> None:
    namespace.sleeper("web", healthCheck={"exec": {"command": ["false"]}, **QUICK})
    ill = namespace.wait("web", _is("Unhealthy"))
    namespace.change("web", healthCheck={"exec": {"command": ["true"]}})
    namespace.running("web")
    namespace.change("web", healthCheck=None)
    without = namespace.wait("web", lambda body: is_running(body) and not _health(body))
    assert condition(without, "Healthy")["status"] == ""
    namespace.change("web", healthCheck={"tcpSocket": {"port": 9}, **QUICK})
    namespace.wait("web", _is("Unhealthy"))
    assert status(namespace.get("web"))["pid"] == status(ill)["pid"]
