"""The rules of a spec that span several fields, or that a schema can't state. Each is one function; `RULES` lists them.

A rule takes a spec whose fields are each valid by themselves, and yields what is wrong with them together. What depends on
the node (does the device exist, is the memory there) is not checked here. Pure: no input or output.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from decimal import Decimal
from typing import Final, TypeVar

from controller.api import capabilities, quantity
from controller.api.fields import FieldError, field_path, shown
from controller.api.healthcheck import PROBES, OnFailure
from controller.api.lifecycle import RestartPolicyName
from controller.api.model import wire_name
from controller.api.placement import TolerationOperator
from controller.api.scalars import MAX_ID, label_key_problem
from controller.api.spec import (
    ContainerSpec,
    MountPropagation,
    NetworkMode,
    ResourceAmounts,
    SeccompProfileType,
    SecurityContext,
)
from controller.api.sysctls import canonical, sysctl_problem

Key = TypeVar("Key", bound=Hashable)
Rule = Callable[[ContainerSpec], Iterator[FieldError]]

MINIMUM_MEMORY: Final = Decimal(6 * 2**20)
"""The least that runc can start a process with; Docker has the same minimum."""
MINIMUM_CPU: Final = Decimal("0.001")
MAXIMUM_CPU: Final = Decimal(100_000)
MAXIMUM_BYTES: Final = Decimal(2**63 - 1)
MINIMUM_LOG: Final = Decimal(64 * 2**10)
LONGEST_ARGUMENT: Final = 131072
"""MAX_ARG_STRLEN of Linux: execve(2) refuses a longer argument or `NAME=value`, its NUL included."""

_PROC_FILES: Final = frozenset(
    f"/proc/{name}"
    for name in ("cpuinfo", "diskstats", "loadavg", "meminfo", "net/dev", "slabinfo", "stat", "swaps", "uptime")
)
"""What runc lets a container mount beneath /proc (lxcfs does); everything else there it refuses."""


def command(spec: ContainerSpec) -> Iterator[FieldError]:
    """The program has a name, and the kernel takes every argument."""
    if spec.command and not spec.command[0]:
        yield FieldError("spec.command[0]", "must not be empty: it names the program")
    for name, texts in (("command", spec.command), ("args", spec.args)):
        for index, text in enumerate(texts or ()):
            if len(text.encode()) >= LONGEST_ARGUMENT:
                yield FieldError(f"spec.{name}[{index}]", f"must be shorter than {LONGEST_ARGUMENT} bytes")


def environment(spec: ContainerSpec) -> Iterator[FieldError]:
    """Each variable is set once, and the kernel takes it."""
    for index, name in _repeated(variable.name for variable in spec.env):
        yield FieldError(f"spec.env[{index}].name", f"is set twice: {shown(name)}; keep one of them")
    for index, variable in enumerate(spec.env):
        if len(variable.name.encode()) + len(variable.value.encode()) + 2 > LONGEST_ARGUMENT:
            yield FieldError(f"spec.env[{index}].value", f"with its name must be shorter than {LONGEST_ARGUMENT} bytes")


def limits(spec: ContainerSpec) -> Iterator[FieldError]:
    """The amounts are such as the kernel can enforce."""
    for group, amounts in (("limits", spec.resources.limits), ("requests", spec.resources.requests)):
        field = f"spec.resources.{group}"
        cpu, memory = _amounts(amounts)
        if cpu is not None and not MINIMUM_CPU <= cpu <= MAXIMUM_CPU:
            yield FieldError(f"{field}.cpu", f"must be from 1m to {MAXIMUM_CPU}; got {shown(amounts.cpu)}")
        if memory is not None and memory > MAXIMUM_BYTES:
            yield FieldError(f"{field}.memory", f"is more than any machine has; got {shown(amounts.memory)}")
        if memory is not None and memory < (MINIMUM_MEMORY if group == "limits" else 1):
            least = "6Mi, or the container can't start" if group == "limits" else "1 byte"
            yield FieldError(f"{field}.memory", f"must be at least {least}; got {_explained(amounts.memory)}")


def requests(spec: ContainerSpec) -> Iterator[FieldError]:
    """No request is above its limit."""
    wanted, allowed = spec.resources.requests, spec.resources.limits
    for name, want, most in zip(("cpu", "memory"), _amounts(wanted), _amounts(allowed), strict=True):
        if want is not None and most is not None and want > most:
            yield FieldError(
                f"spec.resources.requests.{name}",
                f"must not be above the limit of {shown(getattr(allowed, name))}; got {shown(getattr(wanted, name))}",
            )


def ulimits(spec: ContainerSpec) -> Iterator[FieldError]:
    """Each is set once, and none is above its own ceiling."""
    for index, name in _repeated(ulimit.name for ulimit in spec.ulimits):
        yield FieldError(f"spec.ulimits[{index}].name", f"is set twice: {shown(name)}; keep one of them")
    for index, ulimit in enumerate(spec.ulimits):
        if ulimit.hard != -1 and (ulimit.soft == -1 or ulimit.soft > ulimit.hard):
            soft = "unlimited" if ulimit.soft == -1 else str(ulimit.soft)
            yield FieldError(f"spec.ulimits[{index}].soft", f"must not be above hard ({ulimit.hard}); got {soft}")


def devices(spec: ContainerSpec) -> Iterator[FieldError]:
    """Each device is given once, and no two have the same path in the container."""
    for index, path in _repeated(device.host_path for device in spec.devices):
        yield FieldError(f"spec.devices[{index}].hostPath", f"is given twice: {shown(path)}; keep one of them")
    for index, path in _repeated(device.container_path or device.host_path for device in spec.devices):
        yield FieldError(f"spec.devices[{index}].containerPath", f"is used by an earlier device: {shown(path)}")
    for index, device in enumerate(spec.devices):
        if (device.container_path or device.host_path) == "/":
            yield FieldError(f"spec.devices[{index}].hostPath", "must be a device, such as /dev/fuse; got '/'")


def kernel_parameters(spec: ContainerSpec) -> Iterator[FieldError]:
    """Only parameters of the container's own namespaces, each once."""
    for name in spec.sysctls:
        problem = sysctl_problem(name, host_network=spec.network.mode is NetworkMode.HOST)
        if problem is not None:
            yield FieldError(field_path(["sysctls", name]), problem)
    names = list(spec.sysctls)
    for index, name in _repeated(canonical(name) for name in names):
        yield FieldError(field_path(["sysctls", names[index]]), f"is set twice: {shown(name)}; keep one of them")


def logging(spec: ContainerSpec) -> Iterator[FieldError]:
    """A log holds more than a few lines."""
    size = spec.logging.max_size
    if not MINIMUM_LOG <= quantity.parse(size) <= MAXIMUM_BYTES:
        yield FieldError("spec.logging.maxSize", f"must be at least 64Ki; got {_explained(size)}")


def user(spec: ContainerSpec) -> Iterator[FieldError]:
    """User and group are each said in one way, and are numbers that the kernel has."""
    context = spec.security_context
    name, _, group = (context.user or "").partition(":")
    if context.user is not None and context.run_as_user is not None:
        yield FieldError("spec.securityContext.runAsUser", "excludes user; keep one of them")
    if group and context.run_as_group is not None:
        yield FieldError("spec.securityContext.runAsGroup", "excludes a group in user; keep one of them")
    if any(part.isdecimal() and int(part[:20]) > MAX_ID for part in (name, group)):
        yield FieldError("spec.securityContext.user", f"must have ids of at most {MAX_ID}; got {shown(context.user)}")
    for index, repeated in _repeated(context.supplemental_groups):
        yield FieldError(f"spec.securityContext.supplementalGroups[{index}]", f"is given twice: {repeated}")


def privileges(spec: ContainerSpec) -> Iterator[FieldError]:
    """No privilege is given and taken at once."""
    context = spec.security_context
    adds = {capabilities.normalise(name) for name in context.capabilities.add}
    for kind, names in (("add", context.capabilities.add), ("drop", context.capabilities.drop)):
        for index, name in _repeated(map(capabilities.normalise, names)):
            yield FieldError(f"spec.securityContext.capabilities.{kind}[{index}]", f"is given twice: {name}")
    if _forbids_escalation(context):
        field = "spec.securityContext.allowPrivilegeEscalation"
        if context.privileged:
            yield FieldError(field, "can't be false for a privileged container; remove one of them")
        elif adds & {capabilities.ALL, "CAP_SYS_ADMIN"}:
            yield FieldError(field, "can't be false when SYS_ADMIN is added; remove one of them")


def seccomp(spec: ContainerSpec) -> Iterator[FieldError]:
    """A profile file is named exactly when one is asked for."""
    profile = spec.security_context.seccomp_profile
    field = "spec.securityContext.seccompProfile.localhostProfile"
    if profile.type is SeccompProfileType.LOCALHOST and profile.localhost_profile is None:
        yield FieldError(field, "is required with type Localhost: name the profile's file")
    if profile.type is not SeccompProfileType.LOCALHOST and profile.localhost_profile is not None:
        yield FieldError(field, f"may be set with type Localhost only; the type is {profile.type}")


def mounts(spec: ContainerSpec) -> Iterator[FieldError]:
    """Each mount has its own place in the container and one source."""
    for index, path in _repeated(mount.mount_path for mount in spec.mounts):
        yield FieldError(f"spec.mounts[{index}].mountPath", f"is used by an earlier mount: {shown(path)}")
    for index, mount in enumerate(spec.mounts):
        field, path = f"spec.mounts[{index}]", mount.mount_path
        if path == "/":
            yield FieldError(f"{field}.mountPath", "must not be / itself; name a directory, such as /data")
        if path == "/proc" or (path.startswith("/proc/") and path not in _PROC_FILES):
            yield FieldError(f"{field}.mountPath", f"must not be in /proc; got {shown(path)}")
        if mount.host_path is None:
            yield FieldError(field, "must have exactly one source; add hostPath")
        if mount.mount_propagation is MountPropagation.BIDIRECTIONAL and not spec.security_context.privileged:
            yield FieldError(f"{field}.mountPropagation", "can be Bidirectional in a privileged container only")


def restarts(spec: ContainerSpec) -> Iterator[FieldError]:
    """The restart policy makes sense, and the object is not to go while it may be started again."""
    policy = spec.restart_policy
    if policy.maximum_retry_count is not None and policy.name is not RestartPolicyName.ON_FAILURE:
        field = "spec.restartPolicy.maximumRetryCount"
        yield FieldError(field, f"may be set with name OnFailure only; the name is {policy.name}")
    if policy.backoff.initial_seconds > policy.backoff.max_seconds:
        field = "spec.restartPolicy.backoff.initialSeconds"
        yield FieldError(field, f"must not be above maxSeconds ({policy.backoff.max_seconds:g})")
    for code in sorted(set(policy.success_exit_codes) & set(policy.never_restart_exit_codes)):
        field = "spec.restartPolicy.neverRestartExitCodes"
        yield FieldError(field, f"must not name {code}, which is a success exit code; remove it from one of them")
    if spec.auto_remove and policy.name is not RestartPolicyName.NEVER:
        yield FieldError("spec.autoRemove", f"excludes restart policy {policy.name}; set restartPolicy.name to Never")


def node_selector(spec: ContainerSpec) -> Iterator[FieldError]:
    """A node can have labels with these keys."""
    for key in spec.node_selector:
        problem = label_key_problem(key)
        if problem is not None:
            yield FieldError(field_path(["nodeSelector", key]), problem)


def tolerations(spec: ContainerSpec) -> Iterator[FieldError]:
    """Each can match some taint."""
    for index, toleration in enumerate(spec.tolerations):
        field = f"spec.tolerations[{index}]"
        if toleration.operator is TolerationOperator.EXISTS and toleration.value:
            yield FieldError(f"{field}.value", f"excludes operator Exists; got {shown(toleration.value)}")
        if toleration.operator is TolerationOperator.EQUAL and toleration.key is None:
            yield FieldError(f"{field}.key", "is required with operator Equal; for every taint write operator Exists")


def dependencies(spec: ContainerSpec) -> Iterator[FieldError]:
    """Each container is named once."""
    for index, name in _repeated(dependency.name for dependency in spec.depends_on):
        yield FieldError(f"spec.dependsOn[{index}].name", f"is given twice: {shown(name)}; keep one of them")


def health(spec: ContainerSpec) -> Iterator[FieldError]:
    """There is one way to check, and what follows from a failure does not contradict the rest."""
    check = spec.health_check
    if check is None:
        return
    given = [wire_name(name) for name in PROBES if getattr(check, name) is not None]
    if len(given) != 1:
        found = f"got {' and '.join(given)}" if given else "got none"
        yield FieldError("spec.healthCheck", f"must have exactly one of exec, httpGet, tcpSocket and grpc; {found}")
    if check.exec is not None and not check.exec.command[0]:
        yield FieldError("spec.healthCheck.exec.command[0]", "must not be empty: it names the program")
    if spec.auto_remove and check.on_failure is OnFailure.RESTART:
        yield FieldError("spec.autoRemove", "excludes healthCheck.onFailure Restart; remove one of them")


RULES: Final[tuple[Rule, ...]] = (
    node_selector,
    tolerations,
    restarts,
    dependencies,
    health,
    command,
    environment,
    limits,
    requests,
    ulimits,
    devices,
    kernel_parameters,
    user,
    privileges,
    seccomp,
    mounts,
    logging,
)


def _repeated(keys: Iterable[Key]) -> Iterator[tuple[int, Key]]:
    """Position and key of each that occurred before."""
    seen: set[Key] = set()
    for index, key in enumerate(keys):
        if key in seen:
            yield index, key
        seen.add(key)


def _amounts(amounts: ResourceAmounts) -> tuple[Decimal | None, Decimal | None]:
    cpu, memory = amounts.cpu, amounts.memory
    return None if cpu is None else quantity.parse(cpu), None if memory is None else quantity.parse(memory)


def _explained(memory: str | int | None) -> str:
    """`512m` is the usual slip: to Kubernetes it is half a byte."""
    if isinstance(memory, str) and memory.endswith("m"):
        return f"{shown(memory)}, and m means thousandths: write {memory[:-1]}Mi"
    return shown(memory)


def _forbids_escalation(context: SecurityContext) -> bool:
    """Whether the user wrote `allowPrivilegeEscalation: false`, which differs from leaving it at its default."""
    return "allow_privilege_escalation" in context.model_fields_set and not context.allow_privilege_escalation
