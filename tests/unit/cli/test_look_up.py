"""Look-up by full id, by name and by unique prefix of an id; what names nothing or too much says so."""

import pytest

from controller.cli.look_up import NotOne, pick
from controller.kube.containers import Body

WEB_ID = "ab12" + "0" * 60
DB_ID = "ab34" + "0" * 60
OTHER_ID = "cd56" + "0" * 60


def object_of(namespace: str, name: str, container_id: str | None = None) -> Body:
    status = {} if container_id is None else {"containerID": container_id}
    return {"metadata": {"namespace": namespace, "name": name}, "status": status}


WEB = object_of("shop", "web", WEB_ID)
DB = object_of("shop", "db", DB_ID)
OTHER_WEB = object_of("test", "web", OTHER_ID)
NEW: Body = {"metadata": {"namespace": "shop", "name": "new"}}
NAMED_LIKE_A_PREFIX = object_of("shop", "ab34")
NAMED_LIKE_AN_ID = object_of("shop", WEB_ID[:63])
ALL = [WEB, DB, OTHER_WEB, NEW]


@pytest.mark.feature("L6")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param(WEB_ID, WEB, id="by full id"),
        pytest.param("db", DB, id="by name"),
        pytest.param("new", NEW, id="by name, before it has an id"),
        pytest.param("test/web", OTHER_WEB, id="by namespace and name"),
        pytest.param("ab1", WEB, id="by unique prefix"),
        pytest.param("c", OTHER_WEB, id="by a prefix of one character"),
        pytest.param(WEB_ID[:63], WEB, id="by all but the last character"),
    ],
)
def test_one_is_found(wanted: str, found: Body) -> None:
    assert pick(ALL, wanted) is found


@pytest.mark.feature("L6")
def test_a_name_goes_before_the_prefix_of_an_id() -> None:
    assert pick([*ALL, NAMED_LIKE_A_PREFIX], "ab34") is NAMED_LIKE_A_PREFIX


@pytest.mark.feature("L6")
def test_a_full_id_goes_before_a_name() -> None:
    named = object_of("shop", WEB_ID)
    assert pick([named, *ALL], WEB_ID) is WEB
    assert pick([*ALL, NAMED_LIKE_AN_ID], WEB_ID[:63]) is NAMED_LIKE_AN_ID


@pytest.mark.feature("L6")
@pytest.mark.parametrize("wanted", ["", " ", "\t\n"])
def test_an_empty_name_is_an_error_that_says_so(wanted: str) -> None:
    with pytest.raises(NotOne, match="empty"):
        pick(ALL, wanted)


@pytest.mark.feature("L6")
def test_an_ambiguous_prefix_is_an_error_that_names_the_candidates() -> None:
    with pytest.raises(NotOne) as error:
        pick(ALL, "ab")
    assert error.value.message == (
        "'ab' is ambiguous, it may mean: shop/db (ab3400000000), shop/web (ab1200000000); "
        "give more of the id, or --namespace"
    )


@pytest.mark.feature("L6")
def test_a_name_in_two_namespaces_is_ambiguous() -> None:
    with pytest.raises(NotOne, match=r"ambiguous.*shop/web.*test/web"):
        pick(ALL, "web")


def test_of_very_many_candidates_some_are_named() -> None:
    many = [object_of("shop", f"web-{number:03}", f"{number:03}" + "f" * 61) for number in range(100)]
    with pytest.raises(NotOne) as error:
        pick(many, "0")
    assert error.value.message.count("shop/") == 10


@pytest.mark.feature("L6")
@pytest.mark.parametrize("wanted", ["nothing", "ff", WEB_ID + "0", "AB1", "we", "shop/", "no id"])
def test_what_names_nothing_is_an_error_that_says_so(wanted: str) -> None:
    with pytest.raises(NotOne, match=r"no container has the name .* nor an id that begins so"):
        pick(ALL, wanted)


def test_where_nothing_is_nothing_is_found() -> None:
    with pytest.raises(NotOne):
        pick([], "web")
