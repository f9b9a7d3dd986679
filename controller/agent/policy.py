"""The node's policy as it stands in its file: read at the start, and again when the file has changed.

A file that can't be read or breaks a rule changes nothing: the last good one stays in force, and at first that is the policy
that allows nothing. Decides nothing about containers.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from controller import log, metrics
from controller.agent.declared import Declared
from controller.api import policy
from controller.api.container import ContainerSpec
from controller.api.fields import FieldError
from controller.api.policy import Grants, InvalidPolicy, Policy

MAX_BYTES = 2**20
_log = log.get(__name__)

Version = tuple[int, int, int]
"""What tells one state of a file from the next: time of change, size, inode."""


@dataclass(frozen=True)
class Permits:
    """What one container may be given, by its real path on the node: what `hostpaths` asks."""

    grants: Grants
    spec: ContainerSpec

    def mount(self, path: str, read_only: bool) -> str:
        """Why the path may not be mounted, or nothing."""
        return self.grants.path_problem(path, read_only=read_only)

    def device(self, path: str, _read_only: bool) -> str:
        """Why the device may not be given, or nothing. A privileged container has them all."""
        return "" if self.spec.security_context.privileged else self.grants.device_problem(path)


class PolicyKeeper:
    """The policy in force."""

    def __init__(self, path: Path | None, changed: Callable[[], None]) -> None:
        self._path = path
        self._changed = changed
        self._policy = policy.NOTHING
        self._version: Version | None = None
        self._problem = ""
        self.look()

    def grants(self, namespace: str) -> Grants:
        """What a namespace is allowed."""
        return self._policy.grants(namespace)

    def violations(self, declared: Declared) -> tuple[FieldError, ...]:
        """What of an object's spec is not allowed."""
        if declared.spec is None:
            return ()
        return policy.violations(declared.spec, declared.key[0], self._policy)

    async def run(self, seconds: float) -> None:
        """Look at the file every `seconds` until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            if self.look():
                self._changed()

    def look(self) -> bool:
        """Read the file if it has changed; says whether the policy has."""
        if self._path is None:
            return False
        try:
            version = _version(self._path)
            if version == self._version:
                return False
            read = _read(self._path)
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            self._refuse(f"{type(error).__name__}: {error}")
            return False
        changed, self._policy, self._version, self._problem = read != self._policy, read, version, ""
        metrics.policy_file(good=True)
        _log.info("the policy file is in force", path=str(self._path), rules=len(read.rules))
        return changed

    def _refuse(self, problem: str) -> None:
        """Say once what is wrong with the file. It is looked at again each time, for what is wrong may not be its content."""
        self._version = None
        metrics.policy_file(good=False)
        if problem != self._problem:
            kept = f"{len(self._policy.rules)} rules stay in force"
            _log.error("the policy file can't be used", path=str(self._path), error=problem, kept=kept)
        self._problem = problem


def _version(path: Path) -> Version:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: Path) -> Policy:
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise InvalidPolicy(f"is larger than {MAX_BYTES} bytes")
    return policy.read(yaml.safe_load(os.fsdecode(raw)))
