"""Which command a container runs: Kubernetes' rules for `command` and `args` over the image's entrypoint and command. Pure."""

from controller.api.container import ContainerSpec
from controller.oci.errors import NoCommand, OCIError
from controller.oci.image import ImageConfig


def argv(spec: ContainerSpec, image: ImageConfig) -> tuple[str, ...]:
    """The arguments of the container's process, the program first.

    `command` replaces the image's entrypoint, and then the image's command is not used either; `args` replaces the image's
    command. An empty list counts as absent.

    Raises:
        NoCommand: nobody names a program.
    """
    program = tuple(spec.command or image.entrypoint)
    arguments = tuple(spec.args or (() if spec.command else image.cmd))
    found = program + arguments
    if not found:
        raise NoCommand("no command: neither the Container nor the image names one; set command")
    if not found[0]:
        raise NoCommand("the command's first word is empty; it must name the program to run")
    if any("\0" in word for word in found):
        raise OCIError("command and args can't contain NUL characters")
    return found
