"""The chart in a control plane, by Helm itself, and the accounts that it makes."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import helm_python
import yaml

from hack.lab.kubeconfig import with_token
from tests.e2e.cluster import Cluster

CHART = Path(__file__).parents[2] / "helm" / "tallyman"
NAME, NAMESPACE = "tallyman", "tallyman-system"
HELM_SECONDS = 120
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Release:
    """A release of the chart in a cluster; there is none until `install`."""

    cluster: Cluster

    @cached_property
    def _helm(self) -> helm_python.Config:
        return helm_python.Config(kubeconfig_path=self.cluster.kubeconfig, namespace=NAMESPACE)

    def install(self, values: Mapping[str, Any] | None = None, chart: Path = CHART, *, dry_run: bool = False) -> str:
        """`helm install`; returns the manifests as they were sent."""
        made = self._helm.install(
            chart,
            NAME,
            dict(values or {}),
            namespace=NAMESPACE,
            create_namespace=not dry_run,
            timeout=HELM_SECONDS,
            dry_run="server" if dry_run else None,
        )
        return str(made["manifest"])

    def upgrade(self, values: Mapping[str, Any] | None = None, chart: Path = CHART) -> str:
        """`helm upgrade`; returns the manifests as they were sent."""
        made = self._helm.upgrade(
            chart, NAME, dict(values or {}), namespace=NAMESPACE, timeout=HELM_SECONDS, reset_values=True
        )
        return str(made["manifest"])

    def uninstall(self) -> None:
        """`helm uninstall`."""
        self._helm.uninstall(NAME, timeout=HELM_SECONDS)

    def uninstall_if_there(self) -> None:
        """What a test that failed has left."""
        self._helm.uninstall(NAME, timeout=HELM_SECONDS, ignore_not_found=True)

    def objects(self) -> list[Manifest]:
        """The release's objects as the API server has them now; one that is not there is an error."""
        documents = [one for one in yaml.safe_load_all(str(self._helm.status(NAME)["manifest"])) if one]
        by_namespace: dict[str, list[Manifest]] = {}
        for one in documents:
            by_namespace.setdefault(one["metadata"].get("namespace", NAMESPACE), []).append(one)
        return [found for place in by_namespace.items() for found in self._read(*place)]

    def _read(self, namespace: str, manifests: list[Manifest]) -> list[Manifest]:
        given = yaml.safe_dump_all(manifests)
        answer = json.loads(self.cluster.kubectl("-n", namespace, "get", "-o", "json", "-f", "-", given=given))
        return list(answer["items"] if answer["kind"] == "List" else [answer])

    def object(self, kind: str, name: str) -> Manifest:
        """One of them."""
        [found] = [one for one in self.objects() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
        return found

    def kubeconfig(self, account: str, path: Path) -> str:
        """The path of a kubeconfig with a token of one of the release's service accounts."""
        token = self.cluster.kubectl("-n", NAMESPACE, "create", "token", account, "--duration=2h").strip()
        return str(with_token(self.cluster.plane.kubeconfig, token, path))


def copy_of_chart(directory: Path) -> Path:
    """A copy of the chart that a test may change."""
    return Path(shutil.copytree(CHART, directory / "tallyman"))


def account_name(account: str) -> str:
    """How the API server calls a service account of the release."""
    return f"system:serviceaccount:{NAMESPACE}:{account}"


def confined(workload: Manifest, *, without: str = "") -> tuple[str, ...]:
    """A command that runs the one after it with the capabilities that the first container of a workload has, less one."""
    context = workload["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"]
    assert context["drop"] == ["ALL"]
    kept = [f"+{name.lower()}" for name in context.get("add", []) if name != without]
    return ("setpriv", f"--bounding-set={','.join(['-all', *kept])}", "--inh-caps=-all", "--")


def arguments(workload: Manifest, **variables: str) -> list[str]:
    """What the first container of a workload is told, with its variables filled in."""
    told = list(workload["spec"]["template"]["spec"]["containers"][0]["args"])
    for name, value in variables.items():
        told = [one.replace(f"$({name})", value) for one in told]
    return told
