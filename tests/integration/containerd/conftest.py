"""What only the tests of the containerd room need: a registry with faults."""

from collections.abc import AsyncIterator

import pytest

from hack.lab import registry_daemon
from tests.integration.containerd.faulty_registry import FaultyRegistry


@pytest.fixture
async def faulty(registry: registry_daemon.Registry) -> AsyncIterator[FaultyRegistry]:
    """A proxy before the registry which does as the test says."""
    async with FaultyRegistry(registry.url) as proxy:
        yield proxy
