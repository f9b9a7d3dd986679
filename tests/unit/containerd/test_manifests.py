"""Indexes, manifests and configs, good ones and every kind of bad one that a registry may send."""

import json
from typing import Any

import pytest

from controller.containerd.descriptors import Descriptor
from controller.containerd.image_errors import ImageError, InvalidManifest, TooLarge, UnsupportedMediaType
from controller.containerd.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from controller.containerd.pull.manifests import Index, Manifest, parse_config, parse_manifest
from controller.containerd.pull.platforms import Platform

pytestmark = pytest.mark.feature("I1")

D = "sha256:" + "a" * 64
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"


def descriptor(media_type: str = GZIP, **changes: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": D, "size": 5, **changes}


def manifest(**changes: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG),
        "layers": [descriptor()],
        **changes,
    }


def parse(document: Any, media_type: str = OCI_MANIFEST) -> Index | Manifest:
    return parse_manifest(json.dumps(document).encode(), media_type, "name")


def test_a_manifest() -> None:
    assert parse(manifest()) == Manifest(Descriptor(OCI_CONFIG, D, 5), (Descriptor(GZIP, D, 5),))
    without_own_type = {key: value for key, value in manifest().items() if key != "mediaType"}
    assert parse(without_own_type) == parse(manifest())
    assert isinstance(parse(manifest(), "application/json"), Manifest), "a static file server knows no better type"


def test_an_index() -> None:
    entries = [
        descriptor(OCI_MANIFEST, platform={"architecture": "arm64", "os": "linux", "variant": "v8"}),
        descriptor(OCI_MANIFEST),
        descriptor(OCI_MANIFEST, platform={"architecture": 5, "os": "linux"}),
    ]
    index = parse({"manifests": entries}, OCI_INDEX)
    assert isinstance(index, Index)
    assert [entry.platform for entry in index.entries] == [Platform("arm64", "v8"), None, None]
    assert [entry.number for entry in index.entries] == [0, 1, 2]


@pytest.mark.parametrize(
    ("document", "media_type", "error", "message"),
    [
        ([], OCI_MANIFEST, InvalidManifest, "not a JSON object"),
        ({"schemaVersion": 1}, "application/json", UnsupportedMediaType, "schema 1"),
        ({}, "application/vnd.docker.distribution.manifest.v1+prettyjws", UnsupportedMediaType, "schema 1"),
        ({}, "text/html", UnsupportedMediaType, "not a container image but 'text/html'"),
        (manifest(mediaType=5), OCI_MANIFEST, UnsupportedMediaType, "not a container image"),
        (manifest(), OCI_INDEX, InvalidManifest, "came as"),
        (manifest(manifests=[]), OCI_MANIFEST, InvalidManifest, "an index too"),
        ({"manifests": [], "layers": []}, OCI_INDEX, InvalidManifest, "a manifest too"),
        ({"manifests": [], "config": {}}, DOCKER_LIST, InvalidManifest, "a manifest too"),
        ({"manifests": {}}, OCI_INDEX, InvalidManifest, "manifests is not a list"),
        ({"manifests": [descriptor(OCI_MANIFEST)] * 1025}, OCI_INDEX, TooLarge, "1025 manifests"),
        (manifest(layers=None), OCI_MANIFEST, InvalidManifest, "layers is not a list"),
        (manifest(layers=["x"]), OCI_MANIFEST, InvalidManifest, "layers is not a list of objects"),
        (manifest(layers=[descriptor()] * 513), OCI_MANIFEST, TooLarge, "513 layers"),
        (manifest(layers=[descriptor(size=1 << 50)]), OCI_MANIFEST, TooLarge, "layer 0 of name has"),
        (manifest(layers=[descriptor(size=-1)]), OCI_MANIFEST, InvalidManifest, "no valid size"),
        (manifest(layers=[descriptor(size=True)]), OCI_MANIFEST, InvalidManifest, "no valid size"),
        (manifest(layers=[descriptor(size="5")]), OCI_MANIFEST, InvalidManifest, "no valid size"),
        (manifest(layers=[descriptor(digest="sha256:x")]), OCI_MANIFEST, InvalidManifest, "no valid digest"),
        (manifest(layers=[descriptor(digest="md5:" + "a" * 32)]), OCI_MANIFEST, InvalidManifest, "no valid digest"),
        (manifest(layers=[descriptor(digest=D + "/../x")]), OCI_MANIFEST, InvalidManifest, "no valid digest"),
        (manifest(layers=[descriptor(digest=D + "\n")]), OCI_MANIFEST, InvalidManifest, "no valid digest"),
        (manifest(layers=[descriptor(digest=5)]), OCI_MANIFEST, InvalidManifest, "no valid digest"),
        (manifest(layers=[descriptor(GZIP + "+encrypted")]), OCI_MANIFEST, UnsupportedMediaType, "cannot be unpacked"),
        (manifest(layers=[descriptor(mediaType=None)]), OCI_MANIFEST, InvalidManifest, "no media type"),
        (manifest(config=None), OCI_MANIFEST, InvalidManifest, "the config of name is not described"),
        (manifest(config=descriptor("application/vnd.oci.empty.v1+json")), OCI_MANIFEST, UnsupportedMediaType, "its config is"),
        (manifest(config=descriptor(OCI_CONFIG, size=9 << 20)), OCI_MANIFEST, TooLarge, "the config of name has"),
        (manifest(mediaType=DOCKER_MANIFEST), OCI_MANIFEST, InvalidManifest, "came as"),
    ],
)  # fmt: skip
def test_what_is_refused(document: Any, media_type: str, error: type[ImageError], message: str) -> None:
    with pytest.raises(error, match=message):
        parse(document, media_type)


@pytest.mark.parametrize("data", [b"", b"\xff", b"{", b"[" * 100_000, b'{"a":' * 100_000], ids=range(5))
def test_what_is_not_even_json(data: bytes) -> None:
    with pytest.raises(InvalidManifest, match="is not JSON"):
        parse_manifest(data, OCI_MANIFEST, "name")


def test_a_config() -> None:
    good = parse(manifest())
    assert isinstance(good, Manifest)
    document = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [D]}, "config": {}}
    config = parse_config(json.dumps(document).encode(), good, "name")
    assert (config.platform, config.diff_ids, config.document) == (Platform("amd64"), (D,), document)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "no valid rootfs.diff_ids"),
        ({"rootfs": []}, "no valid rootfs.diff_ids"),
        ({"rootfs": {"diff_ids": D}}, "no valid rootfs.diff_ids"),
        ({"rootfs": {"diff_ids": ["x"]}}, "no valid rootfs.diff_ids"),
        ({"rootfs": {"diff_ids": []}}, "1 layers in its manifest and 0 in its config"),
        ({"rootfs": {"diff_ids": [D, D]}}, "1 layers in its manifest and 2 in its config"),
    ],
)
def test_a_config_that_is_refused(document: Any, message: str) -> None:
    good = parse(manifest())
    assert isinstance(good, Manifest)
    with pytest.raises(InvalidManifest, match=message):
        parse_config(json.dumps(document).encode(), good, "name")
