"""Prometheus's text format, read by Prometheus's own parser."""

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.agent_process import AgentProcess


def families(agent: AgentProcess) -> dict[str, Metric]:
    """The agent's metrics by family."""
    code, text = agent.page("/metrics")
    assert code == 200
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(agent: AgentProcess, sample: str, **labels: str) -> float:
    """One sample's value; 0 when there is none of these labels."""
    found = [
        one.value
        for family in families(agent).values()
        for one in family.samples
        if one.name == sample and labels.items() <= one.labels.items()
    ]
    return sum(found)
