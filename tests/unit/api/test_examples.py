"""Every example is one or more Containers that the agent accepts, and that the policy of `make up` allows."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.api.container import GROUP, KIND, VERSION
from controller.api.crd import definition
from controller.api.kinds import CONTAINER
from controller.api.policy import read, violations
from controller.api.validation import validate

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
OBJECTS = [(path.stem, body) for path in EXAMPLES for body in yaml.safe_load_all(path.read_text())]
FIELDS = set(
    definition(CONTAINER)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
)


def _name(parameter: Any) -> str:
    return str(parameter["metadata"]["name"]) if isinstance(parameter, dict) else str(parameter)


@pytest.mark.parametrize(("example", "body"), OBJECTS, ids=_name)
def test_the_example_is_valid(example: str, body: dict[str, Any]) -> None:
    assert (body["apiVersion"], body["kind"]) == (f"{GROUP}/{VERSION}", KIND)
    assert validate(body["spec"]).message == ""
    assert set(body["spec"]) <= FIELDS


@pytest.mark.feature("P6")
@pytest.mark.parametrize(("example", "body"), OBJECTS, ids=_name)
def test_the_policy_of_make_up_allows_the_example_and_only_where_it_is_applied(
    example: str, body: dict[str, Any]
) -> None:
    policy = read(yaml.safe_load((ROOT / "hack/lab/policy.yaml").read_text()))
    spec = validate(body["spec"]).spec

    assert spec is not None
    assert violations(spec, "default", policy) == ()
    assert bool(violations(spec, "other", policy)) == (example in {"hostpath", "host-network"})


def test_the_examples_can_be_applied_together() -> None:
    names = [body["metadata"]["name"] for _, body in OBJECTS]

    assert "hello" in names
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_says_what_it_shows_and_is_in_the_list_of_them(path: Path) -> None:
    assert path.read_text().startswith("# ")
    assert f"| [{path.stem}]({path.name}) | " in (ROOT / "examples/README.md").read_text()
