"""How the lab finds the machine's Debian mirror in the two forms that apt's sources have."""

from pathlib import Path

import pytest

from hack.lab import LabError, apt

NEW_FORM = """\
Types: deb
# a remark
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
"""
OLD_FORM = """\
# deb http://commented.example/debian bookworm main
deb-src http://sources.example/debian bookworm main
deb [signed-by=/x.gpg arch=amd64] http://old.example/debian bookworm main contrib
"""


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    monkeypatch.setattr(apt, "SOURCES", tmp_path)
    monkeypatch.setattr(apt, "_os_release", lambda: {"VERSION_CODENAME": "bookworm"})
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "address"),
    [
        ("sources.list.d/debian.sources", NEW_FORM, "http://mirror.example/debian"),
        ("sources.list", OLD_FORM, "http://old.example/debian"),
        ("sources.list.d/debian.list", OLD_FORM, "http://old.example/debian"),
    ],
)
def test_the_mirror_is_found(sources: Path, name: str, text: str, address: str) -> None:
    (sources / name).write_text(text)
    assert apt.mirror() == address


def test_without_an_entry_the_message_says_what_is_missing(sources: Path) -> None:
    (sources / "sources.list").write_text("deb http://other.example/ubuntu jammy main\n")
    with pytest.raises(LabError, match=r"suite bookworm in .*sources\.list"):
        apt.mirror()
