"""The scalar types that the fields of the API are made of: paths, names, numbers, quantities.

Each states its rule once: as a pattern or a bound for the schema of the API server, and in words for people. Pure: no
input or output.
"""

import ipaddress
import posixpath
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.config import JsonDict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from controller.api import capabilities, quantity, signals

MAX_ID: Final = 2**31 - 1
"""The largest user or group id that the OCI runtimes accept; the kernel itself knows larger ones."""
BROKEN_RULE: Final = "broken_rule"
"""Type of the pydantic errors whose message is already in our words."""


def broken(rule: str) -> PydanticCustomError:
    """The error that a validator raises; `rule` completes the sentence "this field …"."""
    return PydanticCustomError(BROKEN_RULE, "{rule}", {"rule": rule})


@dataclass(frozen=True)
class Matches:
    """Annotates text that must match a pattern. The words take the pattern's place in our own messages.

    The pattern must be understood by Python and by Go's RE2 alike: anchored, without look-around.
    """

    pattern: str
    says: str

    def fits(self, value: str) -> bool:
        """Whether the text matches as a whole."""
        # NB: fullmatch, because `$` alone would let a trailing newline through in Python, though not in Go.
        return re.fullmatch(self.pattern, value) is not None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "pattern": self.pattern}

    def _checked(self, value: str) -> str:
        if not self.fits(value):
            raise broken(self.says)
        return value


def _text_of_number(value: object) -> object:
    """YAML reads `stopSignal: 15` and `user: 1000` as numbers; to us they are text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _quantity(value: object) -> object:
    if isinstance(value, float):
        raise broken('must be text when it is a fraction: write it in quotes ("0.5") or with a suffix (500m)')
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise broken("must be a quantity, such as 500m, 1, 64Mi or 2G")
    try:
        quantity.parse(value)
    except ValueError:
        raise broken("is not a quantity; write a number with an optional suffix, such as 500m, 1, 64Mi or 2G") from None
    return value


def _int_or_string(**bounds: int) -> JsonDict:
    """Marks text that may be written as a number; the bounds hold for the number."""
    return {"x-kubernetes-int-or-string": True, **bounds}


def _ip_address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise broken("must be an IP address, such as 127.0.0.1 or ::1") from None


_NO_NUL: Final = Matches(r"^[^\x00]*$", "must not contain a NUL character")
_COMPONENT: Final = r"([^/.\x00][^/\x00]*|\.[^/.\x00][^/\x00]*|\.\.[^/\x00]+|\.)"
"""One part of a path that is not `..`."""
_SIGNAL_NAMES: Final = "|".join(name.removeprefix("SIG") for name in (*signals.SIGNALS, "IOT", "CLD", "POLL", "UNUSED"))
_REALTIME: Final = r"RTMIN(\+(0?[0-9]|[12][0-9]|30))?|RTMAX(-(0?[0-9]|[12][0-9]|30))?"
_DNS: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_CAPABILITY_NAMES: Final = "|".join(name.removeprefix("CAP_") for name in capabilities.ORDERED)

Flag = Annotated[bool, Field(strict=True)]
Integer = Annotated[int, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
NumericID = Annotated[int, Field(strict=True, ge=0, le=MAX_ID)]

Text = Annotated[str, Field(max_length=131072), _NO_NUL]
"""Any text that can be handed to a process: without NUL, and no longer than the kernel takes in one piece."""

Quantity = Annotated[
    str | int,
    BeforeValidator(_quantity),
    Field(json_schema_extra={**_int_or_string(minimum=0), "pattern": quantity.PATTERN}),
]

AbsolutePath = Annotated[
    str,
    Field(max_length=4096),
    Matches(rf"^(/{_COMPONENT}?)+$", "must be an absolute path without `..`, such as /data"),
    AfterValidator(lambda path: posixpath.normpath("/" + path.lstrip("/"))),
]
"""Kept in its shortest form: `/data/` and `//data` are `/data`."""

RelativePath = Annotated[
    str,
    Field(max_length=4096),
    Matches(rf"^({_COMPONENT}(/{_COMPONENT}?)*)?$", "must be a relative path without `..`, such as logs/web"),
]

NodeName = Annotated[
    str,
    Field(max_length=63),
    Matches(
        rf"^{_DNS}$",
        "must be the name of a node: lower-case letters, digits, `-` and `.`",
    ),
]

ObjectName = Annotated[
    str,
    Field(max_length=253),
    Matches(
        rf"^{_DNS}$",
        "must be the name of an object: lower-case letters, digits, `-` and `.`",
    ),
]

HostName = Annotated[
    str,
    Field(max_length=63),
    Matches(
        r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$",
        "must be letters, digits and `-`, with no `-` at either end and no dots",
    ),
]

RuntimeName = Annotated[
    str,
    Field(max_length=253),
    Matches(r"^[a-zA-Z0-9]([-._a-zA-Z0-9]*[a-zA-Z0-9])?$", "must be the name of a runtime, such as runc"),
]

_LABEL_KEY: Final = Matches(
    rf"^({_DNS}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$",
    "must be the key of a label, such as disk or example.com/disk",
)
_LONGEST_LABEL_KEY: Final = 317
LabelKey = Annotated[str, Field(max_length=_LONGEST_LABEL_KEY), _LABEL_KEY]

_LABEL_VALUE: Final = Matches(
    r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
    "must be the value of a label: letters, digits, `-`, `_` and `.`, or empty",
)
_LONGEST_LABEL_VALUE: Final = 63
LabelValue = Annotated[str, Field(max_length=_LONGEST_LABEL_VALUE), _LABEL_VALUE]

ImageName = Annotated[
    str,
    Field(max_length=1024),
    Matches(r"^[!-~]+$", "must be an image reference without spaces, such as registry.example.com/shop/web:1.4"),
]

EnvName = Annotated[
    str, Field(max_length=1024), Matches(r"^[^=\x00]+$", "must be the name of a variable: not empty, without `=`")
]

Signal = Annotated[
    str,
    BeforeValidator(_text_of_number),
    Field(json_schema_extra=_int_or_string(minimum=1, maximum=signals.RTMAX)),
    Matches(
        rf"(?i)^((SIG)?({_SIGNAL_NAMES}|{_REALTIME})|0?[1-9]|[1-5][0-9]|6[0-4])$",
        "is not a signal; write a name such as SIGTERM or TERM, or a number from 1 to 64",
    ),
]

CapabilityName = Annotated[
    str,
    Matches(
        rf"(?i)^(CAP_)?(ALL|{_CAPABILITY_NAMES})$",
        "is not a Linux capability; write ALL or one of capabilities(7), such as NET_ADMIN",
    ),
]

UserName = Annotated[
    str,
    BeforeValidator(_text_of_number),
    Field(max_length=256, json_schema_extra=_int_or_string(minimum=0, maximum=MAX_ID)),
    Matches(
        r"^[^-:\s\x00-\x1f][^:\s\x00-\x1f]*(:[^-:\s\x00-\x1f][^:\s\x00-\x1f]*)?$",
        "must be a user and optionally a group, as names or numbers: app, 1000, app:staff or 1000:1000",
    ),
]

DevicePermissions = Annotated[
    str, Matches(r"^(r|w|m|rw|rm|wm|rwm)$", "must be any of r (read), w (write) and m (mknod), in this order")
]

SysctlValue = Annotated[str, Field(max_length=4096), Matches(r"^[^\x00\n]*$", "must be one line without NUL")]

IPAddress = Annotated[str, Field(max_length=45), AfterValidator(_ip_address)]
"""Kept in its shortest form."""

URLPath = Annotated[
    str, Field(max_length=4096), Matches(r"^/[!-~]*$", "must be a path from the root, without spaces, such as /healthz")
]

HeaderName = Annotated[
    str,
    Field(max_length=256),
    Matches(r"^[0-9A-Za-z!#$%&'*.^_`|~+-]+$", "must be the name of an HTTP header, such as Host"),
]

HeaderValue = Annotated[
    str, Field(max_length=4096), Matches(r"^([ -~\t]*)$", "must be one line of printable ASCII characters")
]


def label_key_problem(key: str) -> str | None:
    """What is wrong with the key of a map, which a schema can't say; None when a label can have it."""
    return None if len(key) <= _LONGEST_LABEL_KEY and _LABEL_KEY.fits(key) else _LABEL_KEY.says


def label_value_problem(value: str) -> str | None:
    """What is wrong with the value of a label; None when there is nothing."""
    return None if len(value) <= _LONGEST_LABEL_VALUE and _LABEL_VALUE.fits(value) else _LABEL_VALUE.says
