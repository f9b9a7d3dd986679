"""What the tests of health checks share: a busybox image, a prober, and containers with a network of their own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from controller.agent.checks.prober import Prober
from controller.agent.checks.target import Target
from controller.api.container import HealthCheck
from controller.containerd.client import Containerd
from controller.containerd.pull.image import Image
from tests.integration.containerd.running import make_box

Start = Callable[[str], Awaitable[Target]]


@pytest.fixture
async def prober(client: Containerd, tmp_path: Path) -> AsyncIterator[Prober]:
    made = Prober(client, tmp_path / "checks")
    made.prepare()
    yield made
    assert list((tmp_path / "checks").iterdir()) == [], "a check leaves nothing behind"
    made.close()


@pytest.fixture
def start(client: Containerd, busybox: Image) -> Start:
    """Start a container that runs a shell script, with a loopback interface in a network of its own."""

    async def started(script: str) -> Target:
        box = await make_box(client, busybox, "sh", "-c", script)
        return Target(box.id, await box.start(), "shop")

    return started


def check(**fields: Any) -> HealthCheck:
    """A health check by its fields on the wire."""
    return HealthCheck.model_validate({"timeoutSeconds": 10, **fields})
