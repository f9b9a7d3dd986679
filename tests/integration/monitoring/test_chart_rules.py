"""What the chart makes of the alerts is as good to Prometheus's own tool as their file is."""

from pathlib import Path

import pytest
import yaml

from hack import lab
from tests.chart.rendering import render

pytestmark = pytest.mark.feature("K5")


@pytest.mark.parametrize("manager", [True, False], ids=["with managers", "without"])
def test_the_chart_s_rules_are_a_rule_file_without_duplicates(tmp_path: Path, manager: bool) -> None:
    given = {"enabled": True, "runbookURL": "https://example.com/runbooks", "ruleLabels": {"team": "platform"}}
    rule = render({"prometheusRule": given, "manager": {"enabled": manager}}).one("PrometheusRule")
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rule["spec"]))
    assert "SUCCESS" in lab.promtool("check", "rules", "--lint=all", "--lint-fatal", path)
