"""What follows from an error, as a table: the reason, the exit code, and whether and when it is tried again."""

from datetime import timedelta

import grpc
import pytest

from controller.agent import failures, hostpaths
from controller.agent.failures import FailureBook, StartFailed
from controller.agent.removal import TearDownError
from controller.agent.rootfs import RootfsError
from controller.api.reasons import Reason
from controller.containerd import errors
from controller.kube import errors as kube_errors
from controller.oci import errors as oci_errors
from controller.oci.start_errors import StartFailure
from tests.unit.agent.objects import BASE, KEY, NOW, declared

NEVER = None
LATER = failures.NODE_BACKOFF
SOON = failures.FIRST_BACKOFF


def started(reason: Reason, code: int = 128) -> StartFailed:
    return StartFailed(StartFailure(code, reason, "it says so"))


TABLE: list[tuple[Exception, Reason, int | None, timedelta | None]] = [
    (started(Reason.COMMAND_NOT_FOUND, 127), Reason.COMMAND_NOT_FOUND, 127, NEVER),
    (started(Reason.COMMAND_NOT_EXECUTABLE, 126), Reason.COMMAND_NOT_EXECUTABLE, 126, NEVER),
    (started(Reason.START_ERROR), Reason.START_ERROR, 128, NEVER),
    (started(Reason.MOUNT_TYPE_MISMATCH), Reason.MOUNT_TYPE_MISMATCH, 128, NEVER),
    (started(Reason.NODE_UNFIT), Reason.NODE_UNFIT, 128, LATER),
    (started(Reason.RUNTIME_MISSING), Reason.RUNTIME_MISSING, 128, LATER),
    (started(Reason.MOUNT_SOURCE_MISSING), Reason.MOUNT_SOURCE_MISSING, 128, LATER),
    (oci_errors.OCIError("x"), Reason.INVALID_SPEC, None, NEVER),
    (oci_errors.NoCommand("x"), Reason.COMMAND_NOT_FOUND, None, NEVER),
    (oci_errors.UserNotFound("x"), Reason.USER_NOT_FOUND, None, NEVER),
    (oci_errors.InvalidImage("x"), Reason.CREATE_ERROR, None, NEVER),
    (oci_errors.NodeUnfit("x"), Reason.NODE_UNFIT, None, LATER),
    (hostpaths.MountSourceMissing("spec.mounts[0]", "x"), Reason.MOUNT_SOURCE_MISSING, None, LATER),
    (hostpaths.SubPathLeadsOut("spec.mounts[0]", "x"), Reason.MOUNT_SOURCE_MISSING, None, LATER),
    (hostpaths.SourceExchanged("spec.mounts[0]", "x"), Reason.START_ERROR, None, LATER),
    (hostpaths.DeviceMissing("spec.devices[0]", "x"), Reason.NODE_UNFIT, None, LATER),
    (hostpaths.ProfileMissing("spec.securityContext", "x"), Reason.NODE_UNFIT, None, LATER),
    (RootfsError("x"), Reason.NODE_UNFIT, None, LATER),
    (TearDownError("id", [errors.Internal("Snapshots.Remove", "busy")]), Reason.CREATE_ERROR, None, SOON),
    (errors.NotFound("Images.Get", "gone"), Reason.CREATE_ERROR, None, SOON),
    (errors.AlreadyExists("Containers.Create", "x"), Reason.CREATE_ERROR, None, SOON),
    (errors.InvalidArgument("Containers.Create", "x"), Reason.CREATE_ERROR, None, SOON),
    (errors.FailedPrecondition("Tasks.Start", "x"), Reason.CREATE_ERROR, None, SOON),
    (errors.PermissionDenied("Tasks.Create", "x"), Reason.CREATE_ERROR, None, SOON),
    (errors.Unimplemented("Tasks.Create", "x"), Reason.CREATE_ERROR, None, SOON),
    (errors.Internal("Tasks.Create", "x"), Reason.CREATE_ERROR, None, SOON),
    (errors.ResourceExhausted("Tasks.Create", "x"), Reason.CREATE_ERROR, None, SOON),
    (errors.ContainerdError("Tasks.Create", "x"), Reason.CREATE_ERROR, None, SOON),
]


@pytest.mark.feature("L4")
@pytest.mark.parametrize(
    ("error", "reason", "code", "wait"), TABLE, ids=[f"{type(row[0]).__name__} {row[1]}" for row in TABLE]
)
def test_an_error_has_its_consequence(
    error: Exception, reason: Reason, code: int | None, wait: timedelta | None
) -> None:
    book = FailureBook()
    noted = book.note(BASE, error, NOW)
    assert book.of(KEY) == noted
    assert (noted.reason, noted.exit_code, noted.spec_hash, noted.at) == (reason, code, BASE.spec_hash, NOW)
    assert noted.message == str(error)
    assert noted.retry_at == (None if wait is None else NOW + wait)


@pytest.mark.parametrize(
    "error",
    [
        errors.Unavailable("Tasks.Start", "x"),
        errors.DeadlineExceeded("Tasks.Start", "x"),
        errors.Aborted("Tasks.Start", "x"),
        errors.Cancelled("Tasks.Start", "x"),
        kube_errors.Unavailable("x"),
        ValueError("a defect"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_says_nothing_of_the_container_is_not_its_failure(error: Exception) -> None:
    book = FailureBook()
    with pytest.raises(type(error)) as raised:
        book.note(BASE, error, NOW)
    assert raised.value is error
    assert book.of(KEY) is None


def test_every_code_of_grpc_is_either_a_failure_or_for_the_queue() -> None:
    for code in grpc.StatusCode:
        error = errors.from_code("Tasks.Start", code, "x")
        book = FailureBook()
        if error.transient:
            with pytest.raises(errors.ContainerdError):
                book.note(BASE, error, NOW)
        else:
            assert book.note(BASE, error, NOW).retry_at is not None


def test_back_off_grows_to_its_cap_and_begins_anew_after_a_success() -> None:
    book = FailureBook()
    error = errors.Internal("Tasks.Create", "x")

    def wait() -> timedelta:
        retry_at = book.note(BASE, error, NOW).retry_at
        assert retry_at is not None
        return retry_at - NOW

    waits = [wait() for _ in range(12)]
    assert waits[:4] == [timedelta(seconds=seconds) for seconds in (1, 2, 4, 8)]
    assert waits[-1] == failures.LAST_BACKOFF
    book.forget(KEY)
    assert book.of(KEY) is None
    assert wait() == failures.FIRST_BACKOFF


def test_failures_are_kept_an_object() -> None:
    book = FailureBook()
    book.note(declared(), errors.Internal("Tasks.Create", "x"), NOW)
    assert book.of(("shop", "other")) is None
    book.forget(("shop", "other"))
    assert book.of(KEY) is not None


def test_a_spec_that_was_found_good_is_remembered_until_something_else_happens() -> None:
    book = FailureBook()
    book.note(BASE, errors.Internal("Tasks.Create", "x"), NOW)
    book.passed(BASE, NOW)
    assert book.of(KEY) is None
    known = book.checked(KEY)
    assert known is not None
    assert (known.spec_hash, known.at) == (BASE.spec_hash, NOW)
    book.forget(KEY)
    assert book.checked(KEY) is None
