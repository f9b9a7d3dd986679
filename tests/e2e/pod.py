"""Agent and manager in their Pods: the image's files and the chart's workloads, run by runc as a kubelet and containerd would have them run."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from controller.oci import seccomp
from hack.lab import containerd_release
from hack.lab.daemon import Daemon
from hack.lab.dockerfile import Stage
from tests.e2e.agent_process import AgentProcess
from tests.e2e.manager_process import ManagerProcess
from tests.e2e.release import NAMESPACE

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
ADDRESS = "127.0.0.1"
Manifest = Mapping[str, Any]
_KERNEL = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
]
_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}


@dataclass(frozen=True)
class Pod:
    """A Pod of one container. `sources` are what volumes hold that do not come from the node, by the volume's name."""

    workload: Manifest
    image: Stage
    sources: Mapping[str, Path]
    account: Path
    """What it finds of its service account."""
    name: str
    """The Pod's, or the node's where that is asked for."""
    settings: Mapping[str, str]
    """Further environment variables."""

    def daemon(self, program: str, directory: Path) -> Daemon:
        """The process that runs it."""
        bundle = directory / "bundle"
        bundle.mkdir(parents=True, exist_ok=True)
        (bundle / "config.json").write_text(json.dumps(self._configuration(directory.name), indent=2))
        name = f"pod-{os.getpid()}-{directory.name}"
        argv = ["runc", "--root", str(directory / "runc"), "run", "--bundle", str(bundle), name]
        path = f"{containerd_release.runtime_programs()}:{os.environ['PATH']}"
        return Daemon(program, directory, argv, {"PATH": path})

    @property
    def _pod(self) -> Manifest:
        return dict(self.workload["spec"]["template"]["spec"])

    @property
    def _container(self) -> Manifest:
        return dict(self._pod["containers"][0])

    @property
    def _context(self) -> Manifest:
        """The container's security context; what it does not say, the Pod's says."""
        return {**self._pod.get("securityContext", {}), **self._container["securityContext"]}

    def _configuration(self, place: str) -> dict[str, Any]:
        context = self._context
        assert context["capabilities"]["drop"] == ["ALL"]
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        names = [f"CAP_{name}" for name in context["capabilities"].get("add", [])]
        network = self._pod.get("hostNetwork", False)
        shared = {"pid": self._pod.get("hostPID", False), "network": network, "uts": network}
        return {
            "ociVersion": "1.0.2",
            "root": {"path": str(self.image.root), "readonly": context["readOnlyRootFilesystem"]},
            "process": {
                "cwd": self.image.directory,
                "user": {
                    "uid": context["runAsUser"],
                    "gid": context["runAsGroup"],
                    "additionalGids": [context["fsGroup"]] if "fsGroup" in context else [],
                },
                "args": [*self.image.entrypoint, *self.told()],
                "env": [f"{name}={value}" for name, value in self._environment().items()],
                "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), names),
                "noNewPrivileges": not context.get("allowPrivilegeEscalation", True),
            },
            "mounts": [*_KERNEL, *self._mounts()],
            "linux": {
                "cgroupsPath": f"/lab-pods/{place}",
                "namespaces": [{"type": kind} for kind in ("mount", "ipc", *(k for k, on in shared.items() if not on))],
                "seccomp": seccomp.default(frozenset(names), platform.machine()),
            },
        }

    def _variables(self) -> dict[str, str]:
        """What the downward API has."""
        names = dict.fromkeys(("spec.nodeName", "metadata.name"), self.name)
        return {**names, "status.podIP": ADDRESS, "metadata.namespace": NAMESPACE}

    def _environment(self) -> dict[str, str]:
        told = {
            one["name"]: one.get("value") or self._variables()[one["valueFrom"]["fieldRef"]["fieldPath"]]
            for one in self._container["env"]
        }
        return {**self.image.environment, **told, **self.settings}

    def told(self) -> list[str]:
        """What the container is told, with its variables filled in."""
        told = list(self._container["args"])
        for name, value in self._environment().items():
            told = [one.replace(f"$({name})", value) for one in told]
        return told

    def _mounts(self) -> list[dict[str, Any]]:
        volumes = {volume["name"]: volume for volume in self._pod["volumes"]}
        mounts = [self._mount(mount, volumes[mount["name"]]) for mount in self._container["volumeMounts"]]
        account = {"destination": ACCOUNT, "type": "bind", "source": str(self.account), "options": ["rbind", "ro"]}
        return [*sorted(mounts, key=lambda mount: str(mount["destination"])), account]

    def _mount(self, mount: Manifest, volume: Manifest) -> dict[str, Any]:
        source = volume["hostPath"]["path"] if "hostPath" in volume else str(self.sources[volume["name"]])
        if volume.get("hostPath", {}).get("type") == "DirectoryOrCreate":
            Path(source).mkdir(parents=True, exist_ok=True)
        assert Path(source).exists(), f"{source} of volume {volume['name']} is not there"
        propagation = _PROPAGATION.get(mount.get("mountPropagation", ""), "rprivate")
        access = "ro" if mount.get("readOnly") else "rw"
        return {
            "destination": mount["mountPath"],
            "type": "bind",
            "source": source,
            "options": ["rbind", propagation, access],
        }


@dataclass(kw_only=True)
class PodAgent(AgentProcess):
    """An agent in its Pod."""

    pod: Pod

    @cached_property
    def daemon(self) -> Daemon:
        return self.pod.daemon("agent", self.directory)


@dataclass(kw_only=True)
class PodManager(ManagerProcess):
    """A manager in its Pod, which listens on `port`."""

    pod: Pod
    port: int

    @cached_property
    def address(self) -> str:
        return f"{ADDRESS}:{self.port}"

    @cached_property
    def daemon(self) -> Daemon:
        return self.pod.daemon("manager", self.directory)
