"""Image references: the grammar, the familiar forms, and errors that name the broken rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.container import ImagePullPolicy
from controller.api.reasons import Reason
from controller.oci.errors import InvalidReference
from controller.oci.reference import Reference, default_pull_policy, parse

_SHA = "sha256:" + "ab" * 32
_SHA512 = "sha512:" + "cd" * 64


@pytest.mark.parametrize(
    ("text", "name", "familiar"),
    [
        pytest.param("busybox", "docker.io/library/busybox:latest", "busybox:latest", id="a bare name"),
        pytest.param("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36", id="a bare name with a tag"),
        pytest.param("shop/web", "docker.io/shop/web:latest", "shop/web:latest", id="a name with an owner"),
        pytest.param("library/a", "docker.io/library/a:latest", "a:latest", id="the library by name"),
        pytest.param("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest", id="a path in the library keeps it"),
        pytest.param("docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest", id="a repository that looks like a host"),
        pytest.param("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest", id="the default host by name"),
        pytest.param("index.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest", id="the default host by its old name"),
        pytest.param("localhost/web", "localhost/web:latest", "localhost/web:latest", id="localhost is a host"),
        pytest.param("localhost:5000/web:v1", "localhost:5000/web:v1", "localhost:5000/web:v1", id="a host with a port"),
        pytest.param("registry.example.com/a/b/c:1.4", "registry.example.com/a/b/c:1.4", "registry.example.com/a/b/c:1.4", id="a host and a path"),
        pytest.param("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest", "127.0.0.1:5000/a:latest", id="an IPv4 address"),
        pytest.param("[fd00::1]:5000/a", "[fd00::1]:5000/a:latest", "[fd00::1]:5000/a:latest", id="an IPv6 address with a port"),
        pytest.param("[::1]/a", "[::1]/a:latest", "[::1]/a:latest", id="an IPv6 address"),
        pytest.param("Registry/a", "Registry/a:latest", "Registry/a:latest", id="capitals make the first part a host"),
        pytest.param(f"a@{_SHA}", f"docker.io/library/a@{_SHA}", f"a@{_SHA}", id="a digest, and so no tag"),
        pytest.param(f"x.io/a:v1@{_SHA}", f"x.io/a:v1@{_SHA}", f"x.io/a:v1@{_SHA}", id="tag and digest"),
        pytest.param(f"x.io/a@{_SHA512}", f"x.io/a@{_SHA512}", f"x.io/a@{_SHA512}", id="a longer digest"),
        pytest.param("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f:latest", "a__b/c--d.e_f:latest", id="every separator"),
    ],
)  # fmt: skip
def test_what_users_write_is_completed(text: str, name: str, familiar: str) -> None:
    reference = parse(text)

    assert (reference.name, reference.familiar) == (name, familiar)
    assert parse(reference.name) == reference
    assert parse(reference.familiar) == reference


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        pytest.param("", "empty", id="nothing"),
        pytest.param(" busybox", "spaces around", id="a space before"),
        pytest.param("busybox\n", "spaces around", id="a newline after"),
        pytest.param("Busybox", "lower case", id="capitals in the repository"),
        pytest.param("x.io/Shop/web", "lower case", id="capitals in a part of it"),
        pytest.param("a//b", "can't be part", id="an empty part"),
        pytest.param("/a", "can't be part", id="a leading slash"),
        pytest.param("x.io/", "can't be part", id="a host alone"),
        pytest.param("a/", "can't be part", id="a trailing slash"),
        pytest.param("-a", "can't be part", id="a leading dash"),
        pytest.param("a..b", "can't be part", id="two dots"),
        pytest.param("a___b", "can't be part", id="three underscores"),
        pytest.param("a b", "can't be part", id="a space inside"),
        pytest.param("a:", "is not a tag", id="an empty tag"),
        pytest.param("a:.x", "is not a tag", id="a tag that begins with a dot"),
        pytest.param("a:b:c", "is not a tag", id="two tags"),
        pytest.param("a:" + "x" * 129, "is not a tag", id="a tag too long"),
        pytest.param("a@", "must start with one of", id="an empty digest"),
        pytest.param("a@md5:abc", "must start with one of", id="an unknown digest algorithm"),
        pytest.param("a@sha256:abc", "64 hexadecimal digits", id="a short digest"),
        pytest.param("a@" + _SHA.upper().replace("SHA", "sha"), "64 hexadecimal digits", id="capitals in a digest"),
        pytest.param(f"a@{_SHA}@{_SHA}", "64 hexadecimal digits", id="two digests"),
        pytest.param("x.io:99999/a", "between 1 and 65535", id="a port out of range"),
        pytest.param("x.io:0/a", "between 1 and 65535", id="port zero"),
        pytest.param("x.io:" + "9" * 300 + "/a", "between 1 and 65535", id="an endless port"),
        pytest.param("x.io:/a", "not a registry host", id="a host with an empty port"),
        pytest.param("http://x.io/a", "not a registry host", id="a URL"),
        pytest.param("-x.io/a", "not a registry host", id="a host that begins with a dash"),
        pytest.param("[::1/a", "not a registry host", id="a broken IPv6 address"),
        pytest.param("ab" * 32, "image id", id="an image id"),
        pytest.param("x.io/" + "a" * 251, "255", id="a name too long"),
        pytest.param("bücher", "can't be part", id="letters beyond ASCII"),
        pytest.param("a:٣", "is not a tag", id="digits beyond ASCII"),
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused_with_the_rule(text: str, rule: str) -> None:
    with pytest.raises(InvalidReference, match=rule) as caught:
        parse(text)
    assert caught.value.reason is Reason.INVALID_IMAGE_NAME


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        pytest.param("a", ImagePullPolicy.ALWAYS, id="no tag"),
        pytest.param("a:latest", ImagePullPolicy.ALWAYS, id="the tag that moves"),
        pytest.param("a:1", ImagePullPolicy.IF_NOT_PRESENT, id="another tag"),
        pytest.param(f"a@{_SHA}", ImagePullPolicy.IF_NOT_PRESENT, id="a digest"),
        pytest.param(f"a:latest@{_SHA}", ImagePullPolicy.IF_NOT_PRESENT, id="a digest beside the tag that moves"),
    ],
)
def test_the_default_policy_follows_the_tag(text: str, policy: ImagePullPolicy) -> None:
    assert default_pull_policy(parse(text)) is policy


def test_the_registry_is_asked_for_the_digest_before_the_tag() -> None:
    assert [parse(text).target for text in ("a", "a:1", f"a:1@{_SHA}")] == ["latest", "1", _SHA]


_component = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,2})[a-z0-9]{1,8}){0,2}", fullmatch=True)
_references = st.builds(
    Reference,
    host=st.sampled_from(["docker.io", "x.io", "localhost", "localhost:5000", "[fd00::2]:443", "10.0.0.1"]),
    repository=st.lists(_component, min_size=2, max_size=4).map("/".join),
    tag=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    digest=st.none() | st.just(_SHA),
)


@given(_references)
def test_printing_and_parsing_are_inverse(reference: Reference) -> None:
    assert parse(reference.name) == reference
    assert parse(reference.familiar) == reference


@given(st.text(max_size=80))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    try:
        reference = parse(text)
    except InvalidReference:
        return
    assert parse(reference.name) == reference
