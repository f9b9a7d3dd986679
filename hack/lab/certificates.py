"""Keys and certificates for one control plane, made with the openssl program (bare machines have no `cryptography`)."""

from __future__ import annotations

import shutil
from pathlib import Path

from hack.lab import debian
from hack.lab.command import run

DAYS = "3650"
NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default.svc"
OPENSSL_TIMEOUT = 30.0


def make_certificates(directory: Path) -> None:
    """Fill a directory with ca, server, admin (system:masters) and service-accounts .key and .crt files, once."""
    if (directory / "complete").exists():
        return
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca = [
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
    ]
    _certificate(directory, "ca", "/CN=tallyman-lab", *ca)
    signed = ["-CA", str(directory / "ca.crt"), "-CAkey", str(directory / "ca.key")]
    leaf = [*signed, "-addext", "basicConstraints=critical,CA:FALSE"]
    serving = ["-addext", NAMES, "-addext", "extendedKeyUsage=serverAuth"]
    _certificate(directory, "server", "/CN=kube-apiserver", *leaf, *serving)
    _certificate(directory, "admin", "/O=system:masters/CN=admin", *leaf, "-addext", "extendedKeyUsage=clientAuth")
    _certificate(directory, "service-accounts", "/CN=service-accounts")
    (directory / "complete").touch()


def _certificate(directory: Path, name: str, subject: str, *options: str) -> None:
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(directory / f"{name}.key"), "-out", str(directory / f"{name}.crt")]
    settings = directory / "openssl.cnf"
    settings.write_text("[req]\ndistinguished_name=name\n[name]\n")
    argv: list[str | Path] = [
        _openssl(),
        "req",
        "-x509",
        "-config",
        settings,
        "-days",
        DAYS,
        "-subj",
        subject,
        *key,
        *files,
        *options,
    ]
    run(argv, timeout=OPENSSL_TIMEOUT)


def _openssl() -> Path:
    found = shutil.which("openssl")
    if found is not None:
        return Path(found)
    return debian.executable(debian.BOOKWORM, "openssl", "usr/bin/openssl", libraries=("libssl3",))
