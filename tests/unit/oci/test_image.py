"""The image's configuration: read with its types checked, and never trusted."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.oci.errors import InvalidImage
from controller.oci.image import MAX_BYTES, ImageConfig, parse

_DIFF_ID = "sha256:" + "ab" * 32
_FULL: dict[str, Any] = {
    "architecture": "arm64",
    "variant": "v8",
    "os": "linux",
    "created": "2026-01-01T00:00:00Z",
    "config": {
        "Entrypoint": ["/srv/web"],
        "Cmd": ["--port", "80"],
        "Env": ["PATH=/bin", "EMPTY=", "EQ=a=b"],
        "User": "app:staff",
        "WorkingDir": "/srv",
        "StopSignal": "SIGQUIT",
        "Labels": {"a": "b"},
        "Volumes": {"/data": {}},
        "ExposedPorts": {"80/tcp": {}},
        "OnBuild": 7,
    },
    "rootfs": {"type": "layers", "diff_ids": [_DIFF_ID]},
    "history": "not looked at",
}


def test_every_field_is_read() -> None:
    assert parse(json.dumps(_FULL).encode()) == ImageConfig(
        entrypoint=("/srv/web",),
        cmd=("--port", "80"),
        env=(("PATH", "/bin"), ("EMPTY", ""), ("EQ", "a=b")),
        user="app:staff",
        working_dir="/srv",
        stop_signal="SIGQUIT",
        labels={"a": "b"},
        volumes=("/data",),
        exposed_ports=("80/tcp",),
        diff_ids=(_DIFF_ID,),
        os="linux",
        architecture="arm64",
        variant="v8",
    )


@pytest.mark.parametrize(
    "document", ["{}", '{"config": null, "rootfs": null}', '{"config": {"Cmd": null, "Env": null}}']
)
def test_what_is_absent_or_null_is_empty(document: str) -> None:
    assert parse(document.encode()) == ImageConfig()


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        pytest.param("", "not valid JSON", id="nothing"),
        pytest.param("[]", "not a JSON object", id="a list"),
        pytest.param("[" * 100_000, "not valid JSON", id="endless nesting"),
        pytest.param('{"x": ' + "9" * 10_000 + "}", "not valid JSON", id="an endless number"),
        pytest.param("\xff", "not a JSON|not valid JSON", id="other bytes"),
        pytest.param('{"config": []}', "config must be an object", id="a section of another type"),
        pytest.param('{"config": {"Cmd": "x"}}', "config.Cmd must be a list", id="a text for a list"),
        pytest.param('{"config": {"Cmd": [1]}}', "config.Cmd must hold strings only", id="a number in a list"),
        pytest.param('{"config": {"User": 0}}', "config.User must be a string", id="a number for a text"),
        pytest.param('{"config": {"User": false}}', "config.User must be a string", id="a truth for a text"),
        pytest.param('{"config": {"Labels": {"a": 1}}}', "config.Labels must hold strings", id="a number as label"),
        pytest.param('{"config": {"Volumes": ["/a"]}}', "config.Volumes must be an object", id="a list of volumes"),
        pytest.param('{"config": {"Env": ["PATH"]}}', "not NAME=value", id="a variable without a value"),
        pytest.param('{"config": {"Env": ["=x"]}}', "not NAME=value", id="a variable without a name"),
        pytest.param('{"config": {"Env": ["A=\\u0000"]}}', "characters that can't", id="a NUL character"),
        pytest.param('{"config": {"Cmd": ["\\ud800"]}}', "characters that can't", id="half a surrogate pair"),
        pytest.param('{"rootfs": {"diff_ids": ["sha256:x"]}}', "is not a digest", id="a broken digest"),
        pytest.param(
            json.dumps({"rootfs": {"diff_ids": [_DIFF_ID] * 513}}), "more than 512 layers", id="too many layers"
        ),
        pytest.param(
            json.dumps({"config": {"Cmd": ["x"] * 20_000}}), "more than 16384 entries", id="too many arguments"
        ),
        pytest.param(" " * (MAX_BYTES + 1), "larger than 8 MiB", id="too large"),
    ],
)
def test_what_is_wrong_is_named(document: str, problem: str) -> None:
    with pytest.raises(InvalidImage, match=problem):
        parse(document.encode("utf-8"))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*_FULL, *_FULL["config"]]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=64) | _json.map(lambda value: json.dumps(value).encode()))
def test_no_document_makes_the_parser_fail_otherwise(document: bytes) -> None:
    try:
        parse(document)
    except InvalidImage:
        pass
