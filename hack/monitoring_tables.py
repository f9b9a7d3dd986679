"""The table of docs/monitoring.md: the alerts, from the rule file that the chart ships."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

RULES: Final = Path(__file__).parent.parent / "helm/tallyman/files/alerts.yaml"


def alerts() -> list[dict[str, Any]]:
    """Every alert, as the rule file has it."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def with_table(page: str) -> str:
    """The page with its table as it should be, between its marks."""
    table = "\n".join(_rows())
    return re.sub(r"(<!-- alerts -->\n).*?(<!-- end -->)", rf"\g<1>{table}\n\g<2>", page, flags=re.DOTALL)


def _rows() -> Iterator[str]:
    yield "| Alert | Severity | After | What it says |"
    yield "| --- | --- | --- | --- |"
    for alert in alerts():
        name, said = alert["alert"], alert["annotations"]["summary"]
        yield f"| [{name}](runbooks/{name}.md) | {alert['labels']['severity']} | {alert.get('for', 'at once')} | {said} |"
