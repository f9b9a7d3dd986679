"""What little of a registry's refusal is told to a user, and how long it wants to be left alone."""

from types import SimpleNamespace
from typing import Any

import pytest

from controller.containerd.image_errors import RegistryRefused, RegistryUnavailable
from controller.containerd.registry.answers import error_for, retry_after


def answer(status: int, **headers: str) -> Any:
    return SimpleNamespace(status=status, headers=headers)


@pytest.mark.parametrize(("status", "kind"), [(500, RegistryUnavailable), (503, RegistryUnavailable), (408, RegistryUnavailable), (429, RegistryUnavailable), (400, RegistryRefused), (418, RegistryRefused)])  # fmt: skip
def test_which_answers_may_change(status: int, kind: type) -> None:
    error = error_for(answer(status), b"", "what")
    assert type(error) is kind
    assert str(error) == f"what: status {status}"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"errors":[{"code":"DENIED","message":"no\\u001b[31m way\\n"}]}', " (DENIED: no[31m way)"),
        (b'{"errors":[{"code":"DENIED"}]}', " (DENIED)"),
        (b'{"errors":[{"code":"X","message":"' + b"y" * 9999 + b'"}]}', f" (X: {'y' * 157})"),
        (b'{"errors":[]}', ""),
        (b'{"errors":[5]}', ""),
        (b"<html>", ""),
        (b"[" * 99999, ""),
        (b'"x"', ""),
    ],
    ids=range(8),
)
def test_a_registrys_words_are_short_and_harmless(body: bytes, words: str) -> None:
    assert str(error_for(answer(500), body, "what")) == f"what: status 500{words}"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("5", 5.0), (" 7 ", 7.0), ("", None), ("soon", None), ("-3", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("9" * 40, None)],
)  # fmt: skip
def test_retry_after(header: str, seconds: float | None) -> None:
    assert retry_after(header) == seconds
