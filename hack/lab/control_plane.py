"""A private Kubernetes control plane: etcd and a real kube-apiserver with RBAC, on random ports of 127.0.0.1.

There is no scheduler and no controller manager: objects of core kinds are stored, and nothing acts on them. Service
account tokens can be minted (`kubectl create token`, TokenRequest); the ServiceAccount admission plugin is off.
"""

from __future__ import annotations

import base64
import json
import shutil
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

from hack.lab import control_plane_programs as programs
from hack.lab import ports
from hack.lab.answers import answers
from hack.lab.certificates import make_certificates
from hack.lab.daemon import Daemon

ETCD_TIMEOUT = 30.0
APISERVER_TIMEOUT = 90.0
STOP_GRACE = 3.0


@dataclass
class ControlPlane:
    """One control plane with data, certificates, logs and pid files below `directory`.

    `start()` twice is fine. `kill_apiserver()`, `stop_apiserver()` and `start_apiserver()` take the API away and bring
    the same one back: same port, same data, same kubeconfig. `stop()` removes everything.
    """

    directory: Path
    extra_arguments: Sequence[str] = ()
    """Further arguments of the API server, such as those of its audit log."""

    def __post_init__(self) -> None:
        self.directory = self.directory.absolute()

    def __enter__(self) -> ControlPlane:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig; the file exists once `start` has returned."""
        return self.directory / "kubeconfig"

    @property
    def certificates(self) -> Path:
        """The directory with ca.crt, admin.crt, admin.key and the rest."""
        return self.directory / "certificates"

    @property
    def port(self) -> int:
        """The port of the API server."""
        return ports.remembered_port(self.directory / "apiserver.port")

    @property
    def address(self) -> str:
        """The URL of the API server."""
        return f"https://127.0.0.1:{self.port}"

    @cached_property
    def etcd(self) -> Daemon:
        """The etcd process."""
        program = programs.etcd()
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        argv = [
            str(program),
            "--name=lab",
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=lab={peer}",
            "--log-level=warn",
        ]
        if programs.supports(program, "--unsafe-no-fsync"):
            argv.append("--unsafe-no-fsync")
        return Daemon("etcd", self.directory, argv, {"PATH": "/usr/bin:/bin"})

    @cached_property
    def apiserver(self) -> Daemon:
        """The kube-apiserver process."""
        keys = self.certificates
        argv = [
            str(programs.kube_apiserver()),
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.port}",
            f"--cert-dir={keys}",
            f"--tls-cert-file={keys / 'server.crt'}",
            f"--tls-private-key-file={keys / 'server.key'}",
            f"--client-ca-file={keys / 'ca.crt'}",
            f"--service-account-key-file={keys / 'service-accounts.crt'}",
            f"--service-account-signing-key-file={keys / 'service-accounts.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--service-cluster-ip-range=10.96.0.0/16",
            *self.extra_arguments,
        ]
        return Daemon("kube-apiserver", self.directory, argv, {"PATH": "/usr/bin:/bin"})

    def start(self) -> None:
        """Start what does not run yet, and return when the API is ready and has its default namespace."""
        self.directory.mkdir(parents=True, exist_ok=True)
        make_certificates(self.certificates)
        self._write_kubeconfig()
        self.etcd.start(ready=self._etcd_healthy, timeout=ETCD_TIMEOUT)
        self.start_apiserver()

    def start_apiserver(self) -> None:
        """Start the API server unless it runs, and return when it is ready."""
        self.apiserver.start(ready=self.healthy, timeout=APISERVER_TIMEOUT)

    def stop_apiserver(self) -> None:
        """Stop the API server politely; etcd and the data stay."""
        self.apiserver.stop(grace=STOP_GRACE)

    def kill_apiserver(self) -> None:
        """End the API server with SIGKILL; etcd and the data stay."""
        self.apiserver.kill()

    def kill(self) -> None:
        """End etcd and the API server with SIGKILL; the data stays."""
        self.apiserver.kill()
        self.etcd.kill()

    def restart(self) -> None:
        """Stop both processes and start them again on the same ports and data."""
        self.stop_apiserver()
        self.etcd.stop(grace=STOP_GRACE)
        self.start()

    def stop(self, *, keep_log: bool = False) -> None:
        """End both processes and remove data, certificates and kubeconfig."""
        for name in ("kube-apiserver", "etcd"):
            Daemon(name, self.directory).stop(grace=STOP_GRACE)
        if not keep_log:
            shutil.rmtree(self.directory, ignore_errors=True)
            return
        for name in ("etcd", "certificates"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        for path in [*self.directory.glob("*.port"), self.kubeconfig]:
            path.unlink(missing_ok=True)

    def healthy(self) -> bool:
        """Say whether the API server is ready."""
        return self._get("/readyz") and self._get("/api/v1/namespaces/default")

    @property
    def _etcd_port(self) -> int:
        return ports.remembered_port(self.directory / "etcd.port")

    @property
    def _peer_port(self) -> int:
        return ports.remembered_port(self.directory / "etcd-peer.port")

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.certificates / "ca.crt"))
        context.load_cert_chain(self.certificates / "admin.crt", self.certificates / "admin.key")
        return context

    def _get(self, path: str) -> bool:
        return answers(self.address + path, tls=self._tls)

    def _etcd_healthy(self) -> bool:
        return answers(f"http://127.0.0.1:{self._etcd_port}/health")

    def _write_kubeconfig(self) -> None:
        if self.kubeconfig.exists():
            return
        user = {
            "client-certificate-data": self._encoded("admin.crt"),
            "client-key-data": self._encoded("admin.key"),
        }
        cluster = {"server": self.address, "certificate-authority-data": self._encoded("ca.crt")}
        context = {"cluster": "lab", "user": "admin", "namespace": "default"}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "lab", "context": context}],
            "current-context": "lab",
        }
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(content, indent=2) + "\n")

    def _encoded(self, name: str) -> str:
        return base64.b64encode((self.certificates / name).read_bytes()).decode()
