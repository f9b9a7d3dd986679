"""Users and groups by name and number, by Docker's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.container import SecurityContext
from controller.api.reasons import Reason
from controller.api.scalars import MAX_ID
from controller.oci import user as users
from controller.oci.errors import OCIError, UserNotFound
from controller.oci.user import User

_PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
# a comment
broken
nonumber:x:a:b::/:/bin/sh

app:x:1000:1001:The App:/home/app:/bin/sh
nohome:x:1002:1002
app:x:9999:9999::/second:/bin/sh
12:x:1200:1200::/twelve:/bin/sh
"""
_GROUP = b"""\
root:x:0:
wheel:x:10:root,other
staff:x:50:app, root
video:x:44:app
broken:x:
app:x:1001:
"""


def resolve(security: SecurityContext, image_user: str = "", *, files: bool = True) -> User:
    passwd, group = (_PASSWD, _GROUP) if files else (None, None)
    return users.resolve(security, image_user, image="web:1", passwd=passwd, group=group)


@pytest.mark.feature("P1")
@pytest.mark.parametrize(
    ("security", "image_user", "expected"),
    [
        pytest.param({}, "", User(0, 0, (0, 10, 50), "/root"), id="nobody says anything: root with its groups"),
        pytest.param({}, "app", User(1000, 1001, (44, 50, 1001), "/home/app"), id="the image names a user"),
        pytest.param({"user": "app"}, "root", User(1000, 1001, (44, 50, 1001), "/home/app"), id="the Container overrides the image"),
        pytest.param({"user": "1000"}, "", User(1000, 1001, (44, 50, 1001), "/home/app"), id="a number that the image knows"),
        pytest.param({"user": "4242"}, "", User(4242, 0, (0,), None), id="a number that the image does not know"),
        pytest.param({"user": "12"}, "", User(12, 0, (0,), None), id="a number is an id, though a user has it as a name"),
        pytest.param({"user": "app:staff"}, "", User(1000, 50, (50,), "/home/app"), id="user and group by name"),
        pytest.param({"user": "app:7"}, "", User(1000, 7, (7,), "/home/app"), id="user by name and group by number"),
        pytest.param({"user": "1000:1000"}, "", User(1000, 1000, (1000,), "/home/app"), id="both by number"),
        pytest.param({}, ":staff", User(0, 50, (50,), "/root"), id="a group alone"),
        pytest.param({"user": "nohome"}, "", User(1002, 1002, (1002,), None), id="a user without a home"),
        pytest.param({"runAsUser": 1000}, "root", User(1000, 1001, (44, 50, 1001), "/home/app"), id="runAsUser"),
        pytest.param({"runAsUser": 1000, "runAsGroup": 3}, "", User(1000, 3, (3,), "/home/app"), id="runAsUser and runAsGroup"),
        pytest.param({"runAsUser": 0}, "app:staff", User(0, 0, (0, 10, 50), "/root"), id="runAsUser drops the image's group"),
        pytest.param({"runAsGroup": 3}, "app:staff", User(1000, 3, (3,), "/home/app"), id="runAsGroup overrides the image's group"),
        pytest.param({"user": "app", "supplementalGroups": [2000, 44]}, "", User(1000, 1001, (44, 50, 1001, 2000), "/home/app"), id="further groups"),
    ],
)  # fmt: skip
def test_users_are_looked_up(security: dict[str, object], image_user: str, expected: User) -> None:
    assert resolve(SecurityContext.model_validate(security), image_user) == expected


@pytest.mark.parametrize(
    ("user", "expected"),
    [("", User(0, 0, (0,))), ("0", User(0, 0, (0,))), ("7", User(7, 0, (0,))), ("7:8", User(7, 8, (8,)))],
)
def test_numbers_need_no_files(user: str, expected: User) -> None:
    assert resolve(SecurityContext(), user, files=False) == expected


@pytest.mark.parametrize(
    ("user", "message"),
    [
        pytest.param("ghost", "user 'ghost' is not in /etc/passwd of image web:1", id="an unknown user"),
        pytest.param("app:ghosts", "group 'ghosts' is not in /etc/group of image web:1", id="an unknown group"),
        pytest.param("-1", "user '-1' is not in", id="a negative number is a name"),
        pytest.param("nonumber", "user 'nonumber' is not in", id="a user with broken ids"),
        pytest.param("\u0661", "is not in /etc/passwd", id="a digit of another script is a name"),
    ],
)
def test_unknown_names_are_errors_that_name_user_and_image(user: str, message: str) -> None:
    with pytest.raises(UserNotFound, match=message) as caught:
        resolve(SecurityContext(), user)
    assert caught.value.reason is Reason.USER_NOT_FOUND


@pytest.mark.parametrize("user", ["2147483648", "0:4294967295", "9" * 200, "9" * 10_000, "a:b:c", "1:2:3"])
def test_ids_out_of_range_and_further_colons_are_errors(user: str) -> None:
    with pytest.raises(OCIError, match=r"too large|more than one colon|not in"):
        resolve(SecurityContext(), user)


@pytest.mark.parametrize(
    ("security", "image_user", "needed"),
    [
        pytest.param({}, "", True, id="root may have groups in the image"),
        pytest.param({}, "app", True, id="a name"),
        pytest.param({}, "1000", True, id="a number without a group"),
        pytest.param({}, "1000:1000", False, id="two numbers"),
        pytest.param({}, "1000:staff", True, id="a group's name"),
        pytest.param({"runAsUser": 1, "runAsGroup": 1}, "app", False, id="two numbers of the Container"),
        pytest.param({"runAsUser": 1}, "", True, id="runAsUser alone"),
    ],
)
def test_the_files_are_asked_for_only_when_they_matter(
    security: dict[str, object], image_user: str, needed: bool
) -> None:
    assert users.needs_lookup(SecurityContext.model_validate(security), image_user) is needed


@given(passwd=st.binary(max_size=300), group=st.binary(max_size=300), user=st.text(min_size=1, max_size=12))
def test_no_files_make_the_look_up_fail_otherwise(passwd: bytes, group: bytes, user: str) -> None:
    try:
        found = users.resolve(SecurityContext(), user, image="x", passwd=passwd, group=group)
    except OCIError:
        return
    assert 0 <= found.uid <= MAX_ID
    assert found.gid in found.additional_gids


_line = st.builds(
    ":".join, st.lists(st.sampled_from(["app", "x", "0", "1", "-1", "", "9" * 20, "/h", "a,app", "\0"]), max_size=8)
)


@given(passwd=st.lists(_line, max_size=8), group=st.lists(_line, max_size=8))
def test_no_lines_make_the_look_up_fail_otherwise(passwd: list[str], group: list[str]) -> None:
    try:
        found = users.resolve(
            SecurityContext(), "app", image="x", passwd="\n".join(passwd).encode(), group="\n".join(group).encode()
        )
    except OCIError:
        return
    assert all(0 <= gid <= MAX_ID for gid in found.additional_gids)


def test_only_so_much_of_a_file_is_looked_at() -> None:
    padding = b"#" * users.MAX_FILE_BYTES + b"\n"
    with pytest.raises(UserNotFound):
        users.resolve(SecurityContext(), "app", image="x", passwd=padding + _PASSWD, group=None)
