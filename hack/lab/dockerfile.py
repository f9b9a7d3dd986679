"""Carries out a Dockerfile without a builder and without base images: every stage begins with a copy of one root file system.

Knows as much of the format as this project's Dockerfile uses, and refuses what it does not know. Commands run in a mount namespace of
their own, so that nothing is left mounted.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hack.lab.command import run
from hack.lab.errors import LabError

COMMAND_TIMEOUT: Final = 600.0
_SILENT: Final = frozenset({"LABEL", "EXPOSE"})
_ENTER: Final = """\
mount --bind /dev "$1/dev"
mount -t proc proc "$1/proc"
mkdir -p "$1/wheels"
mount --bind -o ro "$2" "$1/wheels"
exec chroot "$1" /usr/bin/env -i sh -c "$3"
"""


@dataclass
class Stage:
    """One stage: its files, and what the image of it would be told."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin"})
    directory: str = "/"
    user: str = ""
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


@dataclass
class Build:
    """A build of one context. `wheels` is where pip finds packages, for there is no network in it."""

    context: Path
    base: Path
    wheels: Path
    target: Path
    stages: dict[str, Stage] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)

    def run(self) -> Stage:
        """Carry out the Dockerfile of the context; returns the last stage."""
        stage = None
        for word, rest in instructions((self.context / "Dockerfile").read_text()):
            if word == "FROM":
                stage = self._begin(rest)
            elif word == "ARG":
                name, _, default = rest.partition("=")
                self.arguments[name] = default
            elif stage is not None:
                self._carry_out(stage, word, rest)
        if stage is None:
            raise LabError("the Dockerfile has no FROM")
        return stage

    def _begin(self, rest: str) -> Stage:
        name = rest.partition(" AS ")[2] or str(len(self.stages))
        root = self.target / name
        run(["cp", "-a", "--reflink=auto", self.base, root], timeout=COMMAND_TIMEOUT)
        self.stages[name] = Stage(root)
        return self.stages[name]

    def _carry_out(self, stage: Stage, word: str, rest: str) -> None:
        match word:
            case "ENV":
                for name, value in re.findall(r"(\w+)=(\S+)", rest):
                    stage.environment[name] = _filled(value, stage.environment)
            case "WORKDIR":
                stage.directory = rest
                (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "RUN":
                self._execute(stage, rest)
            case "COPY":
                self._copy(stage, rest.split())
            case "USER":
                stage.user = rest
            case "ENTRYPOINT":
                stage.entrypoint = json.loads(rest)
            case "CMD":
                stage.command = json.loads(rest)
            case _ if word not in _SILENT:
                raise LabError(f"the Dockerfile has an instruction that is not known here: {word}")

    def _execute(self, stage: Stage, command: str) -> None:
        environment = stage.environment | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels", "HOME": "/root"}
        exported = "".join(f"export {name}='{value}'; " for name, value in environment.items())
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _ENTER, "sh"]
        script = f"{exported} cd {stage.directory}; {command}"
        run([*words, stage.root, self.wheels, script], timeout=COMMAND_TIMEOUT)

    def _copy(self, stage: Stage, words: list[str]) -> None:
        *sources, destination = [word for word in words if not word.startswith("--")]
        origin = "".join(word.removeprefix("--from=") for word in words if word.startswith("--from="))
        target = stage.root / (Path(stage.directory) / destination).as_posix().lstrip("/")
        for source in sources:
            path = self.stages[origin].root / source.lstrip("/") if origin else self._sent(source)
            into = target / path.name if destination.endswith("/") and path.is_file() else target
            if path.is_dir():
                shutil.copytree(
                    path, target, symlinks=True, dirs_exist_ok=True, ignore=None if origin else self._ignored()
                )
            else:
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, into)

    def _sent(self, source: str) -> Path:
        """What a builder is sent of the context: .dockerignore begins by leaving out everything."""
        if f"!{source}" not in self._ignore_lines():
            raise LabError(f"COPY {source}: .dockerignore leaves it out")
        return self.context / source

    def _ignored(self) -> Callable[[str, list[str]], set[str]]:
        """What a builder is not sent of a directory, by the last part of each pattern."""
        patterns = [
            line.rpartition("/")[2] for line in self._ignore_lines() if not line.startswith("!") and line != "*"
        ]
        return shutil.ignore_patterns(*patterns)

    def _ignore_lines(self) -> list[str]:
        return (self.context / ".dockerignore").read_text().split()


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The instructions of a Dockerfile with what follows them, lines joined and comments left out."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word.upper(), rest.strip()


def _filled(value: str, environment: Mapping[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda found: environment.get(found[1], ""), value)
