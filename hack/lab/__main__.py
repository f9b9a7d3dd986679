"""`python -m hack.lab up|down|status|fetch`: the real parts for trying Tallyman out, started and stopped as a whole."""

from __future__ import annotations

import argparse
import sys

from hack.lab import cache
from hack.lab.checkout import Checkout, this_checkout
from hack.lab.down import down
from hack.lab.errors import LabError
from hack.lab.fetch import fetch
from hack.lab.progress import Progress
from hack.lab.status import status
from hack.lab.up import STEPS, Up

INTERRUPTED = 130


def main() -> int:
    """Run one command and return the exit code."""
    arguments = _parser().parse_args()
    checkout = this_checkout()
    try:
        if arguments.command == "status":
            return 0 if status(checkout) else 1
        if arguments.command == "fetch":
            fetch(Progress())
            return 0
        with cache.locked(f"checkout-{checkout.mark}"):
            if arguments.command == "down":
                down(checkout, Progress())
            else:
                _up(checkout, arguments.until)
    except LabError as error:
        print(f"\n{error}\n\nLogs are in {checkout.local}. Run it again once this is put right;", file=sys.stderr)
        print("`make down` removes everything for a fresh start.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. What was started goes on: `make down` stops it.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _up(checkout: Checkout, until: str) -> None:
    run = Up(checkout, Progress())
    run.run(until)
    if until == STEPS[-1]:
        print(run.summary())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hack.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start what does not run yet, and the example")
    up.add_argument("--until", choices=STEPS, default=STEPS[-1], help="the last step to do (default: all of them)")
    commands.add_parser("down", help="stop and remove everything that `up` made")
    commands.add_parser("status", help="say what runs")
    commands.add_parser("fetch", help="fetch and build everything that is ever started, and start nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
