"""Seccomp profiles of type Localhost: files beneath one directory of the node, which a Container names by a relative path."""

import os
from pathlib import Path

from controller.agent import confined
from controller.oci.errors import InvalidProfile
from controller.oci.seccomp import MAX_PROFILE_BYTES


def read(directory: Path, name: str) -> bytes:
    """The contents of a profile, one byte more than is allowed at most; links can't lead out of the directory.

    Raises:
        InvalidProfile: it is not there, or can't be read.
    """
    try:
        root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with confined.opened(root, name, clamp=False) as found:
                return Path(f"/proc/self/fd/{found}").read_bytes()[: MAX_PROFILE_BYTES + 1]
        finally:
            os.close(root)
    except OSError as error:
        raise InvalidProfile(
            f"spec.securityContext.seccompProfile.localhostProfile: {name!r} can't be read in this node's directory of "
            f"profiles: {error.strerror}"
        ) from error
