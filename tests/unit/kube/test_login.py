"""Where an agent in a Pod finds the API server, and who it is there."""

import dataclasses
from pathlib import Path

import kopf
import pytest

from controller.kube import client

OFFERED = kopf.ConnectionInfo(server="https://kubernetes.default.svc", scheme="Bearer", token="secret")


@pytest.fixture(autouse=True)
def _in_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: OFFERED)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT", raising=False)


@pytest.mark.parametrize(
    ("host", "port", "server"),
    [
        ("10.96.0.1", "443", "https://10.96.0.1:443"),
        ("10.96.0.1", None, "https://10.96.0.1:443"),
        ("fd00::1", "6443", "https://[fd00::1]:6443"),
    ],
)
def test_the_api_server_is_at_the_address_that_the_kubelet_tells(
    monkeypatch: pytest.MonkeyPatch, host: str, port: str | None, server: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    if port is not None:
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    assert client.login() == dataclasses.replace(OFFERED, server=server)


def test_without_an_address_it_is_at_the_cluster_s_name() -> None:
    assert client.login() == OFFERED


def test_without_a_service_account_the_kubeconfig_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: None)
    own = dataclasses.replace(OFFERED, server="https://127.0.0.1:6443")
    monkeypatch.setattr(kopf, "login_with_kubeconfig", lambda **_: own)
    assert client.login() == own
