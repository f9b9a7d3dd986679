"""What keeps a container from being described to the runtime: errors that carry the reason under which they are shown.

They are ValueErrors because every one of them is about a value that somebody wrote, in the Container or in the image. Pure.
"""

from controller.api.reasons import Reason


class OCIError(ValueError):
    """A value that no runtime spec can be made from. The message is one sentence for the user, with the way out."""

    reason: Reason = Reason.INVALID_SPEC


class InvalidReference(OCIError):
    """The image's name breaks a rule of the grammar; the message says which."""

    reason = Reason.INVALID_IMAGE_NAME


class InvalidImage(OCIError):
    """The image's configuration is not what the OCI image specification allows."""

    reason = Reason.CREATE_ERROR


class NoCommand(OCIError):
    """Neither the Container nor the image names a command."""

    reason = Reason.COMMAND_NOT_FOUND


class UserNotFound(OCIError):
    """A user or group that the image's /etc/passwd or /etc/group does not have."""

    reason = Reason.USER_NOT_FOUND


class NodeUnfit(OCIError):
    """The node lacks something that the spec asks for."""

    reason = Reason.NODE_UNFIT


class InvalidProfile(OCIError):
    """A seccomp profile from the node's directory of profiles that can't be used."""

    reason = Reason.INVALID_SPEC
