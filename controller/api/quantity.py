"""Kubernetes resource quantities (`100m`, `1`, `256Mi`, `1e3`) as exact numbers. Pure."""

import re
from decimal import ROUND_CEILING, Decimal

PATTERN = r"^[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?$"
_QUANTITY = re.compile(r"^(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<suffix>m|[kMGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?$")
_DECIMAL = {
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}


def parse(quantity: str | int) -> Decimal:
    """The exact value of a quantity in base units (cores, bytes, counts).

    Raises:
        ValueError: the text is not a quantity.
    """
    match = _QUANTITY.match(str(quantity))
    if match is None:
        raise ValueError(
            f"{quantity!r} is not a quantity; write a number with an optional suffix, such as 500m, 1, 64Mi or 2G"
        )
    number, suffix = Decimal(match["number"]), match["suffix"] or ""
    if suffix in _BINARY:
        return number * _BINARY[suffix]
    if suffix in _DECIMAL:
        return number * _DECIMAL[suffix]
    return number.scaleb(int(suffix[1:])) if suffix else number


def whole(quantity: str | int) -> int:
    """The value rounded up to a whole number of base units, as Kubernetes does for bytes and counts."""
    return int(parse(quantity).to_integral_value(rounding=ROUND_CEILING))


def milli(quantity: str | int) -> int:
    """The value in thousandths, rounded up: millicores of a CPU quantity."""
    return int((parse(quantity) * 1000).to_integral_value(rounding=ROUND_CEILING))
