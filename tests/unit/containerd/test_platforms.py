"""Which of several platforms is taken, and which none."""

import pytest

from controller.containerd.pull.platforms import Platform, best, this_platform

pytestmark = pytest.mark.feature("I1")


def platform(text: str) -> Platform:
    system, architecture, variant = [*text.split("/"), ""][:3]
    return Platform(architecture, variant, system)


@pytest.mark.parametrize(
    ("node", "offered", "taken"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/386", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/386"], "linux/386"),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/amd64/v3"], None),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v3"], "linux/amd64/v3"),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v4"], "linux/amd64"),
        ("linux/x86_64", ["linux/amd64"], "linux/amd64"),
        ("linux/arm64", ["linux/arm64/v8"], "linux/arm64/v8"),
        ("linux/aarch64/v8", ["linux/arm64"], "linux/arm64"),
        ("linux/arm64", ["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7"),
        ("linux/arm64", ["linux/arm64/v9", "linux/arm64"], "linux/arm64"),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], "linux/arm/v5"),
        ("linux/arm", ["linux/arm/v7"], "linux/arm/v7"),
        ("linux/armhf", ["linux/arm/7"], "linux/arm/7"),
        ("linux/arm/v7", ["linux/arm64"], None),
        ("linux/s390x", ["linux/s390x"], "linux/s390x"),
        ("linux/s390x", ["linux/amd64"], None),
        ("linux/amd64", ["windows/amd64", "darwin/amd64"], None),
        ("linux/amd64", ["unknown/unknown"], None),
        ("linux/amd64", ["Linux/AMD64"], "Linux/AMD64"),
        ("linux/amd64", [], None),
    ],
)
def test_which_is_taken(node: str, offered: list[str], taken: str | None) -> None:
    found = best(platform(node), offered, platform)
    assert found == taken


def test_this_machine_has_a_platform() -> None:
    assert this_platform().os == "linux"
    assert this_platform() == this_platform().normalized()
