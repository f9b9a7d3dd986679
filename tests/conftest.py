"""What all tests share: the ids of the promises that they show."""

import re

import pytest

FEATURE = re.compile(r"[DLISNPXK][1-9][0-9]?")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse what is no feature id: a test that is found under no promise might as well not be there."""
    for item in items:
        wrong = [one for mark in item.iter_markers("feature") for one in mark.args if not FEATURE.fullmatch(one)]
        if wrong:
            raise pytest.UsageError(f"{item.nodeid}: {', '.join(map(str, wrong))} is no feature id")
