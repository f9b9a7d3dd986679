"""Ports of this machine that nobody listens on."""

import socket

from tests.unit.manager.keyrings import HOST


def free_port() -> int:
    """One of them."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])
