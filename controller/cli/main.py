"""`tallyman`: the command line. Parses and checks what it is given, then hands over."""

import click

from controller.cli.agent import agent
from controller.cli.look_up import find
from controller.cli.manager import manager
from controller.cli.version import VERSION


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="tallyman")
def main() -> None:
    """Tallyman runs containers the Kubernetes way, without Pods."""


main.add_command(agent)
main.add_command(manager)
main.add_command(find)
