"""Which servers stand for a registry, by containerd's own `hosts.toml` (containerd, docs/hosts.md). Reads files only.

For registry `host[:port]` the first of these directories below the configured one decides: `host_port_`, `host:port`,
`_default`. Its `hosts.toml` lists mirrors in the order to try; the registry's own server comes last. A directory without
`hosts.toml` may hold Docker's certificate files. With no directory at all it is https, or plain http on a loopback
address, as in containerd.
"""

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from controller.containerd.image_errors import RegistryConfigInvalid
from controller.containerd.registry.reference import ImageReference

CAPABILITIES = frozenset({"pull", "resolve", "push"})


@dataclass(frozen=True, slots=True)
class Host:
    """One server: `base` is its URL up to and without the repository, as in `https://mirror.example/v2`."""

    base: str
    capabilities: frozenset[str] = CAPABILITIES
    skip_verify: bool = False
    ca: tuple[Path, ...] = ()
    client: tuple[tuple[Path, Path | None], ...] = ()
    """Certificates to show, each with its key (None: the key is in the same file)."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def authority(self) -> str:
        """Host and port."""
        return urlsplit(self.base).netloc


def hosts_for(reference: ImageReference, directory: Path | None) -> tuple[Host, ...]:
    """Return the servers to try for a registry, in order.

    Reads `directory` anew each time, as containerd does, so that a change needs no restart. Raises
    `RegistryConfigInvalid`.
    """
    found = _directory_for(reference.host, directory)
    if found is None:
        return (_default(reference.host),)
    file = found / "hosts.toml"
    if not file.exists():
        return (_with_certificates(_default(reference.host), found),)
    try:
        return _parse(tomllib.loads(file.read_text(encoding="utf-8")), reference.host, found)
    except (OSError, ValueError, TypeError) as error:
        raise RegistryConfigInvalid(f"{file}: {error}") from error


def is_upstream(host: Host, registry: str) -> bool:
    """Whether a server is the registry itself and not a mirror, which is told the registry's name (`?ns=`)."""
    return host.authority == registry or (registry == "docker.io" and host.authority == "registry-1.docker.io")


def _directory_for(registry: str, root: Path | None) -> Path | None:
    if root is None:
        return None
    names = [registry, "_default"]
    if port := re.fullmatch(r"(.+):(\d+)", registry):
        names.insert(0, f"{port[1]}_{port[2]}_")
    return next((root / name for name in names if (root / name).is_dir()), None)


def _default(registry: str) -> Host:
    server = "registry-1.docker.io" if registry == "docker.io" else registry
    return Host(f"{'http' if _is_loopback(registry) else 'https'}://{server}/v2")


def _is_loopback(registry: str) -> bool:
    name = urlsplit(f"//{registry}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _with_certificates(host: Host, directory: Path) -> Host:
    """Add Docker's certificate files: `*.crt` are authorities, `*.cert` with `*.key` are shown to the server."""
    ca = tuple(sorted(directory.glob("*.crt")))
    client = tuple((cert, cert.with_suffix(".key")) for cert in sorted(directory.glob("*.cert")))
    return Host(host.base, ca=ca, client=client)


def _parse(config: dict[str, Any], registry: str, directory: Path) -> tuple[Host, ...]:
    mirrors = config.get("host", {})
    if not isinstance(mirrors, dict):
        raise TypeError("host is not a table")
    hosts = [_host(server, settings, directory) for server, settings in mirrors.items()]
    server = config.get("server") or _default(registry).base.removesuffix("/v2")
    return (*hosts, _host(server, config, directory))


def _host(server: str, settings: Mapping[str, Any], directory: Path) -> Host:
    if not isinstance(settings, dict):
        raise TypeError(f"host {server!r} is not a table")
    capabilities = frozenset(settings.get("capabilities") or CAPABILITIES)
    if unknown := capabilities - CAPABILITIES:
        raise ValueError(f"unknown capabilities {', '.join(sorted(unknown))} of {server}")
    return Host(
        base=_base(server, override=bool(settings.get("override_path", False))),
        capabilities=capabilities,
        skip_verify=bool(settings.get("skip_verify", False)),
        ca=tuple(_path(one, directory) for one in _as_list(settings.get("ca"))),
        client=tuple(_pair(one, directory) for one in _as_list(settings.get("client"))),
        headers=tuple(
            (name, str(value)) for name, values in settings.get("header", {}).items() for value in _as_list(values)
        ),
    )


def _base(server: str, *, override: bool) -> str:
    """Return the base URL of a server as hosts.toml names it: https unless it says, `/v2` added unless told not to."""
    url = urlsplit(server if "://" in server else f"https://{server}")
    if url.scheme not in {"http", "https"} or not url.netloc or url.username is not None:
        raise ValueError(f"server {server!r} is not an http or https URL")
    path = url.path.rstrip("/")
    if not override and not path.endswith("/v2"):
        path += "/v2"
    return f"{url.scheme}://{url.netloc}{path}"


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _path(name: Any, directory: Path) -> Path:
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is not a path")
    return directory / name


def _pair(entry: Any, directory: Path) -> tuple[Path, Path | None]:
    """Return certificate and key of one entry of `client`: a file with both, or a pair of files."""
    if isinstance(entry, list):
        if not 1 <= len(entry) <= 2:
            raise ValueError("client takes a file, or pairs of certificate and key")
        return _path(entry[0], directory), _path(entry[1], directory) if entry[1:] and entry[1] else None
    return _path(entry, directory), None
