"""A private Prometheus (Debian's) on 127.0.0.1 that scrapes what it is told to, and promtool, which comes with it."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from hack.lab import debian, ports
from hack.lab.answers import answers
from hack.lab.command import run
from hack.lab.daemon import Daemon
from hack.lab.errors import LabError

READY_TIMEOUT = 60.0
ANSWER_TIMEOUT = 10.0
PROMTOOL_TIMEOUT = 60.0


@dataclass(frozen=True)
class Target:
    """One thing to scrape, with the labels that service discovery would give it."""

    job: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def scrape_config(self) -> dict[str, Any]:
        """Return it as Prometheus's configuration has it; a target's own labels win over those given here."""
        return {
            "job_name": self.job,
            "honor_labels": True,
            "static_configs": [{"targets": [self.address], "labels": dict(self.labels)}],
        }


@dataclass
class Prometheus:
    """One Prometheus with its data, log and pid file below `directory`; usable as a context manager."""

    directory: Path
    targets: Sequence[Target] = ()
    rules: Sequence[Path] = ()
    seconds: int = 1
    """How often it scrapes, and evaluates its rules."""

    def __enter__(self) -> Prometheus:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Where it listens; chosen on first use and kept in the directory."""
        return f"127.0.0.1:{ports.remembered_port(self.directory / 'port')}"

    @property
    def daemon(self) -> Daemon:
        """The process, with its log."""
        program = debian.executable(debian.BOOKWORM, "prometheus", "usr/bin/prometheus")
        arguments = [
            f"--config.file={self.directory / 'prometheus.json'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address={self.address}",
        ]
        return Daemon("prometheus", self.directory, [program, *arguments], {"PATH": "/usr/bin:/bin"})

    def configuration(self) -> dict[str, Any]:
        """Return its configuration: JSON is YAML too."""
        every = f"{self.seconds}s"
        return {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": [str(path) for path in self.rules],
            "scrape_configs": [target.scrape_config() for target in self.targets],
        }

    def start(self) -> None:
        """Start it unless it runs, and return when it answers queries."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "prometheus.json").write_text(json.dumps(self.configuration(), indent=2))
        self.daemon.start(ready=self.ready, timeout=READY_TIMEOUT)

    def ready(self) -> bool:
        """Say whether it answers queries."""
        return answers(f"http://{self.address}/-/ready", timeout=ANSWER_TIMEOUT)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression gives now: each with its labels (`metric`) and its `value`."""
        data = self._get("/api/v1/query", query=expression)
        if data["resultType"] in {"scalar", "string"}:
            return [{"metric": {}, "value": data["result"]}]
        return list(data["result"])

    def rule_groups(self) -> list[dict[str, Any]]:
        """Return its rule groups, each rule with its health and its last error."""
        return list(self._get("/api/v1/rules")["groups"])

    def stop(self) -> None:
        """End the process and remove everything."""
        Daemon("prometheus", self.directory).stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"http://{self.address}{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=ANSWER_TIMEOUT) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise LabError(f"Prometheus refuses {parameters or path}: {error.read().decode()}") from error
        except (urllib.error.URLError, OSError) as error:
            raise LabError(f"Prometheus does not answer: {error}", log=self.daemon.log) from error


def promtool(*words: str | Path, stdin: str | None = None) -> str:
    """Run promtool and return what it printed; raise with its last words when it finds something wrong."""
    program = debian.executable(debian.BOOKWORM, "prometheus", "usr/bin/promtool")
    return run([program, *words], timeout=PROMTOOL_TIMEOUT, stdin=stdin)
