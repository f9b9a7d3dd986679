"""What the agent logs of a container's life: each step once, in facts that a machine can read, and nothing that the process printed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Namespace
from tests.e2e.objects import has_exited, status

SECRET = "hunter2"
LIFE = f"""
    echo {SECRET}
    if [ ! -e /shared/ran ]; then touch /shared/ran; exit 3; fi
    trap 'echo {SECRET} once more; exit 4' TERM
    touch /shared/ready; while :; do sleep 0.05; done
"""
QUICK = {"initialSeconds": 0.1, "factor": 1, "maxSeconds": 0.1}
PULL = ("Pulling", "Pulled")


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    return {"TALLYMAN_LOG_FORMAT": "json"}


def _about(agent: AgentProcess, namespace: Namespace) -> list[dict[str, Any]]:
    """The lines about objects of the namespace."""
    lines = [json.loads(line) for line in agent.log.splitlines()]
    return [line for line in lines if line.get("namespace") == namespace.name]


def _news(agent: AgentProcess, namespace: Namespace) -> list[str]:
    lines = _about(agent, namespace)
    return [line["reason"] for line in lines if line["event"] == "news" and line["reason"] not in PULL]


@pytest.mark.feature("L19")
def test_each_step_of_a_life_is_logged_once_with_its_reason(
    namespace: Namespace, agent: AgentProcess, shared: Path
) -> None:
    mounts = [{"mountPath": "/shared", "hostPath": {"path": str(shared)}}]
    policy = {"name": "OnFailure", "backoff": QUICK}
    namespace.shell("web", LIFE, restartPolicy=policy, mounts=mounts, terminationGracePeriodSeconds=600)
    namespace.wait("web", lambda body: status(body).get("restartCount") == 1 and status(body)["state"] == "Running")
    waiting.until((shared / "ready").exists, "its trap set")
    namespace.change("web", desiredState="Stopped")
    namespace.wait("web", has_exited)
    namespace.delete("web")
    namespace.wait_gone("web")
    waiting.until(lambda: "Removed" in _news(agent, namespace), "its end logged", seen=lambda: _news(agent, namespace))

    life = ["Created", "Started", "Error", "Started", "Stopping", "Stopped", "Removed"]
    assert [reason for reason in _news(agent, namespace) if reason != "CrashLoopBackOff"] == life
    for line in _about(agent, namespace):
        assert line["name"] == "web"
        assert {"timestamp", "level", "logger"} <= line.keys()
    steps = [line["action"] for line in _about(agent, namespace) if line["event"] == "done"]
    for action, times in {
        "CreateContainer": 1,
        "StartContainer": 2,
        "RecordExit": 2,
        "SignalStop": 1,
        "RemoveContainer": 1,
    }.items():
        assert steps.count(action) == times, action
    assert SECRET not in agent.log
