"""Loading a certificate and its key that are in memory: Python's ssl module takes them from a file only."""

import os
import ssl


def load_pair(context: ssl.SSLContext, certificates: bytes, key: bytes) -> None:
    """Load a certificate, those that lead to its CA, and its key; they never reach a disk.

    Raises:
        ssl.SSLError: they can't be read, or do not belong together.
    """
    descriptor = os.memfd_create("pair", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(certificates + b"\n" + key)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
