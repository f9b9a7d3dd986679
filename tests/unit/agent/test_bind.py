"""Which objects are bound in stand-alone mode, and what becomes of those that can't be."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from controller.agent.bind import Binder
from controller.api.container import FINALIZER, NODE_LABEL
from controller.kube import errors
from controller.kube.containers import Containers
from tests.unit.agent.objects import FOREIGN, KEY, NODE, UID, body


class FakeAPI:
    """The API server's answers to a patch."""

    def __init__(self) -> None:
        self.patches: list[Mapping[str, Any]] = []
        self.error: Exception | None = None

    async def patch(self, namespace: str, name: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        assert (namespace, name) == KEY
        self.patches.append(patch)
        if self.error is not None:
            raise self.error
        return body()


@pytest.fixture
def api() -> FakeAPI:
    return FakeAPI()


@pytest.fixture
def bound() -> list[Mapping[str, Any]]:
    return []


@pytest.fixture
def binder(api: FakeAPI, bound: list[Mapping[str, Any]]) -> Binder:
    return Binder(cast(Containers, api), NODE, bound.append)


def unbound(**changes: Any) -> dict[str, Any]:
    return body(**{"nodeName": None, "finalizers": (), **changes})


@pytest.mark.parametrize(
    ("kind", "seen", "is_taken"),
    [
        (None, unbound(), True),
        ("ADDED", unbound(), True),
        ("MODIFIED", unbound(nodeName=NODE), True),
        ("MODIFIED", unbound(nodeName="node-b"), False),
        ("MODIFIED", unbound(deleting=True), False),
        ("DELETED", unbound(), False),
        ("ADDED", {"metadata": unbound()["metadata"]}, True),
    ],
    ids=["listed", "new", "naming this node", "naming another node", "going", "gone", "without a spec"],
)
def test_what_nobody_has_bound_is_taken(binder: Binder, kind: str | None, seen: dict[str, Any], is_taken: bool) -> None:
    assert binder.offer(kind, seen) == (KEY if is_taken else None)


@pytest.mark.feature("K1")
async def test_binding_is_one_write(binder: Binder, api: FakeAPI, bound: list[Mapping[str, Any]]) -> None:
    binder.offer("ADDED", unbound(version="77", finalizers=(FOREIGN,)))
    await binder.bind(KEY)
    assert api.patches == [
        {
            "metadata": {
                "uid": UID,
                "resourceVersion": "77",
                "labels": {NODE_LABEL: NODE},
                "finalizers": [FOREIGN, FINALIZER],
            },
            "spec": {"nodeName": NODE},
        }
    ]
    assert len(bound) == 1
    await binder.bind(KEY)
    assert len(api.patches) == 1, "bound once"


async def test_our_finalizer_is_not_put_on_twice(binder: Binder, api: FakeAPI) -> None:
    binder.offer("ADDED", unbound(finalizers=(FINALIZER,)))
    await binder.bind(KEY)
    assert api.patches[0]["metadata"]["finalizers"] == [FINALIZER]


@pytest.mark.parametrize("error", [errors.Conflict("changed"), errors.NotFound("gone")])
async def test_what_has_changed_is_left_to_the_watch(
    binder: Binder, api: FakeAPI, bound: list[Mapping[str, Any]], error: Exception
) -> None:
    binder.offer("ADDED", unbound())
    api.error = error
    await binder.bind(KEY)
    await binder.bind(KEY)
    assert len(api.patches) == 1
    assert bound == []


async def test_a_server_that_does_not_answer_is_asked_again(binder: Binder, api: FakeAPI) -> None:
    binder.offer("ADDED", unbound())
    api.error = errors.Unavailable("no answer")
    with pytest.raises(errors.Unavailable):
        await binder.bind(KEY)
    api.error = None
    await binder.bind(KEY)
    assert len(api.patches) == 2


async def test_what_was_deleted_in_the_meantime_is_not_bound(binder: Binder, api: FakeAPI) -> None:
    binder.offer("ADDED", unbound())
    binder.offer("DELETED", unbound())
    await binder.bind(KEY)
    assert api.patches == []


async def test_a_later_version_that_comes_during_the_write_is_not_forgotten(api: FakeAPI) -> None:
    def see_a_later_version(_: Mapping[str, Any]) -> None:
        patched.offer("MODIFIED", unbound(version="78"))

    patched = Binder(cast(Containers, api), NODE, see_a_later_version)
    patched.offer("ADDED", unbound(version="77"))
    await patched.bind(KEY)
    await patched.bind(KEY)
    assert [patch["metadata"]["resourceVersion"] for patch in api.patches] == ["77", "78"]
