"""How a process ended, by its exit status."""

import pytest

from controller.api.reasons import Reason
from controller.oci.exits import describe


@pytest.mark.parametrize(
    ("status", "oom", "signal", "reason", "message"),
    [
        pytest.param(0, False, None, Reason.COMPLETED, "exit code 0", id="success"),
        pytest.param(
            0, True, None, Reason.COMPLETED, "exit code 0", id="success, though a child was killed for memory"
        ),
        pytest.param(1, False, None, Reason.ERROR, "exit code 1", id="failure"),
        pytest.param(1, True, None, Reason.ERROR, "exit code 1", id="failure beside an OOM kill of another process"),
        pytest.param(128, False, None, Reason.ERROR, "exit code 128", id="not a signal"),
        pytest.param(137, False, 9, Reason.ERROR, "ended by SIGKILL", id="killed by somebody"),
        pytest.param(137, True, 9, Reason.OOM_KILLED, "want of memory", id="killed for want of memory"),
        pytest.param(
            143, True, 15, Reason.ERROR, "ended by SIGTERM", id="stopped, after an OOM kill of another process"
        ),
        pytest.param(162, False, 34, Reason.ERROR, "SIGRTMIN", id="a real-time signal"),
        pytest.param(255, False, None, Reason.ERROR, "exit code 255", id="nobody saw it"),
    ],
)
def test_exits(status: int, oom: bool, signal: int | None, reason: Reason, message: str) -> None:
    ended = describe(status, oom_killed=oom)

    assert (ended.code, ended.signal, ended.reason) == (status, signal, reason)
    assert message in ended.message
