"""The chart as Helm renders it, without a cluster: the objects of a set of values."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parents[2] / "helm" / "tallyman"
RELEASE, NAMESPACE = "tallyman", "tallyman-system"
SCENARIOS = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
"""The values in ci/, one file a scenario, by the scenario's name."""
Manifest = dict[str, Any]


def values_of(scenario: str) -> dict[str, Any]:
    """The values of a scenario."""
    return dict(yaml.safe_load(SCENARIOS[scenario].read_text()) or {})


@dataclass(frozen=True)
class Rendered:
    """What a set of values comes to."""

    objects: tuple[Manifest, ...]
    notes: str

    def of(self, kind: str) -> list[Manifest]:
        """All objects of a kind."""
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str, name: str = "") -> Manifest:
        """The object of a kind, or the one of a kind and name."""
        [found] = [one for one in self.of(kind) if name in ("", one["metadata"]["name"])]
        return found

    def container(self, kind: str) -> Manifest:
        """The container in the Pods of the DaemonSet, or of the Deployment."""
        [found] = self.one(kind)["spec"]["template"]["spec"]["containers"]
        return dict(found)


def render(values: Mapping[str, Any] | None = None, chart: Path = CHART) -> Rendered:
    """Render with Helm; raises `helm_python.HelmError` as Helm does."""
    with helm_python.Chart.load(chart) as loaded:
        files = loaded.render(dict(values or {}), name=RELEASE, namespace=NAMESPACE)
    notes = "".join(text for path, text in files.items() if path.endswith("NOTES.txt"))
    texts = [text for path, text in sorted(files.items()) if not path.endswith("NOTES.txt")]
    return Rendered(tuple(one for text in texts for one in yaml.safe_load_all(text) if one), notes)


def scenario(name: str) -> Rendered:
    """Render a scenario."""
    return render(values_of(name))
