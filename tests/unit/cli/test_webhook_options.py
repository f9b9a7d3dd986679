"""What the options of the admission webhook come to, and what loading them costs those that have none."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from controller.cli.webhook_options import admission_settings, webhook_options
from controller.manager.admission_settings import AdmissionSettings

SECONDS = 60


def settings(*arguments: str, **environment: str) -> tuple[AdmissionSettings | None, str]:
    """What a command with these arguments is told, and what it prints."""
    told: list[AdmissionSettings | None] = []

    @click.command()
    @webhook_options
    def command(**options: Any) -> None:
        told.append(admission_settings(namespace="tallyman-system", **options))

    done = CliRunner().invoke(command, arguments, env=environment)
    return (told[0] if told else None), done.output


def test_without_an_address_there_is_no_webhook() -> None:
    assert settings() == (None, "")


def test_an_address_is_enough() -> None:
    assert settings("--webhook-address=0.0.0.0:9443")[0] == AdmissionSettings(
        host="0.0.0.0",
        port=9443,
        namespace="tallyman-system",
        hosts=("tallyman-webhook.tallyman-system.svc",),
        configuration=None,
        certificate_directory=None,
        check_seconds=60.0,
    )


def test_everything_can_be_said() -> None:
    told, _ = settings(
        "--webhook-address=[::1]:9443",
        "--webhook-configuration=checks",
        "--webhook-service=door",
        "--webhook-host=127.0.0.1",
        "--webhook-host=0:0:0:0:0:0:0:1",
        "--webhook-host=door.example.com",
        "--webhook-cert-dir=/etc/door",
        "--webhook-check-seconds=5",
    )
    assert told == AdmissionSettings(
        host="::1",
        port=9443,
        namespace="tallyman-system",
        hosts=("door.tallyman-system.svc", "127.0.0.1", "::1", "door.example.com"),
        configuration="checks",
        certificate_directory=Path("/etc/door"),
        check_seconds=5.0,
    )


def test_the_environment_says_the_same() -> None:
    told, _ = settings(
        TALLYMAN_WEBHOOK_ADDRESS="127.0.0.1:9443",
        TALLYMAN_WEBHOOK_HOSTS="127.0.0.1 localhost",
        TALLYMAN_WEBHOOK_CONFIGURATION="",
    )
    assert told is not None
    assert told.hosts == ("tallyman-webhook.tallyman-system.svc", "127.0.0.1", "localhost")
    assert told.configuration is None


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--webhook-address=localhost", "'localhost' is not HOST:PORT, such as 127.0.0.1:9464"),
        ("--webhook-address=x:99999", "'x:99999' is not HOST:PORT, such as 127.0.0.1:9464"),
        ("--webhook-host=Door", "'Door' is neither a DNS name in lower case nor an IP address"),
        ("--webhook-check-seconds=0", "0.0 is not in the range"),
    ],
    ids=["an address without a port", "a port that there is not", "a name that is none", "no time at all"],
)
def test_a_slip_is_explained(argument: str, says: str) -> None:
    told, printed = settings(argument)
    assert told is None
    assert says in printed.replace("\n", " ")


def test_an_agent_does_not_pay_for_certificates() -> None:
    """Memory on every node: what only the manager needs is loaded by the manager only."""
    script = "import sys, controller.cli.main, controller.agent.agent; sys.exit('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], timeout=SECONDS, check=False)
    assert done.returncode == 0
