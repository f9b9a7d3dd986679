"""Which taints a toleration matches, and what a node counts."""

import pytest

from controller.api.container import ContainerState
from controller.api.node import counted, lease_name
from controller.api.placement import Taint, Toleration, first_untolerated

GPU = Taint.model_validate({"key": "gpu", "value": "big", "effect": "NoSchedule"})
BARE = Taint.model_validate({"key": "gpu", "effect": "NoSchedule"})


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    ("toleration", "taint", "tolerates"),
    [
        pytest.param({"key": "gpu", "value": "big"}, GPU, True, id="the same key and value"),
        pytest.param({"key": "gpu", "value": "small"}, GPU, False, id="another value"),
        pytest.param({"key": "gpu"}, GPU, False, id="no value, and the taint has one"),
        pytest.param({"key": "gpu"}, BARE, True, id="neither has a value"),
        pytest.param({"key": "gpu", "operator": "Exists"}, GPU, True, id="any value of the key"),
        pytest.param({"key": "cpu", "operator": "Exists"}, GPU, False, id="another key"),
        pytest.param({"operator": "Exists"}, GPU, True, id="every taint"),
        pytest.param({"value": "big"}, GPU, False, id="a value without a key, which is no toleration"),
        pytest.param({"operator": "Exists", "effect": "NoSchedule"}, GPU, True, id="every taint of the effect"),
    ],
)
def test_a_toleration(toleration: dict[str, str], taint: Taint, tolerates: bool) -> None:
    assert Toleration.model_validate(toleration).tolerates(taint) is tolerates


def test_the_first_taint_that_nothing_tolerates_is_found() -> None:
    other = Taint.model_validate({"key": "other", "effect": "NoSchedule"})
    tolerations = [Toleration.model_validate({"key": "gpu", "operator": "Exists"})]

    assert first_untolerated([GPU, other], tolerations) == other
    assert first_untolerated([GPU, BARE], tolerations) is None
    assert first_untolerated([], []) is None


def test_containers_are_counted_by_state_and_those_without_one_are_pending() -> None:
    states = [ContainerState.RUNNING, None, ContainerState.RUNNING, ContainerState.PENDING, ContainerState.EXITED]

    counts = counted(states)

    assert (counts.total, counts.running, counts.pending, counts.exited, counts.paused) == (5, 2, 2, 1, 0)


def test_every_state_has_a_count() -> None:
    assert set(counted(ContainerState).model_dump().values()) == {1, len(ContainerState)}


def test_the_name_of_a_lease() -> None:
    assert lease_name("node-a.example.com") == "tallyman-node-node-a.example.com"
