"""The dashboards fit their frame, choose their data source by a variable, and ask for metrics that there are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hack import dashboards, monitoring_tables
from tests import promql

pytestmark = pytest.mark.feature("K5")
TEXTS = {path.stem: text for path, text in dashboards.generated().items()}
every = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
WIDTH = 24
VARIABLES = {
    "fleet": ["datasource", "cluster", "node", "namespace"],
    "node": ["datasource", "cluster", "node"],
    "container": ["datasource", "cluster", "node", "namespace", "container"],
    "manager": ["datasource", "cluster"],
}
ROOT = Path(__file__).parents[3]


def _cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    at = panel["gridPos"]
    return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}


def _sources(node: Any) -> list[Any]:
    """Every data source that is named anywhere."""
    if isinstance(node, list):
        return [found for one in node for found in _sources(one)]
    if not isinstance(node, dict):
        return []
    own = [node["datasource"]] if "datasource" in node else []
    return own + [found for one in node.values() for found in _sources(one)]


@every
def test_panels_fit_side_by_side_and_have_ids_of_their_own(text: str) -> None:
    panels = json.loads(text)["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        cells = _cells(panel)
        assert max(x for x, _ in cells) < WIDTH, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


@every
def test_no_data_source_is_named_but_by_the_variable(text: str) -> None:
    sources = _sources(json.loads(text))
    assert sources
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)


@every
def test_every_panel_has_a_title_and_a_unit_and_every_query_a_name(text: str) -> None:
    for panel in json.loads(text)["panels"]:
        assert panel["title"]
        if panel["type"] in {"stat", "timeseries"}:
            assert panel["fieldConfig"]["defaults"]["unit"]
        references = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(references)) == len(references)


@pytest.mark.parametrize("name", VARIABLES)
def test_variables_are_asked_for_from_the_large_to_the_small(name: str) -> None:
    assert [one["name"] for one in json.loads(TEXTS[name])["templating"]["list"]] == VARIABLES[name]


def test_uids_and_titles_are_unique_and_links_lead_to_dashboards_that_there_are() -> None:
    made = [json.loads(text) for text in TEXTS.values()]
    uids = {one["uid"] for one in made}
    assert uids == {"tallyman-fleet", "tallyman-node", "tallyman-container", "tallyman-manager"}
    assert len({one["title"] for one in made}) == len(made)
    for text in TEXTS.values():
        assert set(re.findall(r"/d/([\w-]+)\?", text)) <= uids
        assert json.loads(text)["links"][0]["tags"] == ["tallyman"]
        assert json.loads(text)["tags"] == ["tallyman"]


@every
def test_queries_ask_for_metrics_and_labels_that_there_are(text: str) -> None:
    expressions = dashboards.queries(text)
    assert len(expressions) > 10
    assert [problem for one in expressions for problem in promql.problems(promql.filled(one))] == []


def test_every_metric_is_shown_or_watched() -> None:
    expressions = [promql.filled(one) for text in TEXTS.values() for one in dashboards.queries(text)]
    expressions += [alert["expr"] for alert in monitoring_tables.alerts()]
    named = {selector.name for one in expressions for selector in promql.selectors(one)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
    documented = {name for name in promql.documented() if not re.search(r"_(bucket|sum|count)$", name)}
    assert documented - families == set()


def test_runbooks_speak_of_dashboards_that_there_are() -> None:
    titles = {json.loads(text)["title"] for text in TEXTS.values()}
    for path in (ROOT / "docs/runbooks").glob("*.md"):
        named = re.findall(r"\*(Tallyman\s*/\s*\w+)\*", path.read_text())
        assert {re.sub(r"\s+", " ", one) for one in named} <= titles, path.name
