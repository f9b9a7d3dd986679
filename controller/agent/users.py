"""Who a container's process is: names are looked up in the image's own /etc/passwd and /etc/group, once an image.

The files are read from a view of the image that no lease holds: should the agent die in the middle, containerd's garbage collection
takes the view, and the kernel takes the mount with the process that made it.
"""

from collections import OrderedDict
from uuid import uuid4

from controller.agent.images import ReadyImage
from controller.agent.rootfs import RootfsReader
from controller.api.container import SecurityContext
from controller.containerd.client import Containerd
from controller.containerd.errors import NotFound
from controller.oci import user as oci_user
from controller.oci.user import User

PASSWD = "etc/passwd"  # noqa: S105 - a path
GROUP = "etc/group"
_REMEMBERED = 64
Accounts = tuple[bytes | None, bytes | None]
"""The contents of /etc/passwd and /etc/group."""


class Users:
    """Users of images, with the files of the last images remembered."""

    def __init__(self, containerd: Containerd, snapshotter: str, reader: RootfsReader) -> None:
        self._containerd = containerd
        self._snapshotter = snapshotter
        self._reader = reader
        self._accounts: OrderedDict[str, Accounts] = OrderedDict()

    async def resolve(self, security: SecurityContext, ready: ReadyImage) -> User:
        """The user that the process runs as.

        Raises:
            UserNotFound: the image does not have the user or group.
            ContainerdError: containerd could not be asked.
        """
        passwd: bytes | None = None
        group: bytes | None = None
        if oci_user.needs_lookup(security, ready.config.user):
            passwd, group = await self._read(ready.image.chain_id)
        return oci_user.resolve(security, ready.config.user, image=ready.image.name, passwd=passwd, group=group)

    async def _read(self, chain_id: str) -> Accounts:
        if chain_id in self._accounts:
            self._accounts.move_to_end(chain_id)
            return self._accounts[chain_id]
        key = f"tallyman-accounts-{uuid4().hex}"
        mounts = await self._containerd.snapshots.view(self._snapshotter, key, chain_id)
        try:
            files = await self._reader.read(mounts, [PASSWD, GROUP])
        finally:
            try:
                await self._containerd.snapshots.remove(self._snapshotter, key)
            except NotFound:
                pass
        self._accounts[chain_id] = (files.get(PASSWD), files.get(GROUP))
        while len(self._accounts) > _REMEMBERED:
            self._accounts.popitem(last=False)
        return self._accounts[chain_id]
