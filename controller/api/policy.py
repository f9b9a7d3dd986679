"""What the operator of a node lets the Containers of each namespace do: the policy file's model, and the check against it.

Whoever may create a Container must not thereby become root of the node. So everything that reaches out of the container is
refused unless a rule allows it; rules only ever allow, all that match a namespace count together, and their order means nothing.
Paths are compared component by component. What a path leads to on the node is not known here: who opens it asks again, with the
real path. Pure: no input or output.
"""

# ruff: noqa: RUF012 -- pydantic copies a default for each instance
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import ConfigDict, Field, ValidationError

from controller.api import capabilities
from controller.api.fields import FieldError, shown
from controller.api.model import Model
from controller.api.scalars import AbsolutePath, CapabilityName, Flag, Matches
from controller.api.spec import (
    ContainerSpec,
    MountPropagation,
    NetworkMode,
    SeccompProfileType,
)
from controller.api.wording import in_our_words

EVERY: Final = "*"
LONGEST_PATH: Final = 255
NamespaceName = Annotated[
    str,
    Field(max_length=63),
    Matches(r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$", "must be the name of a namespace, or `*` for every one"),
]


class PolicyPart(Model):
    """A part of the policy file. What it does not know is an error: a misspelt word must not pass unnoticed."""

    model_config = ConfigDict(extra="forbid")


class AllowedPath(PolicyPart):
    """A file or directory of the node, with all that is beneath it."""

    path: AbsolutePath
    """Absolute path; links in it are not followed."""
    read_only: Flag = False
    """Allow it in mounts with `readOnly: true` only, and make nothing there."""


class Allowances(PolicyPart):
    """What a rule allows. Anything that is not said is not allowed."""

    privileged: Flag = False
    """Privileged containers, and so every device, every capability and no system call filter: root on the node in all but name."""
    host_network: Flag = False
    """`network.mode: host`."""
    host_paths: list[AllowedPath] = []
    """Files and directories of the node that may be mounted."""
    devices: list[AbsolutePath] = []
    """Devices of the node, or directories of devices."""
    capabilities: list[CapabilityName] = []
    """Capabilities beyond the default set that may be added; `ALL` stands for every one."""
    seccomp_unconfined: Flag = False
    """`seccompProfile.type: Unconfined`."""
    allow_privilege_escalation: Flag = False
    """`allowPrivilegeEscalation: true`."""
    bidirectional_mounts: Flag = False
    """`mountPropagation: Bidirectional`."""


class PolicyRule(PolicyPart):
    """What some namespaces are allowed."""

    namespaces: Annotated[list[NamespaceName], Field(min_length=1)]
    """Names of namespaces; `*` stands for every one."""
    allow: Allowances
    """What they are allowed."""


class Policy(PolicyPart):
    """A node's policy. Without rules it allows nothing of what it is about."""

    rules: list[PolicyRule] = []
    """The rules; all that name a namespace count together."""

    def grants(self, namespace: str) -> "Grants":
        """What all rules together allow a namespace."""
        matching = [rule.allow for rule in self.rules if {namespace, EVERY} & set(rule.namespaces)]
        return Grants(namespace, tuple(matching))


NOTHING: Final = Policy()
"""The policy of a node without a policy file."""


class InvalidPolicy(ValueError):
    """A policy file that breaks a rule; the message names field and rule."""


def read(document: object) -> Policy:
    """The policy that a parsed file holds; an empty file allows nothing.

    Raises:
        InvalidPolicy: it holds none.
    """
    if document is None:
        return NOTHING
    if not isinstance(document, Mapping):
        raise InvalidPolicy("must be an object with the field `rules`")
    try:
        return Policy.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as failure:
        errors = (FieldError(e.field.removeprefix("spec."), e.message) for e in in_our_words(failure))
        raise InvalidPolicy("; ".join(map(str, errors))) from None


@dataclass(frozen=True)
class Grants:
    """What one namespace is allowed."""

    namespace: str
    allowed: tuple[Allowances, ...]

    def flag_problem(self, name: str, key: str) -> str:
        """Why what needs this flag may not be had; empty when it may. Completes the sentence "this field …"."""
        if any(getattr(allowances, name) for allowances in self.allowed):
            return ""
        return self._refusal(f"{key}: true")

    def path_problem(self, path: str, *, read_only: bool) -> str:
        """Why this path of the node may not be mounted so; empty when it may."""
        entries = [e for allowances in self.allowed for e in allowances.host_paths if is_beneath(path, e.path)]
        if any(read_only or not entry.read_only for entry in entries):
            return ""
        entry = f"path: {_named(path)}, readOnly: true" if read_only else f"path: {_named(path)}"
        only = "; readOnly: true is allowed" if entries else ""
        return f"{_named(path)} {self._refusal(f'hostPaths: [{{{entry}}}]')}{only}"

    def device_problem(self, path: str) -> str:
        """Why this device of the node may not be given; empty when it may."""
        if any(is_beneath(path, prefix) for allowances in self.allowed for prefix in allowances.devices):
            return ""
        return f"{_named(path)} {self._refusal(f'devices: [{_named(path)}]')}"

    def capability_problem(self, name: str) -> str:
        """Why this capability may not be added; empty when it may."""
        full = capabilities.normalise(name)
        allowed = {capabilities.normalise(one) for allowances in self.allowed for one in allowances.capabilities}
        if full in capabilities.DEFAULT or allowed & {full, capabilities.ALL}:
            return ""
        short = full.removeprefix("CAP_")
        return f"{short} {self._refusal(f'capabilities: [{short}]')}"

    def _refusal(self, entry: str) -> str:
        return (
            f"is not allowed in namespace {self.namespace} by this node's policy; "
            f"its operator can add `{entry}` to what a rule for the namespace allows"
        )


def _named(path: str) -> str:
    """The path in full, for it is what has to be written into the policy, unless it can only be nonsense."""
    return repr(path) if path.isprintable() and len(path) <= LONGEST_PATH else shown(path)


def is_beneath(path: str, prefix: str) -> bool:
    """Whether an absolute path is the other one or lies beneath it, component by component; never with `..` in either."""
    if not path.startswith("/") or not prefix.startswith("/"):
        return False
    parts, first = _parts(path), _parts(prefix)
    return ".." not in parts and ".." not in first and parts[: len(first)] == first


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def violations(spec: ContainerSpec, namespace: str, policy: Policy) -> tuple[FieldError, ...]:
    """What of the spec the policy does not allow in this namespace."""
    grants = policy.grants(namespace)
    found = (*_security(spec, grants), *_network(spec, grants), *_devices(spec, grants), *_mounts(spec, grants))
    return tuple(FieldError(field, problem) for field, problem in found if problem)


Found = Iterator[tuple[str, str]]
"""Fields, and what is wrong with each; empty when nothing is."""


def _security(spec: ContainerSpec, grants: Grants) -> Found:
    context, field = spec.security_context, "spec.securityContext"
    if context.privileged:
        # It has the rest of these by being privileged.
        yield f"{field}.privileged", grants.flag_problem("privileged", "privileged")
        return
    for index, name in enumerate(context.capabilities.add):
        yield f"{field}.capabilities.add[{index}]", grants.capability_problem(name)
    if context.seccomp_profile.type is SeccompProfileType.UNCONFINED:
        yield f"{field}.seccompProfile.type", grants.flag_problem("seccomp_unconfined", "seccompUnconfined")
    if context.allow_privilege_escalation:
        key = "allowPrivilegeEscalation"
        yield f"{field}.{key}", grants.flag_problem("allow_privilege_escalation", key)


def _network(spec: ContainerSpec, grants: Grants) -> Found:
    if spec.network.mode is NetworkMode.HOST:
        yield "spec.network.mode", grants.flag_problem("host_network", "hostNetwork")


def _devices(spec: ContainerSpec, grants: Grants) -> Found:
    if spec.security_context.privileged:
        return
    for index, device in enumerate(spec.devices):
        yield f"spec.devices[{index}].hostPath", grants.device_problem(device.host_path)


def _mounts(spec: ContainerSpec, grants: Grants) -> Found:
    for index, mount in enumerate(spec.mounts):
        if mount.host_path is not None:
            problem = grants.path_problem(mount.host_path.path, read_only=mount.read_only)
            yield f"spec.mounts[{index}].hostPath.path", problem
        if mount.mount_propagation is MountPropagation.BIDIRECTIONAL:
            problem = grants.flag_problem("bidirectional_mounts", "bidirectionalMounts")
            yield f"spec.mounts[{index}].mountPropagation", problem
