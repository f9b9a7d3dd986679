"""Prometheus's text format, read by Prometheus's own parser."""

from typing import Protocol

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


class Pages(Protocol):
    """A process that shows pages."""

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of one."""


def families(process: Pages) -> dict[str, Metric]:
    """Its metrics by family."""
    code, text = process.page("/metrics")
    assert code == 200
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(process: Pages, sample: str, **labels: str) -> float:
    """One sample's value; 0 when there is none of these labels."""
    found = [
        one.value
        for family in families(process).values()
        for one in family.samples
        if one.name == sample and labels.items() <= one.labels.items()
    ]
    return sum(found)
