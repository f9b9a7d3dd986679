"""The chart's generated files: templates of the CRDs, values.schema.json and the table of its README.

Helm never upgrades what lies in a chart's own crds/ directory, so the CRDs are templates: upgraded with the chart, and kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from controller.api.crd import structural
from controller.api.policy import PolicyRule
from hack import chart_values

CRDS: Final = Path("crds")
CHART: Final = Path("helm") / "tallyman"
VALUES: Final = CHART / "values.yaml"
README: Final = CHART / "README.md"
SCHEMA: Final = CHART / "values.schema.json"
_TEMPLATE: Final = """\
{{{{- /* Generated from crds/{name} by `python -m hack.generate`; do not edit. */}}}}
{{{{- if .Values.crds.enabled }}}}
{head}
  labels:
    {{{{- include "tallyman.labels" (dict "context" $ "component" "crds") | nindent 4 }}}}
  {{{{- with include "tallyman.crdAnnotations" . }}}}
  annotations:
    {{{{- . | nindent 4 }}}}
  {{{{- end }}}}
{body}
{{{{- end }}}}
"""


def generated(root: Path, made: Mapping[Path, str]) -> dict[Path, str]:
    """Every generated file of the chart; `made` has the CRDs, each of which becomes a template."""
    text = (root / VALUES).read_text()
    crds = {path.name: manifest for path, manifest in made.items() if path.parent == CRDS}
    return {
        **{template_path(name): crd_template(name, manifest) for name, manifest in crds.items()},
        SCHEMA: schema(text),
        README: with_table((root / README).read_text(), text),
    }


def crd_template(name: str, manifest: str) -> str:
    """The template of one CRD; `manifest` is what crds/ has under that name."""
    manifest = "".join(line for line in manifest.splitlines(keepends=True) if not line.startswith("#"))
    head, _, body = manifest.partition("\nspec:\n")
    if not body or not re.search(r"^metadata:\n  name: \S+$", head, re.MULTILINE):
        raise ValueError(f"crds/{name} does not begin as this project's CRDs do: apiVersion, kind, metadata.name, spec")
    return _TEMPLATE.format(name=name, head=_literal(head), body=_literal(f"spec:\n{body.rstrip()}"))


def _literal(text: str) -> str:
    """Text that is to come out of a template as it is."""
    return text.replace("{{", '{{ "{{" }}')


def template_path(name: str) -> Path:
    """Where the template of a CRD lies; the chart's templates are sorted by their names."""
    return CHART / "templates" / f"crd-{name.partition('_')[2]}"


def values(text: str) -> list[chart_values.Value]:
    """The values that a values file describes."""
    return chart_values.read(text, {"policy-rules": {"items": _closed(structural(PolicyRule, filled_in=False))}})


def schema(text: str) -> str:
    """values.schema.json for a values file."""
    return chart_values.schema(values(text), "Values of the chart of Tallyman")


def with_table(readme: str, text: str) -> str:
    """The chart's README with its table of values as it should be."""
    table = chart_values.table(values(text))
    return re.sub(
        r"(<!-- values -->\n).*?(<!-- end -->)", lambda found: f"{found[1]}{table}\n{found[2]}", readme, flags=re.DOTALL
    )


def _closed(schema: Any) -> Any:
    """The schema with every object closed: a misspelt word in a policy must not pass unnoticed."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    return closed | {"additionalProperties": False} if "properties" in closed else closed
