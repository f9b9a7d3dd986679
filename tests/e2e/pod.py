"""The agent in its Pod: the image's files and the chart's DaemonSet, run by runc as a kubelet and containerd would have it run."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from controller.oci import seccomp
from hack.lab import containerd_release
from hack.lab.daemon import Daemon
from hack.lab.dockerfile import Stage
from tests.e2e.agent_process import AgentProcess

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
Manifest = Mapping[str, Any]
_KERNEL = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
]
_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}


@dataclass
class PodAgent(AgentProcess):
    """An agent in its Pod. `sources` are what volumes hold that do not come from the node, by the volume's name."""

    workload: Manifest = field(default_factory=dict)
    image: Stage = field(default_factory=lambda: Stage(Path()))
    sources: Mapping[str, Path] = field(default_factory=dict)
    account: Path = Path()
    """What a Pod finds of its service account."""

    @cached_property
    def daemon(self) -> Daemon:
        bundle = self.directory / "bundle"
        bundle.mkdir(parents=True, exist_ok=True)
        (bundle / "config.json").write_text(json.dumps(self._configuration(), indent=2))
        name = f"pod-{os.getpid()}-{self.directory.name}"
        argv = ["runc", "--root", str(self.directory / "runc"), "run", "--bundle", str(bundle), name]
        path = f"{containerd_release.runtime_programs()}:{os.environ['PATH']}"
        return Daemon("agent", self.directory, argv, {"PATH": path})

    @property
    def _pod(self) -> Manifest:
        return dict(self.workload["spec"]["template"]["spec"])

    @property
    def _container(self) -> Manifest:
        return dict(self._pod["containers"][0])

    def _configuration(self) -> dict[str, Any]:
        context = self._container["securityContext"]
        names = [f"CAP_{name}" for name in context["capabilities"]["add"]]
        assert context["capabilities"]["drop"] == ["ALL"]
        shared = {"pid": self._pod["hostPID"], "network": self._pod["hostNetwork"], "uts": self._pod["hostNetwork"]}
        return {
            "ociVersion": "1.0.2",
            "root": {"path": str(self.image.root), "readonly": context["readOnlyRootFilesystem"]},
            "process": {
                "cwd": self.image.directory,
                "user": {"uid": context["runAsUser"], "gid": context["runAsGroup"]},
                "args": [*self.image.entrypoint, *self._told()],
                "env": [f"{name}={value}" for name, value in self._environment().items()],
                "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), names),
            },
            "mounts": [*_KERNEL, *self._mounts()],
            "linux": {
                "cgroupsPath": f"/lab-pods/{self.directory.name}",
                "namespaces": [{"type": kind} for kind in ("mount", "ipc", *(k for k, on in shared.items() if not on))],
                "seccomp": seccomp.default(frozenset(names), platform.machine()),
            },
        }

    def _variables(self) -> dict[str, str]:
        """What the downward API has."""
        return {"spec.nodeName": self.node_name, "status.podIP": "127.0.0.1", "metadata.namespace": "tallyman-system"}

    def _environment(self) -> dict[str, str]:
        told = {
            one["name"]: one.get("value") or self._variables()[one["valueFrom"]["fieldRef"]["fieldPath"]]
            for one in self._container["env"]
        }
        return {**self.image.environment, **told, **self.settings}

    def _told(self) -> list[str]:
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
