"""A private image registry (Debian's docker-registry) on 127.0.0.1, without TLS and without passwords."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from hack.lab import debian, ports
from hack.lab.answers import answers
from hack.lab.daemon import Daemon

READY_TIMEOUT = 20.0

_CONFIGURATION = """\
version: 0.1
log: {{accesslog: {{disabled: false}}, level: info}}
storage:
  filesystem: {{rootdirectory: {storage}}}
  delete: {{enabled: true}}
http:
  addr: {address}
"""


def registry_program() -> Path:
    """Return the registry's program."""
    return debian.executable(debian.BOOKWORM, "docker-registry", "usr/bin/docker-registry")


@dataclass
class Registry:
    """One registry with its storage, log and pid file below `directory`; usable as a context manager.

    A second `start()` changes nothing, `kill()` then `start()` keeps port and images, `stop()` removes everything.
    """

    directory: Path
    preferred_port: int | None = None

    def __enter__(self) -> Registry:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port; chosen on first use and kept in the directory."""
        return ports.remembered_port(self.directory / "port", self.preferred_port)

    @property
    def address(self) -> str:
        """What stands before the first slash of an image reference: host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The registry's URL."""
        return f"http://{self.address}"

    @property
    def daemon(self) -> Daemon:
        """The process, with its log."""
        configuration = self.directory / "config.yml"
        argv: list[str | Path] = [registry_program(), "serve", configuration]
        return Daemon("registry", self.directory, argv, {"PATH": "/usr/bin:/bin"})

    def start(self) -> None:
        """Start the registry unless it runs, and return when it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "config.yml").write_text(
            _CONFIGURATION.format(storage=self.directory / "storage", address=self.address)
        )
        self.daemon.start(ready=self.healthy, timeout=READY_TIMEOUT)

    def healthy(self) -> bool:
        """Say whether the registry answers."""
        return answers(f"{self.url}/v2/")

    def kill(self) -> None:
        """End the process and keep port and storage, so that `start()` brings the same registry back."""
        self.daemon.kill()

    def restart(self) -> None:
        """Stop the process politely and start it again on the same port and storage."""
        self.daemon.stop()
        self.start()

    def stop(self, *, keep_log: bool = False) -> None:
        """End the process and remove storage and settings."""
        Daemon("registry", self.directory).stop()
        shutil.rmtree(self.directory / "storage", ignore_errors=True)
        for name in ("config.yml", "port"):
            (self.directory / name).unlink(missing_ok=True)
        if not keep_log:
            shutil.rmtree(self.directory, ignore_errors=True)

    def blob_path(self, digest: str) -> Path:
        """Return the file in which the registry keeps a blob, for tests that damage or remove it."""
        algorithm, _, value = digest.partition(":")
        return self.directory / "storage/docker/registry/v2/blobs" / algorithm / value[:2] / value / "data"
