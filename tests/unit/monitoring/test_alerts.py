"""The alerts are complete, ask for metrics that there are, have a runbook each, and are tested."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.api.conditions import ConditionStatus, ConditionType
from controller.api.container import ContainerState
from controller.api.reasons import Reason
from hack import monitoring_tables
from tests import promql

pytestmark = pytest.mark.feature("K5")
ROOT = Path(__file__).parents[3]
RUNBOOKS = ROOT / "docs/runbooks"
TESTS = sorted((ROOT / "tests/rules").glob("*.yaml"))
ALERTS = {alert["alert"]: alert for alert in monitoring_tables.alerts()}
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
WORDS: dict[str, set[str]] = {
    "reason": set(Reason),
    "state": set(ContainerState),
    "condition": set(ConditionType),
    "status": {status.lower() for status in ConditionStatus},
}
"""What may be asked for by these labels."""
every = pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)


def _checks() -> list[dict[str, Any]]:
    files = [yaml.safe_load(path.read_text()) for path in TESTS]
    return [check for file in files for test in file["tests"] for check in test["alert_rule_test"]]


@every
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert re.fullmatch(r"Tallyman[A-Z][A-Za-z]+", alert["alert"])
    assert set(alert) <= {"alert", "expr", "for", "labels", "annotations"}
    assert set(alert["labels"]) == {"severity"}
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{alert['alert']}.md"
    for text in (alert["annotations"]["summary"], alert["annotations"]["description"]):
        assert text.endswith(".")
        assert "\n" not in text
    assert "{{" not in alert["annotations"]["summary"], "a summary is the same for all"


@every
def test_an_alert_asks_for_metrics_and_labels_that_there_are(alert: dict[str, Any]) -> None:
    assert promql.problems(alert["expr"]) == []


@every
def test_an_alert_asks_for_words_that_there_are(alert: dict[str, Any]) -> None:
    for selector in promql.selectors(alert["expr"]):
        for label, value in selector.matchers:
            assert set(value.split("|")) <= WORDS.get(label, set(value.split("|"))), f"{selector.text}: {label}"


@every
def test_an_alert_has_a_runbook(alert: dict[str, Any]) -> None:
    text = (RUNBOOKS / f"{alert['alert']}.md").read_text()
    assert text.startswith(f"# {alert['alert']}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (RUNBOOKS / link).resolve().is_file(), link


def test_every_runbook_has_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(ALERTS)


@every
def test_an_alert_is_tested_to_fire_and_not_to_fire(alert: dict[str, Any]) -> None:
    expected = [check["exp_alerts"] for check in _checks() if check["alertname"] == alert["alert"]]
    assert any(expected), "no test in tests/rules in which it fires"
    assert not all(expected), "no test in tests/rules in which it does not"


def test_every_tested_alert_is_there() -> None:
    assert {check["alertname"] for check in _checks()} == set(ALERTS)
