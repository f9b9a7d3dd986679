"""The examples, applied as their reader does: each comes to what it is to show."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from hack import lab
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Namespace
from tests.e2e.conftest import Images
from tests.e2e.objects import Body, because, holds, in_state, is_running, status

EXAMPLES = Path(__file__).parents[2] / "examples"
REGISTRY = "localhost:5000"
"""The name under which the examples know the registry."""
NOTES = Path("/tmp/tallyman-notes")


@pytest.fixture
def as_of_make_up(images: Images, agent: AgentProcess) -> Iterator[None]:
    """The examples' images, under the examples' name for their registry; and the directory that one of them makes goes again."""
    address = images.registry.address
    lab.push(address, "busybox:latest", lab.busybox())
    lab.push(address, "hello:latest", lab.hello())
    directory = agent.directory / "registries" / REGISTRY
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "hosts.toml").write_text(f'server = "http://{address}"\n[host."http://{address}"]\n')
    was_there = NOTES.exists()
    yield
    if not was_there:
        shutil.rmtree(NOTES, ignore_errors=True)


def _has_succeeded_at_last(body: Body) -> bool:
    return in_state("Exited")(body) and (status(body)["restartCount"], status(body)["exitCode"]) == (2, 0)


def _is_healthy(body: Body) -> bool:
    return is_running(body) and holds(body, "Healthy")


COMES_TO: dict[str, dict[str, Callable[[Body], bool]]] = {
    "auto-remove": {},
    "crash-loop": {"crashing": because("CrashLoopBackOff")},
    "depends-on": {"database": _is_healthy, "migration": in_state("Exited"), "shop": is_running},
    "env-and-resources": {"worker": is_running},
    "health-check": {"web": _is_healthy},
    "hello": {"hello": is_running},
    "host-network": {"web-on-host": is_running},
    "hostpath": {"notes": is_running},
    "logging": {"chatty": is_running},
    "paused": {"frozen": in_state("Paused")},
    "restart-policy": {"flaky": _has_succeeded_at_last},
    "stopped": {"batch": because("Stopped")},
}
"""What each example comes to; where it comes to nothing, its objects go."""


@pytest.mark.feature("D1")
@pytest.mark.usefixtures("as_of_make_up")
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_example_comes_to_what_it_shows(namespace: Namespace, path: Path) -> None:
    namespace.kubectl("apply", "-f", str(path))

    names = [body["metadata"]["name"] for body in yaml.safe_load_all(path.read_text())]
    for name, has_come in COMES_TO[path.stem].items():
        namespace.wait(name, has_come)
    if not COMES_TO[path.stem]:
        namespace.wait_gone(*names)
