"""Downloads from the machine's own Debian mirror through an apt configuration of the lab's own.

The mirror's address is read from the machine's sources at run time; lists, state and archives live in the cache. Nothing
is installed, and neither the machine's apt lists nor its sources are read for anything but the address.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from hack.lab import cache
from hack.lab.command import run
from hack.lab.errors import LabError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = Path("/etc/apt")
DOWNLOAD_TIMEOUT = 600.0

_CONFIGURATION = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "{state}";
Dir::State::lists "{state}/lists";
Dir::Cache "{state}";
Dir::Cache::archives "{state}/archives";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{state}/sources";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
"""


def download(suite: str, package: str, into: Path) -> Path:
    """Download the newest .deb of a package of that suite into a directory and return its path."""
    _fetch(suite, ["apt-get", "-q", "download", package], into, sources=False)
    return next(into.glob(f"{package}_*.deb"))


def download_source(suite: str, package: str, into: Path) -> None:
    """Download the files of a source package into a directory, checked by apt against the signed index."""
    _fetch(suite, ["apt-get", "-q", "source", "--download-only", package], into, sources=True)


def mirror() -> str:
    """Return the address of the Debian archive that this machine uses."""
    codename = _os_release().get("VERSION_CODENAME", "")
    entries = [*_deb822_entries(), *_one_line_entries()]
    for address, suites in entries:
        if codename in suites and "security" not in address:
            return address
    raise LabError(
        f"no entry of the Debian archive with suite {codename or '(no VERSION_CODENAME in /etc/os-release)'} in"
        f" {SOURCES}/sources.list or {SOURCES}/sources.list.d: the lab takes containerd and the rest from the mirror"
        " that it finds there; add one (see sources.list(5))"
    )


def _fetch(suite: str, argv: list[str], into: Path, *, sources: bool) -> None:
    name = f"apt/{suite}-sources" if sources else f"apt/{suite}"
    with cache.locked(name):
        state = cache.root() / name
        environment = os.environ | {"APT_CONFIG": str(state / "apt.conf"), "LC_ALL": "C"}
        if not (state / "updated").exists():
            _update(state, suite, environment, sources=sources)
        try:
            run(argv, timeout=DOWNLOAD_TIMEOUT, env=environment, cwd=into)
        except LabError:  # the lists may name a version that the mirror has replaced
            _update(state, suite, environment, sources=sources)
            run(argv, timeout=DOWNLOAD_TIMEOUT, env=environment, cwd=into)


def _update(state: Path, suite: str, environment: Mapping[str, str], *, sources: bool) -> None:
    if not KEYRING.exists():
        raise LabError(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
    for directory in ("lists/partial", "archives/partial", "sources"):
        (state / directory).mkdir(parents=True, exist_ok=True)
    (state / "apt.conf").write_text(_CONFIGURATION.format(state=state))
    (state / "sources" / "lab.sources").write_text(
        f"Types: deb{' deb-src' if sources else ''}\nURIs: {mirror()}\nSuites: {suite}\nComponents: main\n"
        f"Signed-By: {KEYRING}\n"
    )
    try:
        run(["apt-get", "-q", "update"], timeout=DOWNLOAD_TIMEOUT, env=environment)
    except LabError as error:
        raise LabError(f"cannot read Debian {suite} from {mirror()}; is there a network?\n{error}") from error
    (state / "updated").touch()


def _os_release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key: value.strip('"') for key, _, value in pairs}


def _deb822_entries() -> Iterator[tuple[str, list[str]]]:
    """Give (address, suites) of each stanza in the *.sources files."""
    for path in sorted((SOURCES / "sources.list.d").glob("*.sources")):
        text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
        for stanza in re.split(r"\n\s*\n", text):
            fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
            if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes") != "no":
                for address in fields.get("URIs", "").split():
                    yield address, fields.get("Suites", "").split()


def _one_line_entries() -> Iterator[tuple[str, list[str]]]:
    """Give (address, suites) of each line in sources.list and the *.list files."""
    for path in [SOURCES / "sources.list", *sorted((SOURCES / "sources.list.d").glob("*.list"))]:
        if path.exists():
            for match in re.finditer(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)", path.read_text(), re.MULTILINE):
                yield match[1], [match[2]]
