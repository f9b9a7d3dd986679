"""What a user is warned of: specs that are allowed and seldom do what was meant. kubectl shows it; nothing is refused.

Few, and each worth a line at every apply: a field without effect, a habit from Pods that means something else here. Pure.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

from controller.api.container import ContainerSpec, SeccompProfileType
from controller.api.fields import shown
from controller.api.model import Model, wire_name
from controller.oci.reference import DEFAULT_TAG, Reference

_VARIABLE: Final = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_.-]{0,63})\)")
Advice = Callable[[ContainerSpec, Reference], Iterator[str]]


def advice(spec: ContainerSpec, image: Reference) -> list[str]:
    """Every warning about the spec, each a line that begins with the field."""
    return [line for rule in RULES for line in rule(spec, image)]


def privileged(spec: ContainerSpec, _: Reference) -> Iterator[str]:
    """Privilege makes finer grants and bounds void."""
    context = spec.security_context
    if not context.privileged:
        return
    if context.capabilities.add or context.capabilities.drop:
        yield "spec.securityContext.capabilities: has no effect: a privileged container has every capability"
    named = "seccomp_profile" in context.model_fields_set
    if named and context.seccomp_profile.type is not SeccompProfileType.UNCONFINED:
        yield "spec.securityContext.seccompProfile: has no effect: a privileged container has no filter"


def moving_tag(spec: ContainerSpec, image: Reference) -> Iterator[str]:
    """What runs after the next start may be another program than the one that was tested."""
    if image.tag == DEFAULT_TAG and image.digest is None:
        yield f"spec.image: {shown(spec.image)} is whatever was pushed last as latest; name a version or a digest"


def variables(spec: ContainerSpec, _: Reference) -> Iterator[str]:
    """In a Pod the kubelet expands `$(NAME)`; here it stays what it is. Told once, at its first place."""
    names = {variable.name for variable in spec.env}
    for field, text in _texts(spec):
        for found in _VARIABLE.finditer(text):
            if found[1] in names:
                yield f"{field}: {found[0]} stays as it is written: variables are not expanded here, as they are in a Pod"
                return


def hanging_checks(spec: ContainerSpec, _: Reference) -> Iterator[str]:
    """The interval is counted from the end of a check: one that hangs makes the next one late."""
    check = spec.health_check
    if check is not None and check.timeout_seconds > check.interval_seconds:
        seconds = max(check.retries, 1) * (check.interval_seconds + check.timeout_seconds)
        yield (
            f"spec.healthCheck.timeoutSeconds: {check.timeout_seconds:g} is longer than intervalSeconds "
            f"({check.interval_seconds:g}): a process that hangs is unhealthy after {seconds:g} s"
        )


def deprecated(spec: ContainerSpec, _: Reference) -> Iterator[str]:
    """Fields that will go; the model says what takes their place."""
    return outdated(spec, "spec")


RULES: Final[tuple[Advice, ...]] = (privileged, moving_tag, variables, hanging_checks, deprecated)


def outdated(model: Model, path: str) -> Iterator[str]:
    """Each field in use that the model marks as deprecated. One at its default is not: the API server fills those in."""
    for name, field in type(model).model_fields.items():
        value, where = model.__dict__[name], f"{path}.{wire_name(name)}"
        if field.deprecation_message is not None and value != field.get_default(call_default_factory=True):
            yield f"{where}: is deprecated: {field.deprecation_message}"
        for place, part in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(part, Model):
                yield from outdated(part, where if place is None else f"{where}[{place}]")


def _texts(spec: ContainerSpec) -> Iterator[tuple[str, str]]:
    for field, texts in (("command", spec.command), ("args", spec.args)):
        for index, text in enumerate(texts or ()):
            yield f"spec.{field}[{index}]", text
    for index, variable in enumerate(spec.env):
        yield f"spec.env[{index}].value", variable.value
