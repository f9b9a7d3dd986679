"""Health checks: what a user declares, waits for and reads, and what the agent does about a container that is not well."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.audit import Audit
from tests.e2e.cluster import Namespace
from tests.e2e.objects import (
    Body,
    because,
    condition,
    container_id,
    has_exited,
    in_state,
    is_running,
    life,
    status,
    up_to_date,
)
from tests.e2e.pages import value

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


def test_a_check_that_changes_nothing_is_not_written(namespace: Namespace, audit: Audit, agent: AgentProcess) -> None:
    namespace.sleeper("well", healthCheck={"exec": {"command": ["cat", "/proc/uptime"]}, **QUICK})
    namespace.sleeper("ill", healthCheck={"exec": {"command": ["sh", "-c", "cat /proc/uptime; exit 1"]}, **QUICK})
    before = {"well": namespace.running("well"), "ill": namespace.wait("ill", _is("Unhealthy"))}
    writes = _status_writes(audit, namespace)
    _until_checked(agent, 20)
    for name in before:
        namespace.patch(name, {"metadata": {"labels": {"touched": "yes"}}})
    _until_checked(agent, 10)
    assert {name: namespace.get(name)["status"] for name in before} == {n: b["status"] for n, b in before.items()}
    assert _status_writes(audit, namespace) == writes


def _status_writes(audit: Audit, namespace: Namespace) -> int:
    return sum(write.resource == "containers/status" for write in audit.by_agent(namespace.name))


def _until_checked(agent: AgentProcess, times: int) -> None:
    before = _checks(agent)
    waiting.until(lambda: _checks(agent) >= before + times, f"{times} more checks")


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


def test_an_unhealthy_container_is_stopped_and_stays_so(namespace: Namespace, agent: AgentProcess) -> None:
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
    _until_checked(agent, 10)
    assert {name: namespace.get(name)["status"] for name in before} == {n: b["status"] for n, b in before.items()}


def test_what_does_not_run_is_not_checked(namespace: Namespace, shared: Path) -> None:
    for name in ("web", "other"):
        noting = ["sh", "-c", f"echo >> /shared/{name}"]
        namespace.sleeper(name, mounts=_sharing(shared), healthCheck={"exec": {"command": noting}, **QUICK})
    before = namespace.running("web")
    namespace.change("web", desiredState="Paused")
    paused = namespace.wait("web", in_state("Paused"))
    assert "health" not in status(paused)
    _rests(shared)
    namespace.change("web", desiredState="Running")
    assert status(namespace.running("web"))["pid"] == status(before)["pid"]
    namespace.change("web", desiredState="Stopped")
    namespace.wait("web", has_exited)
    _rests(shared)


def _rests(shared: Path) -> None:
    """While the other one is checked ten times, this one is not."""
    web, other = shared / "web", shared / "other"
    noted, since = web.stat().st_size, other.stat().st_size
    waiting.until(lambda: other.stat().st_size >= since + 10, "ten checks of the other")
    assert web.stat().st_size == noted


def test_pausing_again_and_again_while_checks_start_does_no_harm(namespace: Namespace) -> None:
    namespace.sleeper("web", healthCheck={"exec": {"command": ["true"]}, "intervalSeconds": 0.001})
    before = namespace.running("web")
    for _ in range(5):
        namespace.change("web", desiredState="Paused")
        namespace.wait("web", in_state("Paused"))
        namespace.change("web", desiredState="Running")
        namespace.running("web")
    assert life(namespace.running("web")) == life(before)


def test_checks_that_hang_or_print_ten_megabytes_harm_nobody(namespace: Namespace, agent: AgentProcess) -> None:
    noisy = ["sh", "-c", "echo first; yes | head -c 10000000; exit 4"]
    namespace.sleeper("hanging", healthCheck={"exec": {"command": ["sleep", "4444"]}, **QUICK, "timeoutSeconds": 0.5})
    hanging = namespace.wait("hanging", _is("Unhealthy"))
    last = status(hanging)["health"]["log"][-1]
    assert (last["exitCode"], last["output"]) == (-1, "not done within 0.5 s")
    before = value(agent, "process_resident_memory_bytes")
    namespace.sleeper("noisy", healthCheck={"exec": {"command": noisy}, **QUICK, "timeoutSeconds": 60, "retries": 8})
    log = status(namespace.wait("noisy", _is("Unhealthy")))["health"]["log"]
    assert [one["exitCode"] for one in log] == [4] * 5
    assert all(one["output"].startswith("first\ny\n") and len(one["output"]) <= 1024 for one in log)
    assert value(agent, "process_resident_memory_bytes") - before < 40e6, "eight outputs of 10 MB are not kept"
    pids = {name: status(namespace.get(name))["pid"] for name in ("hanging", "noisy")}
    assert all(pids.values())
    namespace.delete("hanging")  # in the middle of a check
    namespace.wait_gone("hanging")


def test_checks_whose_start_hangs_have_failed_and_hold_up_no_others(namespace: Namespace, shared: Path) -> None:
    (shared / "well").touch()
    names = [f"hanging-{number}" for number in range(6)]
    for name in names:  # whatever appears besides the first process is stopped, most often before it is the command
        stops_all = "while :; do kill -STOP -1; usleep 5000; done"
        namespace.shell(name, stops_all, healthCheck={"exec": {"command": ["true"]}, **QUICK, "retries": 1})
    namespace.sleeper("web", mounts=_sharing(shared), healthCheck=_asking_for("well"))
    found = namespace.wait_all(names, _is("Unhealthy")).values()
    told = Counter(condition(body, "Healthy")["message"] for body in found)
    # One that was the command already when it was stopped has started, and is as stuck.
    assert told.keys() <= {f"the health check failed: not {what} within 5 s" for what in ("started", "done")}
    assert told["the health check failed: not started within 5 s"] > 0
    namespace.wait("web", _is("Healthy"))
    (shared / "well").unlink()
    namespace.wait("web", _is("Unhealthy"))
    (shared / "well").touch()
    namespace.wait("web", _is("Healthy"))
    assert {_health(namespace.get(name)) for name in names} == {"Unhealthy"}


@pytest.mark.feature("L13", "L14")
def test_what_depends_on_health_starts_with_it(namespace: Namespace, shared: Path) -> None:
    namespace.sleeper("db", mounts=_sharing(shared), healthCheck=_asking_for("well", startPeriodSeconds=600))
    namespace.sleeper("web", dependsOn=[{"name": "db", "condition": "Healthy"}])
    namespace.wait("db", _is("Starting"))
    namespace.wait("web", because("DependencyWaiting"))
    (shared / "well").touch()
    namespace.running("web")
    assert _health(namespace.get("db")) == "Healthy"


class _Health(grpc.GenericRpcHandler):
    """A server of the protocol on the node, by the bytes of its specification: SERVING, whatever is asked."""

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if details.method != "/grpc.health.v1.Health/Check":
            return None
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"\x08\x01")


def test_a_grpc_server_is_checked_without_a_tool(namespace: Namespace) -> None:
    server = grpc.server(ThreadPoolExecutor(1), handlers=[_Health()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        check = {"grpc": {"port": port}, **QUICK}
        namespace.sleeper("host", network={"mode": "host"}, healthCheck=check)
        namespace.sleeper("own", healthCheck=check)
        namespace.running("host")
        assert "refused" in condition(namespace.wait("own", _is("Unhealthy")), "Healthy")["message"]
    finally:
        server.stop(None).wait()


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
