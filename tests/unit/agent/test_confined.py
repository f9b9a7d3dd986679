"""Paths that somebody else controls are walked without leaving their directory."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.agent import confined


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root with links of every kind, and a secret beside it."""
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    for name, target in {
        "relative": "a/b",
        "up": "../secret",
        "absolute": "/a/b",
        "outside": str(tmp_path / "secret"),
        "loop": "loop",
        "dots": "a/../a/./b/",
        "magic": "/proc/self/root",
    }.items():
        (root / name).symlink_to(target)
    return root


@pytest.fixture
def root(tree: Path) -> Iterator[int]:
    descriptor = os.open(tree, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("clamp", [True, False])
@pytest.mark.parametrize("path", ["a/b", "/a/b", "./a//b/", "relative", "dots", "a/b/../b"])
def test_paths_that_stay_inside_are_found(root: int, tree: Path, path: str, clamp: bool) -> None:
    with confined.opened(root, path, clamp=clamp) as found:
        assert confined.real_path(found) == str(tree / "a/b")


@pytest.mark.parametrize("path", ["up", "absolute/file", "outside", "../secret", "a/../../secret", "magic/etc"])
def test_paths_that_lead_out_are_refused(root: int, path: str) -> None:
    with pytest.raises(confined.LeadsOutError), confined.opened(root, path, clamp=False):
        pass


@pytest.mark.parametrize("path", ["absolute", "../a/b", "../../../../a/b", "/../a/b"])
def test_a_clamped_root_is_a_root_of_its_own(root: int, tree: Path, path: str) -> None:
    with confined.opened(root, path, clamp=True) as found:
        assert confined.real_path(found) == str(tree / "a/b")


@pytest.mark.parametrize("path", ["up", "outside", "magic/etc/passwd", "missing", "a/b/file/x"])
def test_a_clamped_root_shows_nothing_of_the_node(root: int, path: str) -> None:
    with pytest.raises((FileNotFoundError, NotADirectoryError)), confined.opened(root, path, clamp=True):
        pass


@pytest.mark.parametrize("path", ["loop", "a\0b"])
def test_loops_and_nul_characters_are_errors(root: int, path: str) -> None:
    with pytest.raises(OSError, match=r"symbolic links|NUL"), confined.opened(root, path, clamp=True):
        pass


def test_missing_directories_are_made_with_the_mode_asked_for_whatever_the_umask(root: int, tree: Path) -> None:
    before = os.umask(0o077)
    try:
        with confined.opened(root, "new/deep", clamp=False, make=0o2775):
            pass
    finally:
        os.umask(before)

    assert (tree / "new/deep").stat().st_mode & 0o7777 == 0o2775
    assert (tree / "a").stat().st_mode & 0o7777 != 0o2775


@pytest.mark.parametrize("clamp", [True, False])
@pytest.mark.parametrize("path", ["dangling", "dangling/deeper", "to-dangling", "to-dangling/deeper"])
def test_nothing_is_made_where_a_link_leads(root: int, tree: Path, path: str, clamp: bool) -> None:
    (tree / "dangling").symlink_to("made/deep")
    (tree / "to-dangling").symlink_to("a/../dangling")

    with pytest.raises(confined.DanglingLinkError), confined.opened(root, path, clamp=clamp, make=0o755):
        pass

    assert not (tree / "made").exists()


def test_what_the_path_itself_names_is_made_in_a_directory_that_a_link_leads_to(root: int, tree: Path) -> None:
    with confined.opened(root, "relative/../new/deep", clamp=False, make=0o755) as found:
        assert confined.real_path(found) == str(tree / "a/new/deep")


def test_what_was_removed_is_not_given_out(root: int, tree: Path) -> None:
    with confined.opened(root, "a/b/file", clamp=True) as found:
        (tree / "a/b/file").unlink()
        with pytest.raises(FileNotFoundError):
            confined.real_path(found)


def test_no_descriptor_is_left_open(root: int) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("a/b", "up", "loop", "missing", "absolute"):
        for clamp in (True, False):
            try:
                with confined.opened(root, path, clamp=clamp):
                    pass
            except OSError:
                pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
