"""`up`: from nothing to a declared container that runs, or from anything in between; what runs well is left alone."""

from __future__ import annotations

import json
import os
import shlex
import socket
from pathlib import Path

from hack.lab import containerd_release
from hack.lab.agent_process import Agent
from hack.lab.checkout import EXAMPLE_REGISTRY, NAMESPACE, Checkout
from hack.lab.cluster import KIND, Cluster
from hack.lab.errors import LabError
from hack.lab.example_images import busybox, hello
from hack.lab.fetch import fetch_control_plane
from hack.lab.image_push import push
from hack.lab.kubectl import find_kubectl
from hack.lab.manager_process import Manager
from hack.lab.progress import Progress

STEPS = ("tools", "containerd", "registry", "image", "cluster", "definitions", "manager", "agent", "example")
IMAGES = {"hello:1.0": hello, "hello:latest": hello, "busybox:latest": busybox}
FIRST_RUN_SECONDS = 180
LATER_RUN_SECONDS = 30

_ENV_FILE = """\
# Made by `make up`; use it with:  . {path}
export KUBECONFIG={kubeconfig}
export CONTAINERD_ADDRESS={address}
export CONTAINERD_NAMESPACE={namespace}
export NODE_NAME={node}
export REGISTRY={registry}
case ":$PATH:" in
    *:{programs}:*) ;;
    *) export PATH={programs}:{environment}:"$PATH" ;;
esac
"""

_HOSTS_FILE = """\
# {name} means the registry that `make up` started.
server = "{url}"

[host."{url}"]
  capabilities = ["pull", "resolve"]
"""


class Up:
    """One run of `up`. Each step is a method that may be repeated."""

    def __init__(self, checkout: Checkout, progress: Progress) -> None:
        self.checkout = checkout
        self.progress = progress
        self.containerd = checkout.containerd()
        self.registry = checkout.registry()
        self.external = checkout.external_kubeconfig()
        self.kubeconfig = self.external or str(checkout.control_plane().kubeconfig)
        self.node_name = os.environ.get("NODE_NAME") or socket.gethostname().lower()
        self.cluster = Cluster(find_kubectl(checkout.environment_bin), self.kubeconfig)

    def run(self, until: str) -> None:
        """Do the steps in order, the one named `until` being the last."""
        if os.geteuid() != 0:
            raise LabError("containerd, mounts and cgroups need root: run `make up` as root")
        self.checkout.local.mkdir(exist_ok=True)
        for name in STEPS[: STEPS.index(until) + 1]:
            getattr(self, f"do_{name}")()

    def do_tools(self) -> None:
        """Fetch what the node needs."""
        with self.progress.step(f"fetch containerd {self.containerd.version}, runc, crun, CNI plugins") as step:
            directory = containerd_release.release(self.containerd.version).programs
            containerd_release.runtime_programs()
            containerd_release.network_plugins()
            step.note(str(directory.parents[1]))

    def do_containerd(self) -> None:
        """Start containerd."""
        with self.progress.step(f"start containerd {self.containerd.version}") as step:
            step.note("already running" if self.containerd.daemon.alive() else self.containerd.address)
            self.checkout.note_containerd(self.containerd.version)
            self.containerd.start()
            link = self.checkout.local / "run"
            if not link.is_symlink():
                link.symlink_to(self.checkout.run_dir)

    def do_registry(self) -> None:
        """Start the registry, and let the name that the examples use lead to it."""
        with self.progress.step("start the image registry") as step:
            running = self.registry.daemon.alive()
            self.registry.start()
            step.note("already running" if running else self.registry.address)
            directory = self.checkout.registry_config / EXAMPLE_REGISTRY
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "hosts.toml").write_text(_HOSTS_FILE.format(name=EXAMPLE_REGISTRY, url=self.registry.url))

    def do_image(self) -> None:
        """Put the images of the examples into the registry."""
        with self.progress.step("push the example images") as step:
            for name, image in IMAGES.items():
                push(self.registry.address, name, image())
            step.note(f"{EXAMPLE_REGISTRY}/: {', '.join(IMAGES)}")

    def do_cluster(self) -> None:
        """Start a control plane, unless the user has a cluster of their own."""
        if self.external:
            with self.progress.step("reach the cluster of KUBECONFIG") as step:
                missing = [path for path in self.external.split(":") if not Path(path).exists()]
                if missing:
                    raise LabError(f"KUBECONFIG names {missing[0]}, which is not there; unset it to get a cluster made")
                self.checkout.external_note.write_text(f"{self.external}\n")
                version = json.loads(self.cluster.run("get", "--raw", "/version"))
                step.note(f"{self.external}, {version.get('gitVersion')}")
        else:
            self._start_control_plane()
        self._write_env_file()

    def do_definitions(self) -> None:
        """Install the custom resource definitions, and what else an agent needs in the cluster."""
        with self.progress.step("install the CRDs") as step:
            step.note(self.cluster.install_definitions(self.checkout.top / "crds"))
            self.cluster.make_lease_namespace()

    def do_manager(self) -> None:
        """Start the manager."""
        with self.progress.step("start the manager") as step:
            step.note(Manager(self.checkout, self.kubeconfig, self.node_name).start())

    def do_agent(self) -> None:
        """Start the agent."""
        with self.progress.step(f"start the agent on node {self.node_name}") as step:
            step.note(self._agent().start())

    def do_example(self) -> None:
        """Apply the example once, and wait till it is Ready."""
        manifest = self.checkout.top / "examples/hello.yaml"
        with self.progress.step("run examples/hello.yaml") as step:
            known = self.cluster.exists("hello")
            if not known:
                self.checkout.example_note.touch()
                self.cluster.run("apply", "-f", str(manifest))
            if self.cluster.wait_ready("hello", LATER_RUN_SECONDS if known else FIRST_RUN_SECONDS):
                step.note("Ready")
            elif known:
                step.note("exists, is not Ready and was left as it is: kubectl describe container hello")
            else:
                said = self.cluster.run("describe", KIND, "hello", "-n", "default")
                raise LabError(f"`hello` did not become Ready:\n{said}", log=self._agent().daemon.log)

    def summary(self) -> str:
        """Return what there is now, and what to try next."""
        listed = self.cluster.run("get", KIND, "-A")
        return f"""
{listed}
Up after {self.progress.total():.1f} s. What to try next:

  . {_shown(self.checkout.env_file)}
  kubectl get containers                    # get, describe, edit, delete: as with everything else
  kubectl get containernodes                # the node: cordon it, taint it, label it
  kubectl explain container.spec
  kubectl describe container hello
  kubectl apply -f examples/                # more of them
  ctr containers ls                         # what containerd has
  make down                                 # stops and removes all of this
"""

    def _start_control_plane(self) -> None:
        plane = self.checkout.control_plane()
        self.checkout.external_note.unlink(missing_ok=True)
        fetch_control_plane(self.progress)
        with self.progress.step("start the control plane") as step:
            running = plane.apiserver.alive() and plane.etcd.alive()
            plane.start()
            step.note("already running" if running else plane.address)

    def _agent(self) -> Agent:
        return Agent(self.checkout, self.kubeconfig, self.containerd, self.node_name)

    def _write_env_file(self) -> None:
        programs_dir = self.checkout.local / "bin"
        programs_dir.mkdir(exist_ok=True)
        ctr = containerd_release.release(self.containerd.version).programs / "ctr"
        for program in (self.cluster.kubectl, ctr):
            link = programs_dir / program.name
            link.unlink(missing_ok=True)
            link.symlink_to(program)
        quoted = {
            "path": self.checkout.env_file,
            "kubeconfig": self.kubeconfig,
            "address": self.containerd.address,
            "namespace": NAMESPACE,
            "node": self.node_name,
            "registry": self.registry.address,
            "programs": programs_dir,
            "environment": self.checkout.environment_bin,
        }
        values = {name: shlex.quote(str(value)) for name, value in quoted.items()}
        self.checkout.env_file.write_text(_ENV_FILE.format(**values))


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
