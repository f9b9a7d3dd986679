"""Every mistake of the table, made for real: refused by the API server, or by the agent; in words; and nothing is started."""

import re
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from tests.bad_containers import BAD_CONTAINERS, BadContainer
from tests.e2e.cluster import Namespace
from tests.e2e.node import Node
from tests.e2e.objects import FOREVER, condition, is_refused, status

SAMPLE = 8
"""Every so manyth of those that the agent refuses is corrected."""


def _name(case: BadContainer) -> str:
    return re.sub(r"[^a-z0-9]+", "-", case.id.lower()).strip("-")[:63].strip("-")


def _create(namespace: Namespace, case: BadContainer) -> str | None:
    """Create it, and return the API server's message if it refuses."""
    body = namespace.manifest(_name(case))
    body["spec"] = case.spec
    try:
        namespace.create_as_it_is(body)
    except ApiException as error:
        if error.status not in {400, 422}:
            raise
        return str(error.body)
    return None


@pytest.mark.feature("D2")
def test_every_mistake_is_named_by_its_field_and_nothing_is_started(namespace: Namespace, node: Node) -> None:
    assert len(BAD_CONTAINERS) >= 40
    answers = [(case, _create(namespace, case)) for case in BAD_CONTAINERS]
    unnamed = [f"{case.id}: {said}" for case, said in answers if said is not None and not case.is_named_in(said)]
    assert not unnamed, "refused without naming the field"

    accepted = {_name(case): case for case, said in answers if said is None}
    bodies = namespace.wait_all(accepted, is_refused, "all are refused")
    wrong = []
    for name, case in accepted.items():
        why = condition(bodies[name], "Accepted")
        if why["reason"] not in {"InvalidSpec", "InvalidImageName"} or not (
            case.field in why["message"] and case.says in why["message"]
        ):
            wrong.append(f"{case.id}: {why}")
        assert condition(bodies[name], "Stalled")["status"] == "True"
        assert status(bodies[name])["state"] == "Pending"
    assert not wrong, "refused with another message"
    assert node.left() == []
    print(f"{len(answers) - len(accepted)} refused by the API server, {len(accepted)} by the agent")

    # A merge patch: what the mistake had set goes, and the spec is a good one.
    healed = [name for number, name in enumerate(sorted(accepted)) if number % SAMPLE == 0]
    for name in healed:
        nothing: dict[str, Any] = dict.fromkeys(accepted[name].change)
        namespace.change(
            name,
            **(nothing | {"image": namespace.image, "command": ["sleep", FOREVER], "terminationGracePeriodSeconds": 0}),
        )
    for name in healed:
        namespace.running(name)
    assert sorted(one.object for one in node.containers(namespace.name).values()) == sorted(healed)


@pytest.mark.feature("D2")
def test_a_running_container_goes_on_while_its_spec_is_wrong(namespace: Namespace, node: Node) -> None:
    namespace.sleeper("web")
    before = namespace.running("web")
    namespace.change("web", resources={"limits": {"cpu": "500m"}, "requests": {"cpu": "1"}})
    body = namespace.wait("web", is_refused)
    assert "spec.resources.requests.cpu" in condition(body, "Accepted")["message"]
    assert status(body)["state"] == "Running"
    assert condition(body, "Ready")["status"] == "False"
    assert node.has(str(status(before)["containerID"]))
    namespace.change("web", resources=None)
    assert status(namespace.running("web"))["pid"] == status(before)["pid"]
