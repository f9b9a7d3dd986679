"""Every example is a Container that the agent accepts, and that the policy of `make up` allows."""

from pathlib import Path

import pytest
import yaml

from controller.api.container import GROUP, KIND, VERSION
from controller.api.crd import container_crd
from controller.api.policy import read, violations
from controller.api.validation import validate

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
FIELDS = set(container_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_example_is_valid(path: Path) -> None:
    text = path.read_text()
    (example,) = yaml.safe_load_all(text)

    assert (example["apiVersion"], example["kind"]) == (f"{GROUP}/{VERSION}", KIND)
    assert validate(example["spec"]).message == ""
    assert set(example["spec"]) <= FIELDS
    assert text.startswith("# "), "an example opens by saying what it shows"


@pytest.mark.feature("P6")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_policy_of_make_up_allows_the_example_and_only_where_it_is_applied(path: Path) -> None:
    policy = read(yaml.safe_load((ROOT / "hack/lab/policy.yaml").read_text()))
    spec = validate(yaml.safe_load(path.read_text())["spec"]).spec

    assert spec is not None
    assert violations(spec, "default", policy) == ()
    if path.name in {"hostpath.yaml", "host-network.yaml"}:
        assert violations(spec, "other", policy)


def test_there_are_examples() -> None:
    assert "hello.yaml" in [path.name for path in EXAMPLES]
