"""The output of containers: kept on the node, complete whatever happens to the agent, and told when a process failed."""

import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from controller.agent.streams import logs
from tests import logged
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Namespace
from tests.e2e.objects import Body, condition, container_id, has_exited, in_state, is_running, status

LINES = 100_000
AWAY_SECONDS = 60.0
"""An absence as long as a node's update of its agent may take; it is what the test is about."""
PADDING = "x" * 100
"""So that the pipe is full long before all lines are written, and the container waits while there is no agent."""
PAUSE = "[ $((i % 1000)) = 0 ] && sleep 0.02"
COUNT = f"i=0; while [ $i -lt {LINES} ]; do echo $i {PADDING}; i=$((i+1)); {PAUSE}; done; sleep 1000000"
ALL = [f"{number} {PADDING}" for number in range(LINES)]


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def settings(log_dir: Path) -> Mapping[str, str]:
    return {"TALLYMAN_LOG_DIR": str(log_dir)}


def directory(log_dir: Path, body: Body) -> Path:
    meta = body["metadata"]
    return log_dir / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"


def lines(log_dir: Path, body: Body) -> list[str]:
    """All lines of the last run that are kept."""
    return logged.lines(directory(log_dir, body))


@pytest.mark.feature("X1", "L15")
def test_no_line_is_lost_or_repeated_when_the_agent_is_killed(
    namespace: Namespace, agent: AgentProcess, log_dir: Path
) -> None:
    namespace.shell("counter", COUNT, logging={"maxSize": "256Ki", "maxFiles": 100})
    body = namespace.running("counter")
    for _ in range(3):
        agent.kill()
        seen = len(lines(log_dir, body))
        assert seen < LINES
        # NB: killed again while it reads as fast as it can, long before it calls itself ready.
        agent.daemon.start(ready=lambda seen=seen: len(lines(log_dir, body)) > seen, timeout=60)  # type: ignore[misc]
    agent.kill()
    agent.start()
    waiting.until(lambda: len(lines(log_dir, body)) >= LINES, "all lines", seen=lambda: len(lines(log_dir, body)))

    assert lines(log_dir, body) == ALL
    assert len(logs.rotated(directory(log_dir, body) / "0.log")) > 3
    after = namespace.get("counter")
    assert (status(after)["pid"], status(after)["restartCount"]) == (status(body)["pid"], 0)


def waits_for_a_reader(pid: int) -> bool:
    """Whether a process is in the middle of a write into a full pipe."""
    return "pipe" in Path(f"/proc/{pid}/wchan").read_text()


@pytest.mark.feature("X1", "L15")
def test_a_container_that_prints_while_there_is_no_agent_for_a_minute_waits_unharmed(
    namespace: Namespace, agent: AgentProcess, log_dir: Path, shared: Path
) -> None:
    mounts = [{"mountPath": "/shared", "hostPath": {"path": str(shared)}}]
    namespace.shell("chatty", f"touch /shared/begun; {COUNT}", mounts=mounts, logging={"maxSize": "100Mi"})
    namespace.shell("quiet", "while :; do n=$((n+1)); echo $n >/shared/alive; sleep 0.1; done", mounts=mounts)
    body = namespace.wait_all(["chatty", "quiet"], is_running)["chatty"]
    agent.kill()
    back = time.monotonic() + AWAY_SECONDS
    seen, pid = len(lines(log_dir, body)), status(body)["pid"]
    waiting.until(lambda: waits_for_a_reader(pid), "its pipe is full")
    waiting.until(lambda: time.monotonic() >= back, "a minute has passed", seconds=2 * AWAY_SECONDS)
    assert waits_for_a_reader(pid)
    alive = (shared / "alive").read_text()
    waiting.until(lambda: (shared / "alive").read_text() not in ("", alive), "the quiet one goes on")
    assert len(lines(log_dir, body)) == seen < LINES
    agent.start()
    waiting.until(lambda: len(lines(log_dir, body)) >= LINES, "all lines")

    assert lines(log_dir, body) == ALL
    after = namespace.get("chatty")
    assert is_running(after)
    assert (status(after)["pid"], status(after)["restartCount"]) == (pid, 0)


@pytest.mark.feature("X1", "L11", "L15")
def test_last_words_wait_for_the_next_agent(namespace: Namespace, agent: AgentProcess, log_dir: Path) -> None:
    namespace.shell("web", "echo first; sleep 1; echo last words; exit 3")
    pid = status(namespace.running("web"))["pid"]
    agent.kill()
    waiting.until(lambda: not Path(f"/proc/{pid}").exists(), "the process has ended")
    agent.start()
    body = namespace.wait("web", has_exited)

    assert lines(log_dir, body) == ["first", "last words"]
    assert condition(body, "Ready")["message"].endswith("first\nlast words")


@pytest.mark.feature("L11")
def test_the_end_of_the_output_of_a_process_that_failed_is_told(namespace: Namespace, log_dir: Path) -> None:
    namespace.shell("failing", "for i in $(seq 200); do echo line $i; done; exit 3")
    namespace.shell("complaining", "echo 'no database' >&2; exit 3")
    namespace.shell("fine", "echo done")
    bodies = namespace.wait_all(["failing", "complaining", "fine"], has_exited)
    message = condition(bodies["failing"], "Ready")["message"]
    assert message.startswith("ended with exit code 3; last output:\nline 121\n")
    assert message.endswith("\nline 200")
    assert condition(bodies["complaining"], "Ready")["message"].endswith(":\nno database")
    assert "done" not in condition(bodies["fine"], "Ready")["message"]


@pytest.mark.feature("L4", "L11")
def test_a_program_that_the_kernel_can_not_run_is_explained(namespace: Namespace, shared: Path) -> None:
    program = shared / "program"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    mounts = [{"mountPath": "/shared", "hostPath": {"path": str(shared)}}]
    namespace.create("odd", command=["/shared/program"], mounts=mounts)
    body = namespace.wait("odd", has_exited)

    assert (status(body)["exitCode"], condition(body, "Ready")["reason"]) == (127, "CommandNotFound")
    assert "interpreter" in condition(body, "Ready")["message"]


@pytest.mark.feature("X1", "D5", "D6")
def test_logs_stay_when_a_container_is_replaced_and_go_with_its_object(namespace: Namespace, log_dir: Path) -> None:
    namespace.shell("web", "echo one; sleep 1000000")
    first = namespace.running("web")
    where = directory(log_dir, first)
    waiting.until(lambda: lines(log_dir, first) == ["one"], "the first line")
    namespace.change("web", command=["sh", "-c", "echo two; sleep 1000000"])
    namespace.wait("web", lambda body: is_running(body) and container_id(body) != container_id(first))
    waiting.until(lambda: lines(log_dir, first) == ["two"], "the second line")
    assert sorted(path.name for path in where.iterdir()) == ["0.log", "1.log"]

    namespace.change("web", desiredState="Stopped")
    namespace.wait("web", in_state("Exited"))
    namespace.change("web", desiredState="Running")
    namespace.running("web")
    waiting.until(lambda: sorted(path.name for path in where.iterdir()) == ["1.log", "2.log"], "the last two runs")

    namespace.delete("web")
    namespace.wait_gone("web")
    assert not where.exists()


@pytest.mark.feature("X1", "D5")
def test_how_much_is_kept_changes_in_place(namespace: Namespace, log_dir: Path) -> None:
    namespace.shell("web", "yes 'the same line again and again'", logging={"maxSize": "1Gi"})
    before = namespace.running("web")
    where = directory(log_dir, before)
    waiting.until(lambda: (where / "0.log").stat().st_size > 2**20, "a large log")
    namespace.change("web", logging={"maxSize": "64Ki", "maxFiles": 2})
    waiting.until(lambda: len(list(where.iterdir())) == 2, "the log is rotated")

    after = namespace.wait("web", is_running)
    assert container_id(after) == container_id(before)


@pytest.mark.feature("X1")
@pytest.mark.parametrize("driver", ["file", "none"])
def test_other_drivers(namespace: Namespace, log_dir: Path, driver: str) -> None:
    namespace.shell("web", "echo out; echo err >&2; exit 1", logging={"driver": driver})
    body = namespace.wait("web", has_exited)

    def kept() -> dict[str, list[str]]:
        return {path.name: sorted(path.read_text().split()) for path in log_dir.glob(f"{namespace.name}_*/*")}

    # With `file` the shim writes, and it may still be at it when the exit is known.
    expected = {"0.out": ["err", "out"]} if driver == "file" else {}
    waiting.until(lambda: kept() == expected, "what is kept", seen=kept)
    assert re.search("exit code 1", condition(body, "Ready")["message"])


@pytest.mark.feature("X1")
def test_a_terminal_is_captured(namespace: Namespace, log_dir: Path) -> None:
    namespace.shell("web", "test -t 1 && echo terminal", tty=True)
    body = namespace.wait("web", has_exited)

    assert lines(log_dir, body) == ["terminal\r"]


@pytest.mark.feature("X1", "K4")
def test_output_is_counted(namespace: Namespace, agent: AgentProcess) -> None:
    namespace.shell("web", "echo out; echo err >&2; sleep 1000000")
    namespace.running("web")
    for stream in ("stdout", "stderr"):
        line = re.compile(rf'^tallyman_container_output_lines_total{{stream="{stream}"}} [1-9]', re.MULTILINE)
        waiting.until(lambda line=line: line.search(agent.page("/metrics")[1]), stream)  # type: ignore[misc]
