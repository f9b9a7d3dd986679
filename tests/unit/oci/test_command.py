"""Kubernetes' rules for command and args over the image's entrypoint and command."""

import pytest

from controller.api.container import ContainerSpec
from controller.oci.command import argv
from controller.oci.errors import NoCommand, OCIError
from controller.oci.image import ImageConfig

_E, _C = ("/entry", "e"), ("cmd", "c")


@pytest.mark.feature("L1")
@pytest.mark.parametrize(
    ("command", "args", "entrypoint", "cmd", "expected"),
    [
        pytest.param(None, None, _E, _C, (*_E, *_C), id="the image alone"),
        pytest.param(None, None, _E, (), _E, id="an image with an entrypoint only"),
        pytest.param(None, None, (), _C, _C, id="an image with a command only"),
        pytest.param(["x"], None, _E, _C, ("x",), id="command replaces both"),
        pytest.param(None, ["y"], _E, _C, (*_E, "y"), id="args replaces the image's command"),
        pytest.param(["x"], ["y"], _E, _C, ("x", "y"), id="both replace both"),
        pytest.param([], [], _E, _C, (*_E, *_C), id="empty lists count as absent"),
        pytest.param([], ["y"], _E, _C, (*_E, "y"), id="an empty command beside args"),
        pytest.param(None, ["y"], (), _C, ("y",), id="args without an entrypoint"),
        pytest.param(["x", ""], None, (), (), ("x", ""), id="an empty argument is an argument"),
    ],
)
def test_command_and_args(
    command: list[str] | None,
    args: list[str] | None,
    entrypoint: tuple[str, ...],
    cmd: tuple[str, ...],
    expected: tuple[str, ...],
) -> None:
    spec = ContainerSpec(image="a", command=command, args=args)
    assert argv(spec, ImageConfig(entrypoint=entrypoint, cmd=cmd)) == expected


def test_nobody_names_a_command() -> None:
    with pytest.raises(NoCommand, match="neither the Container nor the image names one"):
        argv(ContainerSpec(image="a"), ImageConfig())


def test_the_first_word_is_empty() -> None:
    with pytest.raises(NoCommand, match="first word is empty"):
        argv(ContainerSpec(image="a"), ImageConfig(cmd=("",)))


def test_nul_characters_are_refused() -> None:
    with pytest.raises(OCIError, match="NUL"):
        argv(ContainerSpec(image="a"), ImageConfig(cmd=("a", "b\0")))
