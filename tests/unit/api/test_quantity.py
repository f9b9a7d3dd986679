"""Quantities are what Kubernetes says they are, exactly."""

import re
from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api import quantity

EXACT = Context(prec=200)
SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}

numbers = st.one_of(
    st.from_regex(r"[0-9]{1,19}", fullmatch=True),
    st.from_regex(r"[0-9]{1,19}\.[0-9]{0,9}", fullmatch=True),
    st.from_regex(r"\.[0-9]{1,9}", fullmatch=True),
).filter(str.isascii)


@given(numbers, st.sampled_from(list(SUFFIXES)))
def test_number_and_suffix_are_multiplied_without_rounding(number: str, suffix: str) -> None:
    assert quantity.parse(number + suffix) == EXACT.multiply(Decimal(number), SUFFIXES[suffix])


@given(numbers, st.sampled_from("eE"), st.integers(0, 99))
def test_an_exponent_is_a_power_of_ten(number: str, letter: str, exponent: int) -> None:
    assert quantity.parse(f"{number}{letter}{exponent}") == EXACT.scaleb(Decimal(number), exponent)


@given(st.integers(0, 2**63 - 1))
def test_a_whole_number_is_itself(number: int) -> None:
    assert quantity.whole(number) == number == quantity.whole(str(number))
    assert quantity.milli(number) == 1000 * number


@given(st.text(max_size=12))
def test_any_other_text_is_an_error_and_never_a_crash(text: str) -> None:
    accepted = re.fullmatch(quantity.PATTERN, text) is not None
    try:
        quantity.parse(text)
    except ValueError:
        assert not accepted
    else:
        assert accepted


@pytest.mark.parametrize(
    ("text", "whole", "milli"),
    [
        ("100m", 1, 100),
        ("0.5", 1, 500),
        (".5", 1, 500),
        ("5.", 5, 5000),
        ("1E", 10**18, 10**21),
        ("1E3", 1000, 10**6),
        ("1e3", 1000, 10**6),
        ("128Mi", 128 * 2**20, 1000 * 128 * 2**20),
        ("1.5Gi", 3 * 2**29, 1000 * 3 * 2**29),
        ("1500000n", 1, 2),
        ("0", 0, 0),
    ],
)
def test_fractions_are_rounded_up(text: str, whole: int, milli: int) -> None:
    assert (quantity.whole(text), quantity.milli(text)) == (whole, milli)


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "1\n", "-1", "+1", "1,5", "1MB", "1mi", "1K", "1e", "1e100", "0x10", "\u0661", "1" * 20, "."],
)
def test_what_is_no_quantity_is_said_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 500m, 1, 64Mi or 2G"):
        quantity.parse(text)
