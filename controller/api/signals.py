"""Names and numbers of Linux signals, and the text forms that users write: `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`.

The table is Linux's for x86, ARM, RISC-V, PowerPC and s390 (signal(7)); it is written down here rather than read from
the `signal` module so that what is valid does not depend on where the code runs. Pure: no input or output.
"""

import re
from types import MappingProxyType
from typing import Final

_NAMES: Final = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG "
    "XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
)
SIGNALS: Final = MappingProxyType({f"SIG{name}": number for number, name in enumerate(_NAMES.split(), start=1)})
"""The ordinary signals, 1 to 31, by full name."""

SIGTERM: Final = SIGNALS["SIGTERM"]
SIGKILL: Final = SIGNALS["SIGKILL"]
RTMIN: Final = 34
"""The first real-time signal as the C libraries count: 32 and 33 are used by threads."""
RTMAX: Final = 64

_ALIASES: Final = MappingProxyType(
    {"SIGIOT": "SIGABRT", "SIGCLD": "SIGCHLD", "SIGPOLL": "SIGIO", "SIGUNUSED": "SIGSYS"}
)
_BY_NUMBER: Final = MappingProxyType({number: name for name, number in SIGNALS.items()})
_REALTIME: Final = re.compile(r"SIGRTM(?:IN(?:\+(?P<up>[0-9]{1,2}))?|AX(?:-(?P<down>[0-9]{1,2}))?)")
_ADVICE: Final = "write a name such as SIGTERM or TERM, or a number from 1 to 64"


def parse_signal(text: str) -> int:
    """The number of a signal written as name (any case, with or without `SIG`), number, or `RTMIN+n` / `RTMAX-n`.

    Raises:
        ValueError: no such signal; the message says what may be written.
    """
    if text.isascii() and text.isdigit() and len(text) <= 2:
        return _checked(int(text), text)
    upper = text.upper()
    name = upper if upper.startswith("SIG") else f"SIG{upper}"
    number = SIGNALS.get(_ALIASES.get(name, name))
    if number is not None:
        return number
    match = _REALTIME.fullmatch(name)
    if match is None:
        raise ValueError(f"{text!r} is not a signal; {_ADVICE}")
    base = RTMIN if name.startswith("SIGRTMIN") else RTMAX
    number = base + int(match["up"] or 0) - int(match["down"] or 0)
    if not RTMIN <= number <= RTMAX:
        raise ValueError(f"{text!r} is not a real-time signal; they go from SIGRTMIN to SIGRTMIN+{RTMAX - RTMIN}")
    return number


def signal_name(number: int) -> str:
    """The full name of a signal, `SIGTERM` for 15; `signal 32` for one that has none."""
    if RTMIN <= number <= RTMAX:
        return "SIGRTMIN" if number == RTMIN else f"SIGRTMIN+{number - RTMIN}"
    return _BY_NUMBER.get(number, f"signal {number}")


def _checked(number: int, text: str) -> int:
    if not 1 <= number <= RTMAX:
        raise ValueError(f"{text!r} is not a signal; {_ADVICE}")
    return number
