"""Challenges and tokens of token servers, those that mean no good among them."""

import json

import pytest

from controller.containerd.registry import authorization
from controller.containerd.registry.authorization import Challenge, Token, Tokens

pytestmark = pytest.mark.feature("I1")


@pytest.mark.parametrize(
    ("header", "url"),
    [
        ('Bearer realm="https://a.example/token",service="s",scope="x"', "https://a.example/token?scope=repository:r/x:pull&service=s"),
        ('bearer realm="https://a.example/token"', "https://a.example/token?scope=repository:r/x:pull"),
        ('Bearer realm="https://a.example/token?a=b", service=s', "https://a.example/token?a=b&scope=repository:r/x:pull&service=s"),
        ('Bearer service="s, with a comma", realm="http://a/t"', "http://a/t?scope=repository:r/x:pull&service=s,+with+a+comma"),
        ('Bearer realm="file:///etc/passwd"', None),
        ('Bearer realm="ftp://a/b"', None),
        ('Bearer realm="//a/b"', None),
        ('Bearer realm="https://user:pass@a/b"', None),
        ('Bearer realm="http://["', None),
        ("Bearer", None),
        ("", None),
    ],
)  # fmt: skip
def test_where_a_challenge_sends_us(header: str, url: str | None) -> None:
    found = Challenge.parse(header).token_url("r/x")
    assert (str(found) if found else None) == url


def test_the_scheme_of_a_challenge() -> None:
    assert Challenge.parse('Basic realm="x"').scheme == "basic"
    assert Challenge.parse("").scheme == ""


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"token": 5}', b'{"token": ""}', b'{"token": "a\\r\\nX-Header: b"}', b'{"token": "\xc3\xa9"}', b"[" * 99999],
    ids=range(8),
)  # fmt: skip
def test_an_answer_without_a_usable_token(body: bytes) -> None:
    assert Token.parse(body) is None


def test_a_token_is_used_until_shortly_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(authorization, "monotonic", lambda: now)
    token = Token.parse(json.dumps({"access_token": "t", "expires_in": 300}).encode())
    assert token is not None
    tokens = Tokens()
    tokens.keep("server", "r", token)
    assert tokens.header("server", "r") == {"Authorization": "Bearer t"}
    assert tokens.header("server", "other") == {}
    assert tokens.header("elsewhere", "r") == {}
    now += 295
    assert tokens.header("server", "r") == {}
