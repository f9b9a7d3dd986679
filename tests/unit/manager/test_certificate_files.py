"""A certificate that somebody else keeps in files, replaced in whatever order, or spoiled."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller.manager.certificate_files import CertificateFiles
from controller.manager.tls import LiveContext
from tests.unit.manager.keyrings import files, made

FIRST, SECOND = made(), made()


@pytest.fixture
def ends() -> list[datetime]:
    return []


@pytest.fixture
def kept(tmp_path: Path, ends: list[datetime]) -> CertificateFiles:
    return CertificateFiles(tmp_path, LiveContext(ends.append), seconds=60)


def write(directory: Path, certificate: bytes | None, key: bytes | None) -> None:
    for name, data in (("tls.crt", certificate), ("tls.key", key)):
        (directory / name).unlink(missing_ok=True)
        if data is not None:
            (directory / name).write_bytes(data)


@pytest.mark.feature("K2")
def test_files_are_read_again_when_they_change(tmp_path: Path, kept: CertificateFiles, ends: list[datetime]) -> None:
    for keyring in (FIRST, FIRST, SECOND):
        write(tmp_path, *files(keyring))
        assert kept.look()
    assert len(ends) == 2
    assert kept.unready() == []


@pytest.mark.feature("K2")
def test_files_that_are_exchanged_as_a_mounted_secret_is(
    tmp_path: Path, kept: CertificateFiles, ends: list[datetime]
) -> None:
    """The kubelet puts the new files into a directory of their own, and exchanges one link."""
    for number, keyring in enumerate((FIRST, SECOND)):
        version = tmp_path / f"..{number}"
        version.mkdir()
        write(version, *files(keyring))
        link = tmp_path / "..data_tmp"
        link.symlink_to(version.name)
        link.replace(tmp_path / "..data")
        for name in ("tls.crt", "tls.key"):
            if not (tmp_path / name).exists():
                (tmp_path / name).symlink_to(f"..data/{name}")
        assert kept.look()
    assert len(ends) == 2


SPOILED: dict[str, tuple[bytes | None, bytes | None, str]] = {
    "no files": (None, None, "No such file or directory"),
    "no key": (files(SECOND)[0], None, "No such file or directory"),
    "the new certificate beside the old key": (
        files(SECOND)[0],
        files(FIRST)[1],
        "certificate and key can't be read, or don't belong together",
    ),
    "rubbish": (b"\xff", b"\x00", "certificate and key can't be read, or don't belong together"),
}


@pytest.mark.parametrize(("certificate", "key", "says"), SPOILED.values(), ids=SPOILED.keys())
def test_spoiled_files_are_told_and_change_nothing(
    tmp_path: Path,
    kept: CertificateFiles,
    ends: list[datetime],
    certificate: bytes | None,
    key: bytes | None,
    says: str,
) -> None:
    write(tmp_path, certificate, key)
    assert not kept.look()
    assert kept.unready() == [f"webhook: there is no certificate yet: {tmp_path}: {says}"]

    write(tmp_path, *files(FIRST))
    assert kept.look()
    write(tmp_path, certificate, key)
    assert not kept.look()
    assert kept.unready() == []

    write(tmp_path, *files(SECOND))
    assert kept.look()
    assert len(ends) == 2


def test_an_expired_certificate_is_used_and_told(tmp_path: Path) -> None:
    """It is the API server's to refuse it; ours is to say so."""
    old = made(datetime(2026, 3, 1, tzinfo=UTC))
    write(tmp_path, *files(old))
    kept = CertificateFiles(tmp_path, LiveContext(lambda _: None), 60, lambda: datetime(2026, 7, 1, tzinfo=UTC))
    assert kept.look()
    assert kept.unready() == ["webhook: the certificate has expired on 2026-05-30"]
