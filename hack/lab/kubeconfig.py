"""Kubeconfigs for others than the admin of a cluster."""

from __future__ import annotations

from pathlib import Path

import yaml


def with_token(kubeconfig: Path | str, token: str, path: Path) -> Path:
    """Write a kubeconfig like another one, with a service account's token in place of its credentials, for its owner to read."""
    content = yaml.safe_load(Path(kubeconfig).read_text())
    content["users"] = [{"name": user["name"], "user": {"token": token}} for user in content["users"]]
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content))
    return path
