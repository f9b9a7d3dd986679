"""The lab's image builder: the same input gives the same bytes, in the forms that registries and engines expect."""

import gzip
import hashlib
import io
import json
import tarfile

import pytest
import zstandard

from hack.lab import Directory, File, Hardlink, Image, Index, Symlink, layer
from hack.lab.image_layer import Compression, Entry

ENTRIES: dict[str, Entry] = {
    "bin/tool": File(b"x", mode=0o755, uid=1, gid=2),
    "bin/again": Hardlink("bin/tool"),
    "bin/link": Symlink("tool"),
    "tmp": Directory(0o1777),
    "etc/.wh.old": b"",
}


def test_a_layer_holds_what_was_asked_for() -> None:
    made = layer(ENTRIES)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(made.blob))) as archive:
        members = {member.name: member for member in archive}
    assert set(members) == set(ENTRIES)
    tool = members["bin/tool"]
    assert (tool.mode, tool.uid, tool.gid, tool.mtime, tool.size) == (0o755, 1, 2, 0, 1)
    assert (members["bin/link"].linkname, members["bin/again"].linkname) == ("tool", "bin/tool")
    assert members["tmp"].isdir()
    assert members["tmp"].mode == 0o1777


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_layer_is_the_same_every_time(compression: Compression) -> None:
    first = layer(ENTRIES, compression=compression)
    second = layer(dict(reversed(list(ENTRIES.items()))), compression=compression)
    assert first.digest == second.digest


def test_the_diff_id_is_that_of_the_uncompressed_archive() -> None:
    made = layer(ENTRIES, compression="zstd")
    raw = zstandard.ZstdDecompressor().decompress(made.blob)
    assert made.diff_id == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    assert made.diff_id == layer(ENTRIES, compression="none").digest


@pytest.mark.parametrize(("docker", "family"), [(False, "vnd.oci.image"), (True, "vnd.docker")])
def test_all_media_types_are_of_one_family(docker: bool, family: str) -> None:
    image = Image([layer(ENTRIES)], cmd=["sh"], docker=docker)
    manifest = json.loads(image.manifest.data)
    kinds = [manifest["mediaType"], manifest["config"]["mediaType"], manifest["layers"][0]["mediaType"]]
    assert all(family in kind for kind in kinds)


def test_an_index_names_each_platform() -> None:
    index = Index([Image([], architecture="amd64"), Image([], architecture="arm", variant="v7")])
    platforms = [entry["platform"] for entry in json.loads(index.manifest.data)["manifests"]]
    assert platforms == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm", "os": "linux", "variant": "v7"},
    ]


def test_settings_that_are_not_given_are_not_in_the_config() -> None:
    config = json.loads(Image([], cmd=["sh"], settings={"ExposedPorts": {"80/tcp": {}}}).config.data)
    assert config["config"] == {"Cmd": ["sh"], "ExposedPorts": {"80/tcp": {}}}
