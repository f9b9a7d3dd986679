"""Reading a Dockerfile, and refusing what would be missing in a build of it."""

from pathlib import Path

import pytest

from hack.lab.dockerfile import Build, instructions
from hack.lab.errors import LabError

PROJECT = Path(__file__).parents[2]


def _build(tmp_path: Path, text: str) -> Build:
    context, base = tmp_path / "context", tmp_path / "base"
    (context / "app").mkdir(parents=True)
    (context / "app" / "main.py").write_text("")
    (context / "app" / "made.pyc").write_text("")
    (context / "secret").write_text("")
    (context / ".dockerignore").write_text("*\n!app\n**/*.pyc\n")
    (context / "Dockerfile").write_text(text)
    base.mkdir()
    (tmp_path / "target").mkdir()
    return Build(context, base, tmp_path, tmp_path / "target")


def test_lines_are_joined_and_comments_left_out() -> None:
    text = "# about\nFROM a AS build\nRUN one \\\n && two\n\n  # more\nenv A=b\n"
    assert list(instructions(text)) == [("FROM", "a AS build"), ("RUN", "one && two"), ("ENV", "A=b")]


def test_the_last_stage_is_the_image(tmp_path: Path) -> None:
    text = 'ARG V=1\nFROM a AS build\nWORKDIR /src\nCOPY app app\nFROM a\nCOPY --from=build /src/app /app\nENV A=1 B=$A\nUSER 0:0\nENTRYPOINT ["x"]\nCMD ["y"]\n'
    stage = _build(tmp_path, text).run()
    assert sorted(path.name for path in (stage.root / "app").iterdir()) == ["main.py"]
    assert (stage.environment["B"], stage.user, stage.entrypoint, stage.command) == ("1", "0:0", ["x"], ["y"])
    assert not (stage.root / "src").exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("FROM a\nCOPY secret secret\n", ".dockerignore leaves it out"),
        ("FROM a\nVOLUME /data\n", "not known here: VOLUME"),
        ("ARG A=1\n", "no FROM"),
    ],
)
def test_what_would_be_missing_or_is_not_known_is_an_error(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(LabError, match=problem):
        _build(tmp_path, text).run()


def test_the_project_s_own_is_understood() -> None:
    words = {word for word, _ in instructions((PROJECT / "Dockerfile").read_text())}
    assert {"FROM", "RUN", "COPY", "ENTRYPOINT"} <= words
