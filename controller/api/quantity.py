"""Kubernetes resource quantities (`100m`, `1`, `256Mi`, `1e3`) as exact numbers. Pure.

The grammar is Kubernetes' own without signs: no resource of a container is negative.
"""

import re
from decimal import ROUND_CEILING, Context, Decimal
from typing import Final

PATTERN: Final = r"^([0-9]{1,19}(\.[0-9]{0,9})?|\.[0-9]{1,9})([num]|[kMGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?$"
"""What the schema of the API server says, too. The bounds on digits keep every value exact."""

_QUANTITY: Final = re.compile(PATTERN)
_EXACT: Final = Context(prec=160)  # 28 digits by at most 10^99: nothing is ever rounded
_FACTORS: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{suffix: Decimal(10) ** (3 * power) for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(2) ** (10 * power) for power, suffix in enumerate("KMGTPE", start=1)},
}


def parse(quantity: str | int) -> Decimal:
    """The exact value of a quantity in base units (cores, bytes, counts).

    Raises:
        ValueError: the text is not a quantity.
    """
    text = str(quantity)
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text[:40]!r} is not a quantity; write a number with an optional suffix, such as 500m, 1, 64Mi or 2G"
        )
    number, suffix = _EXACT.create_decimal(match[1]), match[3] or ""
    factor = _FACTORS.get(suffix) or Decimal(f"1e{suffix[1:] or 0}")
    return _EXACT.multiply(number, factor)


def whole(quantity: str | int) -> int:
    """The value rounded up to a whole number of base units, as Kubernetes does for bytes and counts."""
    return int(parse(quantity).to_integral_value(rounding=ROUND_CEILING, context=_EXACT))


def milli(quantity: str | int) -> int:
    """The value in thousandths, rounded up: millicores of a CPU quantity."""
    return int(
        _EXACT.multiply(parse(quantity), Decimal(1000)).to_integral_value(rounding=ROUND_CEILING, context=_EXACT)
    )
