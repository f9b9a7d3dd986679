"""containerd's hosts.toml, case by case: which servers stand for a registry, in which order, with which settings."""

from pathlib import Path

import pytest

from controller.containerd.image_errors import RegistryConfigInvalid
from controller.containerd.registry.hosts import Host, hosts_for, is_upstream
from controller.containerd.registry.reference import ImageReference

pytestmark = pytest.mark.feature("I1")


def hosts(registry: str, directory: Path | None = None) -> list[Host]:
    return list(hosts_for(ImageReference("x", registry, "r", "t"), directory))


def write(root: Path, directory: str, text: str) -> Path:
    (root / directory).mkdir()
    (root / directory / "hosts.toml").write_text(text)
    return root


@pytest.mark.parametrize(
    ("registry", "base"),
    [
        ("docker.io", "https://registry-1.docker.io/v2"),
        ("registry.example", "https://registry.example/v2"),
        ("registry.example:5000", "https://registry.example:5000/v2"),
        ("localhost", "http://localhost/v2"),
        ("localhost:5000", "http://localhost:5000/v2"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000/v2"),
        ("127.1.2.3", "http://127.1.2.3/v2"),
        ("[::1]:5000", "http://[::1]:5000/v2"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000/v2"),
        ("localhost.example", "https://localhost.example/v2"),
    ],
)
def test_without_configuration(registry: str, base: str, tmp_path: Path) -> None:
    assert [host.base for host in hosts(registry)] == [base]
    assert [host.base for host in hosts(registry, tmp_path)] == [base]
    assert [host.base for host in hosts(registry, tmp_path / "not-there")] == [base]


def test_mirrors_come_in_the_order_of_the_file_and_the_server_last(tmp_path: Path) -> None:
    write(
        tmp_path,
        "registry.example",
        """
        server = "https://origin.example"
        [host."http://second.example:8080"]
          capabilities = ["pull"]
        [host."https://first.example/prefix"]
          capabilities = ["pull", "resolve"]
        [host."https://third.example/v2"]
        [host."https://fourth.example/whatever"]
          override_path = true
          skip_verify = true
        """,
    )
    found = hosts("registry.example", tmp_path)
    assert [host.base for host in found] == [
        "http://second.example:8080/v2",
        "https://first.example/prefix/v2",
        "https://third.example/v2",
        "https://fourth.example/whatever",
        "https://origin.example/v2",
    ]
    assert found[0].capabilities == {"pull"}
    assert found[2].capabilities == {"pull", "resolve", "push"}
    assert [host.skip_verify for host in found] == [False, False, False, True, False]


def test_the_server_is_the_registry_itself_unless_it_is_named(tmp_path: Path) -> None:
    write(tmp_path, "docker.io", '[host."http://mirror:5000"]')
    assert [host.base for host in hosts("docker.io", tmp_path)] == [
        "http://mirror:5000/v2",
        "https://registry-1.docker.io/v2",
    ]


def test_certificates_and_headers(tmp_path: Path) -> None:
    write(
        tmp_path,
        "_default",
        """
        ca = "ca.crt"
        [header]
          x-one = "1"
          x-two = ["a", "b"]
        [host."https://m"]
          ca = ["a.crt", "/etc/b.crt"]
          client = [["c.crt", "c.key"], ["both.pem"], "alone.pem", ["d.crt", ""]]
        """,
    )
    mirror, server = hosts("anything.example", tmp_path)
    here = tmp_path / "_default"
    assert mirror.ca == (here / "a.crt", Path("/etc/b.crt"))
    assert mirror.client == (
        (here / "c.crt", here / "c.key"), (here / "both.pem", None), (here / "alone.pem", None), (here / "d.crt", None),
    )  # fmt: skip
    assert server.ca == (here / "ca.crt",)
    assert server.headers == (("x-one", "1"), ("x-two", "a"), ("x-two", "b"))


@pytest.mark.parametrize(
    ("present", "used"),
    [
        (["_default"], "_default"),
        (["_default", "r.example:5000"], "r.example:5000"),
        (["_default", "r.example:5000", "r.example_5000_"], "r.example_5000_"),
        (["r.example"], None),
    ],
)
def test_which_directory_decides(present: list[str], used: str | None, tmp_path: Path) -> None:
    for name in present:
        write(tmp_path, name, f'server = "https://{name.strip("_").replace(":", "-")}.used"')
    expected = f"https://{used.strip('_').replace(':', '-')}.used/v2" if used else "https://r.example:5000/v2"
    assert [host.base for host in hosts("r.example:5000", tmp_path)] == [expected]


def test_docker_certificates_where_there_is_no_hosts_toml(tmp_path: Path) -> None:
    directory = tmp_path / "r.example"
    directory.mkdir()
    for name in ("ca.crt", "client.cert", "client.key"):
        (directory / name).touch()
    (host,) = hosts("r.example", tmp_path)
    assert (host.ca, host.client) == (
        (directory / "ca.crt",),
        ((directory / "client.cert", directory / "client.key"),),
    )


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        'server = "file:///etc/passwd"',
        'server = "https://user:secret@host"',
        "server = 5",
        'host = "x"',
        '[host."https://"]',
        '[host."https://m"]\ncapabilities = ["eat"]',
        '[host."https://m"]\nca = 5',
        '[host."https://m"]\nclient = [["a","b","c"]]',
    ],
)
def test_a_file_that_makes_no_sense_is_named(text: str, tmp_path: Path) -> None:
    write(tmp_path, "r.example", text)
    with pytest.raises(RegistryConfigInvalid, match=r"r.example/hosts\.toml"):
        hosts("r.example", tmp_path)


def test_what_is_the_registry_itself() -> None:
    assert is_upstream(Host("https://r.example:5000/v2"), "r.example:5000")
    assert is_upstream(Host("https://registry-1.docker.io/v2"), "docker.io")
    assert not is_upstream(Host("https://mirror/v2"), "docker.io")


def test_a_host_does_not_show_its_headers() -> None:
    assert "secret" not in repr(Host("https://m/v2", headers=(("Authorization", "secret"),)))
