"""The registry client alone, before a real registry: tokens, mirrors, TLS, and nothing secret where it does not belong."""

import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from controller.containerd.descriptors import Descriptor
from controller.containerd.image_errors import (
    ImageError,
    InsecureRegistry,
    ManifestNotFound,
    RegistryConfigInvalid,
    RegistryUnavailable,
    Unauthorized,
)
from controller.containerd.registry.client import Registry
from controller.containerd.registry.transport import Transport
from hack.lab import image as lab_image
from hack.lab import registry_daemon
from hack.lab.certificates import make_certificates
from hack.lab.image_push import push
from hack.lab.ports import free_port
from tests.integration.containerd.faulty_registry import Fault, FaultyRegistry
from tests.integration.containerd.pulling import random_image, reference_to

pytestmark = pytest.mark.feature("I1")
SECRET = "token-that-nobody-may-see"


@pytest.fixture
def image(registry: registry_daemon.Registry) -> lab_image.Image:
    made = random_image(20)
    push(registry.address, "private/image:1", made)
    return made


def wants_token(faulty: FaultyRegistry, realm: str) -> None:
    """Have the registry answer only to who shows the token of `realm`."""

    def respond(request: web.Request, body: bytes, status: int, headers: dict[str, str]) -> web.Response:
        if request.path == "/token":
            scope, service = request.query.get("scope"), request.query.get("service")
            assert (scope, service) == ("repository:private/image:pull", "a service")
            return web.Response(text=json.dumps({"token": SECRET, "expires_in": 300}))
        if request.headers.get("Authorization") == f"Bearer {SECRET}":
            return web.Response(status=status, body=body, headers=headers)
        challenge = f'Bearer realm="{realm}",service="a service",scope="repository:private/image:pull,push"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    faulty.faults.append(Fault("", respond, times=-1))


async def test_an_anonymous_token_is_fetched_once(
    registry_client: Registry, faulty: FaultyRegistry, image: lab_image.Image
) -> None:
    wants_token(faulty, f"http://{faulty.address}/token")
    reference = reference_to(faulty.address, "private/image:1")
    descriptor = await registry_client.resolve(reference)
    assert await registry_client.manifest(reference, descriptor) == image.manifest.data
    layer = image.layers[0]
    blob = Descriptor("x", layer.digest, len(layer.blob))
    assert await registry_client.small_blob(reference, blob) == layer.blob
    assert faulty.asked("/token") == 1


async def test_a_token_does_not_follow_a_redirection_elsewhere(
    registry_client: Registry, faulty: FaultyRegistry, registry: registry_daemon.Registry, image: lab_image.Image
) -> None:
    async with FaultyRegistry(registry.url) as elsewhere:
        shown: list[str | None] = []

        def note(request: web.Request, body: bytes, status: int, headers: dict[str, str]) -> web.Response:
            shown.append(request.headers.get("Authorization"))
            return web.Response(status=status, body=body, headers=headers)

        elsewhere.faults.append(Fault("", note, times=-1))
        layer = image.layers[0]
        location = f"http://{elsewhere.address}/v2/private/image/blobs/{layer.digest}"
        faulty.answer(f"GET .*{layer.digest}", 307, times=-1, Location=location)
        wants_token(faulty, f"http://{faulty.address}/token")
        reference = reference_to(faulty.address, "private/image:1")
        await registry_client.resolve(reference)
        await registry_client.small_blob(reference, Descriptor("x", layer.digest, len(layer.blob)))
    assert shown == [None]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (web.HTTPForbidden, Unauthorized),
        (web.HTTPServiceUnavailable, RegistryUnavailable),
        (web.HTTPOk, ImageError),
    ],
)
async def test_a_token_server_that_gives_none(
    registry_client: Registry, faulty: FaultyRegistry, image: lab_image.Image, answer: type, error: type[ImageError]
) -> None:
    faulty.answer("/token", answer.status_code, "no token here", times=-1)  # type: ignore[attr-defined]
    wants_token(faulty, f"http://{faulty.address}/token")
    with pytest.raises(error) as caught:
        await registry_client.resolve(reference_to(faulty.address, "private/image:1"))
    assert "no token here" not in str(caught.value)


@pytest.mark.parametrize("realm", ["file:///etc/passwd", "", "gopher://x/", "http://127.0.0.1:1/token"])
async def test_a_realm_that_leads_nowhere(
    registry_client: Registry, faulty: FaultyRegistry, image: lab_image.Image, realm: str
) -> None:
    wants_token(faulty, realm)
    with pytest.raises((Unauthorized, RegistryUnavailable)):
        await registry_client.resolve(reference_to(faulty.address, "private/image:1"))


async def test_basic_authentication_is_not_had_yet(
    registry_client: Registry, faulty: FaultyRegistry, image: lab_image.Image
) -> None:
    faulty.answer("", 401, times=-1, WWW_Authenticate='Basic realm="r"')
    with pytest.raises(Unauthorized, match="private/image: not allowed without other credentials"):
        await registry_client.resolve(reference_to(faulty.address, "private/image:1"))


def configure(root: Path, registry: str, text: str) -> Path:
    (root / registry).mkdir(parents=True)
    (root / registry / "hosts.toml").write_text(text)
    return root


async def test_mirrors_are_tried_in_order(
    faulty: FaultyRegistry, registry: registry_daemon.Registry, image: lab_image.Image, tmp_path: Path
) -> None:
    """One is down, one fails, one only pulls; the last knows all. Each mirror is told for which registry it stands."""
    down = f"127.0.0.1:{free_port()}"
    faulty.answer("manifests", 500)
    hosts = configure(
        tmp_path,
        "upstream.invalid",
        f"""
        server = "{registry.url}"
        [host."http://{down}"]
        [host."http://{faulty.address}"]
        """,
    )
    reference = reference_to("upstream.invalid", "private/image:1")
    async with Registry(hosts) as client:
        descriptor = await client.resolve(reference)
        assert descriptor.digest == image.manifest.digest
        assert await client.manifest(reference, descriptor) == image.manifest.data
    assert faulty.asked("HEAD") == 1
    assert faulty.asked("GET") == 1
    assert set(faulty.queries) == {"ns=upstream.invalid"}


async def test_when_all_mirrors_fail_each_is_named(tmp_path: Path, faulty: FaultyRegistry) -> None:
    down = f"127.0.0.1:{free_port()}"
    hosts = configure(tmp_path, "up.invalid", f'server = "http://{faulty.address}"\n[host."http://{down}"]')
    async with Registry(hosts) as client:
        with pytest.raises(ManifestNotFound, match=rf"nothing: no manifest 1 \(mirrors: {down}: connection refused\)"):
            await client.resolve(reference_to("up.invalid", "nothing:1"))


async def test_a_configuration_without_anyone_to_ask(tmp_path: Path) -> None:
    hosts = configure(tmp_path, "up.invalid", 'capabilities = ["push"]')
    async with Registry(hosts) as client:
        with pytest.raises(RegistryConfigInvalid, match="names no server that may resolve"):
            await client.resolve(reference_to("up.invalid", "x:1"))


@pytest.fixture
async def tls(registry: registry_daemon.Registry, tmp_path: Path) -> AsyncIterator[tuple[FaultyRegistry, Path]]:
    """A registry behind TLS, and the directory with the certificates of those who vouch for it."""
    certificates = tmp_path / "certificates"
    make_certificates(certificates)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    async with FaultyRegistry(registry.url, tls=context) as proxy:
        yield proxy, certificates


async def test_a_certificate_that_nobody_vouches_for(
    tls: tuple[FaultyRegistry, Path], image: lab_image.Image, tmp_path: Path
) -> None:
    proxy, certificates = tls
    reference = reference_to(proxy.address, "private/image:1")
    url = f"https://{proxy.address}"
    for number, (settings, trusted) in enumerate(
        [("", False), (f'ca = "{certificates}/ca.crt"', True), ("skip_verify = true", True)]
    ):
        hosts = configure(tmp_path / str(number), proxy.address, f'server = "{url}"\n{settings}')
        async with Registry(hosts) as client:
            if trusted:
                assert (await client.resolve(reference)).digest == image.manifest.digest
                continue
            with pytest.raises(InsecureRegistry, match=r"certificate is not trusted .*hosts\.toml"):
                await client.resolve(reference)


async def test_plain_http_where_tls_is_expected(faulty: FaultyRegistry, tmp_path: Path) -> None:
    hosts = configure(tmp_path, "plain.invalid", f'server = "https://{faulty.address}"')
    async with Registry(hosts) as client:
        with pytest.raises(RegistryUnavailable, match=r"plain http must be named so in hosts.toml"):
            await client.resolve(reference_to("plain.invalid", "x:1"))


async def test_no_way_down_from_https_to_http(
    tls: tuple[FaultyRegistry, Path], faulty: FaultyRegistry, tmp_path: Path
) -> None:
    proxy, _ = tls
    proxy.answer("manifests", 307, times=-1, Location=f"http://{faulty.address}/v2/x/manifests/1")
    hosts = configure(tmp_path, "down.invalid", f'server = "https://{proxy.address}"\nskip_verify = true')
    async with Registry(hosts) as client:
        with pytest.raises(InsecureRegistry, match="from https to http"):
            await client.resolve(reference_to("down.invalid", "x:1"))
    assert faulty.requests.total() == 0


async def test_headers_of_hosts_toml_go_to_that_server_only(
    faulty: FaultyRegistry, registry: registry_daemon.Registry, image: lab_image.Image, tmp_path: Path
) -> None:
    seen: list[str | None] = []

    def note(request: web.Request, body: bytes, status: int, headers: dict[str, str]) -> web.Response:
        seen.append(request.headers.get("X-Own"))
        return web.Response(status=status, body=body, headers=headers)

    async with FaultyRegistry(registry.url) as elsewhere:
        elsewhere.faults.append(Fault("", note, times=-1))
        path = "/v2/private/image/manifests/1"
        faulty.faults.append(Fault("HEAD", note))
        faulty.answer("GET", 307, Location=f"http://{elsewhere.address}{path}")
        hosts = configure(tmp_path, "own.invalid", f'server = "http://{faulty.address}"\n[header]\n"X-Own" = "mine"')
        async with Registry(hosts) as client:
            reference = reference_to("own.invalid", "private/image:1")
            await client.manifest(reference, await client.resolve(reference))
    assert seen == ["mine", None]


async def test_a_server_that_stalls_is_given_up(faulty: FaultyRegistry, image: lab_image.Image) -> None:
    layer = image.layers[0]
    faulty.stall(f"GET .*{layer.digest}", after=100)
    async with Registry(transport=Transport(stall_timeout=0.2)) as client:
        with pytest.raises(RegistryUnavailable, match="no answer in time"):
            await client.small_blob(
                reference_to(faulty.address, "private/image:1"), Descriptor("x", layer.digest, len(layer.blob))
            )


async def test_a_proxy_of_the_environment_is_used_but_not_for_loopback(
    faulty: FaultyRegistry, image: lab_image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{faulty.address}")
    monkeypatch.setenv("no_proxy", "direct.invalid")
    hosts = configure(tmp_path, "far.invalid", 'server = "http://far.invalid"')
    configure(tmp_path, "direct.invalid", 'server = "http://direct.invalid"')
    async with Registry(hosts) as client:
        assert (await client.resolve(reference_to("far.invalid", "private/image:1"))).digest == image.manifest.digest
        with pytest.raises(RegistryUnavailable, match=r"direct.invalid: no such host"):
            await client.resolve(reference_to("direct.invalid", "private/image:1"))
        before = faulty.requests.total()
        with pytest.raises(RegistryUnavailable, match="connection refused"):
            await client.resolve(reference_to(f"127.0.0.1:{free_port()}", "private/image:1"))
        assert faulty.requests.total() == before
