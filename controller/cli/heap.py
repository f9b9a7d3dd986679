"""Where the memory of a process comes from. Nothing but the C library's own settings; must run before there are threads."""

import ctypes
from typing import Final

_M_ARENA_MAX: Final = -8
"""As in malloc.h of glibc."""


def share_heap() -> None:
    """Have all threads allocate from one heap: from several, what each has freed is of no use to the others. Nothing where there is no glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
