"""Who the container's process is: user and groups by name or number, looked up in the image's /etc/passwd and /etc/group.

The rules are Docker's (and so those of every image that was ever written):

- a number is an id, even if a user has it as a name; a number that /etc/passwd does not have is used with group 0;
- without a group of its own the user's group is that of /etc/passwd, and it is a member of the groups of /etc/group that list
  it; that holds for root too, whose groups some images use;
- with a group named, no memberships are taken from the image;
- supplementalGroups come on top in every case.

The files are part of the image and so may be hostile: what can't be parsed is skipped, what is too large is cut. Pure: the
caller reads the files, once per image, and only if `needs_lookup` says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from controller.api.container import SecurityContext
from controller.api.scalars import MAX_ID
from controller.oci.errors import OCIError, UserNotFound

MAX_FILE_BYTES: Final = 2**20
"""As much of /etc/passwd and /etc/group is read; more than any image in earnest use has."""
_MAX_GROUPS: Final = 1024
"""More memberships than this are dropped; the kernel allows 65536, no image needs them."""


@dataclass(frozen=True, slots=True)
class User:
    """The resolved identity of the container's process."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()
    """Ascending, the primary group included: without it, files that deny access to a group could be read by dropping it."""
    home: str | None = None
    """The home directory by /etc/passwd; None when not looked up, then the OCI runtime finds it."""


@dataclass(frozen=True, slots=True)
class _Account:
    name: str
    uid: int
    gid: int
    home: str


def requested(security: SecurityContext, image_user: str) -> tuple[str, str]:
    """User and group as text, from the Container or else from the image; empty means not given."""
    if security.run_as_user is not None:
        user, group = str(security.run_as_user), ""
    else:
        user, _, group = (security.user if security.user is not None else image_user).partition(":")
    if security.run_as_group is not None:
        group = str(security.run_as_group)
    return user, group


def needs_lookup(security: SecurityContext, image_user: str) -> bool:
    """Whether /etc/passwd and /etc/group matter: always, unless user and group are both given as numbers."""
    user, group = requested(security, image_user)
    return not (_is_number(user) and _is_number(group))


def resolve(
    security: SecurityContext, image_user: str, *, image: str, passwd: bytes | None = None, group: bytes | None = None
) -> User:
    """The identity asked for.

    `image` names the image in errors; `passwd` and `group` are the contents of its files, None for one that is not there.

    Raises:
        UserNotFound: a name that the files don't have.
        OCIError: an id out of range, or a text that is not `user` or `user:group`.
    """
    user_text, group_text = requested(security, image_user)
    if ":" in group_text:
        raise OCIError(f"user {user_text}:{group_text!r} has more than one colon; write user or user:group")
    account = _account(user_text, image, passwd or b"")
    gid = _group_id(group_text, image, group or b"") if group_text else account.gid
    members = () if group_text else _memberships(account.name, group or b"")
    additional = {gid, *members, *(_checked(number) for number in security.supplemental_groups)}
    return User(uid=account.uid, gid=gid, additional_gids=tuple(sorted(additional)), home=account.home or None)


def _account(text: str, image: str, passwd: bytes) -> _Account:
    uid = _number(text or "0") if _is_number(text or "0") else None
    for account in _accounts(passwd):
        if account.uid == uid if uid is not None else account.name == text:
            return account
    if uid is None:
        raise UserNotFound(f"user {text!r} is not in /etc/passwd of image {image}; use a name that it has, or a number")
    return _Account(name="", uid=uid, gid=0, home="")


def _group_id(text: str, image: str, group: bytes) -> int:
    if _is_number(text):
        return _number(text)
    for name, gid, _ in _groups(group):
        if name == text:
            return gid
    raise UserNotFound(f"group {text!r} is not in /etc/group of image {image}; use a name that it has, or a number")


def _memberships(name: str, group: bytes) -> tuple[int, ...]:
    if not name:
        return ()
    return tuple(gid for _, gid, members in _groups(group) if name in members)[:_MAX_GROUPS]


def _accounts(passwd: bytes) -> Iterator[_Account]:
    """The usable lines of /etc/passwd: `name:password:uid:gid:comment:home:shell`."""
    for fields in _lines(passwd):
        if len(fields) >= 4 and fields[0] and _is_id(fields[2]) and _is_id(fields[3]):
            home = fields[5] if len(fields) > 5 and fields[5].startswith("/") else ""
            yield _Account(fields[0], int(fields[2]), int(fields[3]), home)


def _groups(group: bytes) -> Iterator[tuple[str, int, frozenset[str]]]:
    """The usable lines of /etc/group: `name:password:gid:member,member`."""
    for fields in _lines(group):
        if len(fields) >= 3 and fields[0] and _is_id(fields[2]):
            members = fields[3].split(",") if len(fields) > 3 else ()
            yield fields[0], int(fields[2]), frozenset(member.strip() for member in members)


def _lines(content: bytes) -> Iterator[list[str]]:
    for line in content[:MAX_FILE_BYTES].decode("utf-8", errors="replace").split("\n"):
        text = line.strip()
        if text and not text.startswith("#") and "\0" not in text:
            yield text.split(":")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str) -> int:
    # The length first: Python refuses to convert thousands of digits, and the image may hold them.
    return _checked(int(text) if len(text) <= 32 else MAX_ID + 1)


def _is_id(text: str) -> bool:
    return _is_number(text) and len(text) <= 10 and int(text) <= MAX_ID


def _checked(number: int) -> int:
    if number > MAX_ID:
        raise OCIError(f"a user or group id is too large; OCI runtimes accept 0 to {MAX_ID}")
    return number
