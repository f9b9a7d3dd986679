"""Running one command to its end, with a deadline, and failing with what it said."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.lab.errors import LabError


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
) -> str:
    """Run a command and return its standard output; raise with its last words when it fails."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words, timeout=timeout, env=env, cwd=cwd, input=stdin, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise LabError(f"{words[0]} is not on this machine: install it and try again") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{' '.join(words)}` did not end within {timeout:g} s") from error
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise LabError(f"`{' '.join(words)}` failed with {done.returncode}:\n{said}")
    return done.stdout


def run_logged(argv: Sequence[str | Path], *, timeout: float, log: Path, env: Mapping[str, str], cwd: Path) -> None:
    """Run a long command with its output in a log file; raise with the log's last lines when it fails."""
    words = [str(word) for word in argv]
    with log.open("ab") as output:
        try:
            done = subprocess.run(
                words,
                timeout=timeout,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
            )
        except FileNotFoundError as error:
            raise LabError(f"{words[0]} is not on this machine: install it and try again") from error
        except subprocess.TimeoutExpired as error:
            raise LabError(f"`{words[0]}` did not end within {timeout:g} s", log=log) from error
    if done.returncode:
        raise LabError(f"`{' '.join(words)}` failed with {done.returncode}", log=log)
