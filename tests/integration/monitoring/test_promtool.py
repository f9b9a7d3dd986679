"""Prometheus's own tool accepts the alerts, and they fire and do not fire as their tests say."""

from pathlib import Path

import pytest

from hack import lab
from hack.monitoring_tables import RULES

pytestmark = pytest.mark.feature("K5")
TESTS = sorted((Path(__file__).parents[2] / "rules").glob("*.yaml"))


def test_the_alerts_are_a_rule_file_without_duplicates() -> None:
    assert "SUCCESS" in lab.promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.stem))
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    assert "SUCCESS" in lab.promtool("test", "rules", path)
