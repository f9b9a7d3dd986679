"""Registering a container: everything that its runtime spec depends on is gathered and made sure of, then containerd is told.

Nothing is made before all checks have passed. A container that is there already is adopted when it is the same object's, and
cleared away when it is a stranger's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from controller.agent import hostpaths, identity
from controller.agent.declared import Declared
from controller.agent.images import ReadyImage
from controller.agent.node import Node
from controller.agent.observed import ObservedStore, from_records
from controller.agent.policy import Permits, PolicyKeeper
from controller.agent.removal import Remover
from controller.agent.runtimes import Runtime, Runtimes
from controller.agent.settings import Settings
from controller.agent.users import Users
from controller.api.container import ContainerSpec, SeccompProfileType
from controller.api.signals import parse_signal
from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.oci import fingerprint, seccomp, spec
from controller.oci.inputs import Inputs, NodeFacts

DEFAULT_STOP_SIGNAL = "SIGTERM"


@dataclass(frozen=True)
class Draft:
    """A container as containerd is to register it."""

    container_id: str
    uid: str
    document: Mapping[str, Any]
    labels: Mapping[str, str]
    image_name: str
    runtime_type: str


class Creator:
    """Makes containers' records."""

    def __init__(
        self,
        *,
        containerd: Containerd,
        observed: ObservedStore,
        node: Node,
        runtimes: Runtimes,
        users: Users,
        policy: PolicyKeeper,
        remover: Remover,
        settings: Settings,
    ) -> None:
        self._containerd = containerd
        self._observed = observed
        self._node = node
        self._runtimes = runtimes
        self._users = users
        self._policy = policy
        self._remover = remover
        self._settings = settings

    async def create(self, declared: Declared, wanted: ContainerSpec, ready: ReadyImage) -> None:
        """Check the node, build the runtime spec and register the container.

        Raises:
            OCIError: the spec can't be met on this node.
            ContainerdError: containerd refused or could not be asked.
        """
        draft = await self._draft(declared, wanted, ready)
        try:
            await self._register(draft)
        except errors.AlreadyExists:
            await self._adopt_or_clear(draft)

    async def check(self, declared: Declared, wanted: ContainerSpec, ready: ReadyImage) -> None:
        """Do all that comes before the registration of a container, for one that is to be made later.

        Raises:
            OCIError: the spec can't be met on this node.
            ContainerdError: containerd could not be asked.
        """
        await self._draft(declared, wanted, ready)

    async def _draft(self, declared: Declared, wanted: ContainerSpec, ready: ReadyImage) -> Draft:
        """Everything that is to be told to containerd; raises when the node is not fit for it."""
        self._node.check()
        runtime = self._runtimes.find(wanted.runtime_name)
        await self._runtimes.check(runtime)
        container_id = identity.container_id(declared.uid, declared.spec_hash)
        return Draft(
            container_id=container_id,
            uid=declared.uid,
            document=spec.build(await self._inputs(declared, wanted, ready, container_id)),
            labels=_labels(declared, wanted, ready, runtime, self._node.boot_id),
            image_name=ready.image.name,
            runtime_type=runtime.type,
        )

    async def _inputs(self, declared: Declared, wanted: ContainerSpec, ready: ReadyImage, container_id: str) -> Inputs:
        root, permits = self._settings.host_root, Permits(self._policy.grants(declared.key[0]), wanted)
        return Inputs(
            spec=wanted,
            image=ready.config,
            container_id=container_id,
            namespace=self._settings.containerd_namespace,
            node=self._facts(wanted),
            user=await self._users.resolve(wanted.security_context, ready),
            mounts=tuple(
                hostpaths.resolve_mount(mount, field=f"spec.mounts[{index}]", permit=permits.mount, host_root=root)
                for index, mount in enumerate(wanted.mounts)
            ),
            devices=tuple(
                hostpaths.resolve_device(device, field=f"spec.devices[{index}]", permit=permits.device, host_root=root)
                for index, device in enumerate(wanted.devices)
            ),
            seccomp_profile=self._seccomp_profile(wanted),
        )

    def _facts(self, wanted: ContainerSpec) -> NodeFacts:
        """What is true of the node; its devices are looked at anew for each container that gets them all."""
        if not wanted.security_context.privileged:
            return self._node.facts
        return replace(self._node.facts, devices=hostpaths.node_devices(host_root=self._settings.host_root))

    def _seccomp_profile(self, wanted: ContainerSpec) -> Mapping[str, Any] | None:
        profile = wanted.security_context.seccomp_profile
        if profile.type is not SeccompProfileType.LOCALHOST or profile.localhost_profile is None:
            return None
        return seccomp.localhost(hostpaths.read_profile(self._settings.seccomp_dir, profile.localhost_profile))

    async def _register(self, draft: Draft) -> None:
        with self._observed.making(draft.container_id):
            record = await self._containerd.containers.create(
                container_id=draft.container_id,
                spec=draft.document,
                snapshotter=self._settings.snapshotter,
                snapshot_key=draft.container_id,
                image=draft.image_name,
                labels=draft.labels,
                runtime_name=draft.runtime_type,
            )
            made = from_records(record, None)
            if made is None:
                raise errors.Internal("Containers.Create", "containerd answered with other labels than it was given")
            self._observed.put(made)

    async def _adopt_or_clear(self, draft: Draft) -> None:
        """The id is taken: by this object, whose creation was cut short, or by something left over from elsewhere."""
        known = await self._observed.refresh(draft.container_id)
        if known is not None and known.uid == draft.uid:
            return
        await self._remover.clear(draft.container_id)
        await self._register(draft)


def _labels(
    declared: Declared, wanted: ContainerSpec, ready: ReadyImage, runtime: Runtime, boot_id: str
) -> dict[str, str]:
    """What the container has to remember; all that is left of it when the agent starts anew."""
    namespace, name = declared.key
    stop_signal = wanted.stop_signal or ready.config.stop_signal or DEFAULT_STOP_SIGNAL
    return {
        identity.NAMESPACE: namespace,
        identity.NAME: name,
        identity.UID: declared.uid,
        identity.GENERATION: str(declared.generation),
        identity.SPEC_HASH: declared.spec_hash,
        identity.FINGERPRINT: fingerprint.encode(declared.fingerprint),
        identity.RESOURCES: declared.resources,
        identity.IMAGE_ID: ready.image.config_digest,
        identity.CHAIN_ID: ready.image.chain_id,
        identity.RUNTIME: runtime.name,
        identity.LOG_DRIVER: wanted.logging.driver,
        identity.STOP_SIGNAL: str(_signal(stop_signal)),
        identity.GRACE: str(wanted.termination_grace_period_seconds),
        identity.RESTARTS: "0",
        identity.RESTARTED_AT: declared.restarted_at,
        identity.BOOT_ID: boot_id,
    }


def _signal(text: str) -> int:
    """The number of the stop signal; an image's that does not parse counts as none."""
    try:
        return parse_signal(text)
    except ValueError:
        return parse_signal(DEFAULT_STOP_SIGNAL)
