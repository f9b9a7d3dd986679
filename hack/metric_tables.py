"""Tables of metrics, made from their own help texts."""

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Metric

_OWN = "tallyman_"


def rows(registries: Sequence[CollectorRegistry], names: tuple[str, ...] = ("",)) -> Iterator[str]:
    """Our own metrics of some registries that begin with one of the names, by name; not those that every process has."""
    yield "| Metric | Type | Labels | Meaning |"
    yield "| --- | --- | --- | --- |"
    found = [(metric, registry) for registry in registries for metric in registry.collect()]
    for metric, registry in sorted(found, key=lambda one: one[0].name):
        if metric.name.startswith(_OWN) and metric.name.startswith(names):
            yield f"| `{exposed(metric)}` | {metric.type} | {_labels(registry, metric.name)} | {metric.documentation} |"


def exposed(metric: Metric) -> str:
    """The name as it is scraped."""
    return metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


def _labels(registry: CollectorRegistry, name: str) -> str:
    for collector in registry._collector_to_names:  # noqa: SLF001 - the library has no other way to them
        if getattr(collector, "_name", None) == name:
            return ", ".join(f"`{label}`" for label in getattr(collector, "_labelnames", ()))
    return ""
