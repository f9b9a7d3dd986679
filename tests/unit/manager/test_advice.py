"""What users are warned of, and that they are left alone with everything else."""

from typing import Any

import pytest
from pydantic import Field

from controller.api.model import Model
from controller.manager.advice import advice, outdated
from controller.oci.acceptance import check
from tests.bad_containers import BASE
from tests.unit.manager.reviews import GOOD

NO_EFFECT = "spec.securityContext.capabilities: has no effect: a privileged container has every capability"
NO_FILTER = "spec.securityContext.seccompProfile: has no effect: a privileged container has no filter"


def _latest(image: str) -> str:
    return f"spec.image: {image!r} is whatever was pushed last as latest; name a version or a digest"


def _literal(field: str, text: str) -> str:
    return f"{field}: {text} stays as it is written: variables are not expanded here, as they are in a Pod"


def _slow(timeout: float, interval: float, after: str) -> str:
    return (
        f"spec.healthCheck.timeoutSeconds: {timeout} is longer than intervalSeconds ({interval}): "
        f"a process that hangs is unhealthy after {after}"
    )


def _security(**context: Any) -> dict[str, Any]:
    return {**GOOD, "securityContext": context}


def _check(**check_: Any) -> dict[str, Any]:
    return {**GOOD, "healthCheck": {"tcpSocket": {"port": 80}, **check_}}


ADVICE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a plain container": (GOOD, []),
    "a tag and a digest": ({"image": f"busybox:latest@sha256:{'0' * 64}"}, []),
    "a digest alone": ({"image": f"busybox@sha256:{'0' * 64}"}, []),
    "the tag latest": (BASE, [_latest("localhost:5000/hello:latest")]),
    "no tag": ({"image": "busybox"}, [_latest("busybox")]),
    "privileged alone": (_security(privileged=True), []),
    "privileged, with capabilities": (_security(privileged=True, capabilities={"add": ["NET_ADMIN"]}), [NO_EFFECT]),
    "privileged, less capabilities": (_security(privileged=True, capabilities={"drop": ["ALL"]}), [NO_EFFECT]),
    "privileged, with empty lists": (_security(privileged=True, capabilities={"add": [], "drop": []}), []),
    "capabilities without privilege": (_security(capabilities={"add": ["NET_ADMIN"]}), []),
    "privileged, with a seccomp profile": (
        _security(privileged=True, seccompProfile={"type": "RuntimeDefault"}),
        [NO_FILTER],
    ),
    "privileged and unconfined": (_security(privileged=True, seccompProfile={"type": "Unconfined"}), []),
    "a seccomp profile without privilege": (_security(seccompProfile={"type": "RuntimeDefault"}), []),
    "a variable in an argument": (
        {**GOOD, "env": [{"name": "PORT", "value": "80"}], "args": ["-p", "$(PORT)"]},
        [_literal("spec.args[1]", "$(PORT)")],
    ),
    "a variable in the command, and again": (
        {**GOOD, "env": [{"name": "PORT"}], "command": ["x$(PORT)y"], "args": ["$(PORT)"]},
        [_literal("spec.command[0]", "$(PORT)")],
    ),
    "a variable in a variable": (
        {**GOOD, "env": [{"name": "HOST"}, {"name": "URL", "value": "http://$(HOST)/"}]},
        [_literal("spec.env[1].value", "$(HOST)")],
    ),
    "a command that a shell is to run": (
        {**GOOD, "env": [{"name": "PORT"}], "command": ["sh", "-c", "echo $(date) $PORT ${PORT}"]},
        [],
    ),
    "a health check that is slower than its timeout": (_check(intervalSeconds=10, timeoutSeconds=5), []),
    "a health check that is as slow as its timeout": (_check(intervalSeconds=5, timeoutSeconds=5), []),
    "a health check that is faster than its timeout": (
        _check(intervalSeconds=1, timeoutSeconds=5),
        [_slow(5, 1, "18 s")],
    ),
    "a health check that is faster than its timeout, without retries": (
        _check(intervalSeconds=0.5, timeoutSeconds=1, retries=0),
        [_slow(1, 0.5, "1.5 s")],
    ),
}


@pytest.mark.feature("D3")
@pytest.mark.parametrize(("spec", "lines"), ADVICE.values(), ids=ADVICE.keys())
def test_the_user_is_warned(spec: dict[str, Any], lines: list[str]) -> None:
    checked = check(spec, name="web", node=None)
    assert checked.spec is not None, checked.message
    assert checked.reference is not None

    assert advice(checked.spec, checked.reference) == lines


class Part(Model):
    old: str = Field("a", deprecated="use new")
    new: str = "a"


class Whole(Model):
    parts: list[Part] = []  # noqa: RUF012 - pydantic copies a default for each instance
    part: Part | None = None
    gone_id: int | None = Field(None, deprecated="it does nothing")


@pytest.mark.feature("D3")
@pytest.mark.parametrize(
    ("given", "lines"),
    [
        ({}, []),
        ({"part": {"new": "b"}}, []),
        ({"part": {"old": "a"}}, []),
        ({"part": {"old": "b"}}, ["spec.part.old: is deprecated: use new"]),
        ({"parts": [{}, {"old": "b"}]}, ["spec.parts[1].old: is deprecated: use new"]),
        ({"goneID": 7}, ["spec.goneID: is deprecated: it does nothing"]),
    ],
    ids=[
        "nothing is given",
        "another field is given",
        "the default is given",
        "within an object",
        "within a list",
        "at the top",
    ],
)
def test_deprecated_fields_are_told(given: dict[str, Any], lines: list[str]) -> None:
    assert list(outdated(Whole.model_validate(given), "spec")) == lines
