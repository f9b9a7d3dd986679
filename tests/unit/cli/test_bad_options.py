"""What the programs refuse to start with, and how they say it."""

import pytest
from click.testing import CliRunner

from controller.cli.main import main

REFUSED: dict[str, tuple[list[str], str]] = {
    "an agent that is unwell between two lists": (
        ["agent", "--list-seconds=30", "--stale-seconds=10"],
        "--stale-seconds (10) must be above --list-seconds (30)",
    ),
    "a manager that is unwell between two lists": (
        ["manager", "--list-seconds=60", "--stale-seconds=60"],
        "--stale-seconds (60) must be above --list-seconds (60)",
    ),
    "a runtime without a program": (["agent", "--runtime=runc="], "'runc=': write each runtime as NAME or NAME=BINARY"),
    "a runtime without a name": (["agent", "--runtime==/usr/bin/runc"], "write each runtime as NAME or NAME=BINARY"),
    "a runtime that is given twice": (
        ["agent", "--runtime=runc=/usr/bin/runc", "--runtime=runc=/opt/runc"],
        "'runc' is given twice",
    ),
    "certificates of a webhook that there is not": (
        ["manager", "--webhook-cert-dir=/etc/door"],
        "the options of the webhook need --webhook-address",
    ),
    "a configuration of a webhook that there is not": (
        ["manager", "--webhook-configuration=checks"],
        "the options of the webhook need --webhook-address",
    ),
    "a Service that can't be one": (
        ["manager", "--webhook-address=:9443", "--webhook-service=Bad_Name"],
        "'Bad_Name' is not a Service's name",
    ),
}


@pytest.mark.parametrize(("arguments", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_what_can_t_be_meant_is_refused(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(main, arguments, terminal_width=200)
    assert done.exit_code == 2
    assert says in done.output
