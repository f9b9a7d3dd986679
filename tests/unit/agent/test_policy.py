"""The policy file: read, read again, and what is kept of it when it turns bad."""

import os
from pathlib import Path

import pytest

from controller import metrics
from controller.agent.policy import PolicyKeeper
from tests.unit.agent.objects import declared

pytestmark = pytest.mark.feature("P6")
ALLOWS = "rules: [{namespaces: [shop], allow: {privileged: true}}]"
PRIVILEGED = declared(securityContext={"privileged": True})


def keeper(path: Path | None) -> PolicyKeeper:
    return PolicyKeeper(path, lambda: None)


def good() -> float | None:
    return metrics.REGISTRY.get_sample_value("tallyman_policy_file_good")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


def test_without_a_file_nothing_is_allowed() -> None:
    assert keeper(None).violations(PRIVILEGED)
    assert keeper(None).violations(declared()) == ()


def test_the_file_is_read_at_the_start_and_when_it_has_changed(path: Path) -> None:
    path.write_text(ALLOWS)
    kept = keeper(path)
    assert kept.violations(PRIVILEGED) == ()
    assert not kept.look()

    path.write_text("rules: []")
    assert kept.look()
    assert kept.violations(PRIVILEGED)


def test_a_file_that_is_exchanged_for_one_of_the_same_time_and_size_is_read(path: Path, tmp_path: Path) -> None:
    path.write_text(ALLOWS)
    kept = keeper(path)
    other = tmp_path / "other"
    other.write_text(ALLOWS.replace("shop", "till"))
    times = path.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)

    assert kept.look()
    assert kept.violations(PRIVILEGED)


def test_another_text_of_the_same_policy_is_no_change(path: Path) -> None:
    path.write_text(ALLOWS)
    kept = keeper(path)
    path.write_text(f"# said otherwise\n{ALLOWS}")

    assert not kept.look()


BAD = ["rules: [", "rules: {}", "rule: []", "- a", "\x00", "!!python/object:os.system {}", "[" * 2000, "#" * 2**21]


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:20])
def test_a_bad_file_leaves_the_last_good_one_in_force(path: Path, text: str) -> None:
    path.write_text(ALLOWS)
    kept = keeper(path)

    path.write_text(text)
    assert not kept.look()
    assert good() == 0
    assert kept.violations(PRIVILEGED) == ()

    path.write_text("rules: []")
    assert kept.look()
    assert good() == 1
    assert kept.violations(PRIVILEGED)


def test_bytes_that_are_no_text_are_a_bad_file(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\xfd")

    assert keeper(path).violations(PRIVILEGED)
    assert good() == 0


def test_a_file_that_goes_leaves_the_last_one_in_force(path: Path) -> None:
    path.write_text(ALLOWS)
    kept = keeper(path)
    path.unlink()

    assert not kept.look()
    assert good() == 0
    assert kept.violations(PRIVILEGED) == ()


def test_a_file_that_was_bad_at_the_start_allows_nothing_until_it_is_mended(path: Path) -> None:
    kept = keeper(path)
    assert kept.violations(PRIVILEGED)
    assert good() == 0

    path.write_text(ALLOWS)
    assert kept.look()
    assert kept.violations(PRIVILEGED) == ()
