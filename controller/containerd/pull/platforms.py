"""Which of an image's platforms runs here, by the order that containerd uses. Pure."""

import platform as machine
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

_ALIASES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv8l": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "ppc64el": ("ppc64le", ""),
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Platform:
    """Operating system, architecture and its variant, in the OCI image specification's (Go's) words."""

    architecture: str
    variant: str = ""
    os: str = "linux"

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def normalized(self) -> "Platform":
        """Return the same platform by its usual name: `aarch64` and `arm64/v8` are `arm64`, `arm` is `arm/v7`."""
        architecture, variant = self.architecture.lower(), self.variant.lower()
        architecture, implied = _ALIASES.get(architecture, (architecture, ""))
        variant = variant or implied
        if variant.isdigit():
            variant = f"v{variant}"
        match architecture, variant:
            case ("arm64", "v8") | ("amd64", "v1"):
                variant = ""
            case "arm", "":
                variant = "v7"
        return Platform(architecture, variant, self.os.lower())


def this_platform() -> Platform:
    """Return the platform of the machine that this runs on."""
    return Platform(machine.machine()).normalized()


def runnable_on(platform: Platform) -> tuple[Platform, ...]:
    """Return what runs on a platform, the best first."""
    own = platform.normalized()
    match own.architecture:
        case "amd64":
            level = int(own.variant[1:]) if own.variant[1:].isdigit() else 1
            variants = [("amd64", f"v{number}") for number in range(level, 1, -1)]
            found = [*variants, ("amd64", ""), ("386", "")]
        case "arm64":
            # A node that says no variant runs v8; a v9 image may need more than it has.
            newer = [("arm64", own.variant)] if own.variant else []
            found = [*newer, ("arm64", ""), *(("arm", f"v{number}") for number in (8, 7, 6, 5))]
        case "arm":
            level = int(own.variant[1:]) if own.variant[1:].isdigit() else 7
            found = [("arm", f"v{number}") for number in range(level, 4, -1)]
        case _:
            found = [(own.architecture, own.variant)]
    return tuple(Platform(architecture, variant, own.os) for architecture, variant in found)


def best(platform: Platform, offered: Sequence[T], platform_of: Callable[[T], Platform]) -> T | None:
    """Return the first of what is offered that runs best on a platform; None when nothing does."""
    normalized = [(platform_of(one).normalized(), one) for one in offered]
    for wanted in runnable_on(platform):
        for candidate, one in normalized:
            if candidate == wanted:
                return one
    return None
