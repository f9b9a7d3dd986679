"""A bound on how often something is done."""

import asyncio


class Pace:
    """So many turns a second, evenly spaced; turns that nobody took are not made up for."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second
        self._next = float("-inf")

    async def turn(self) -> None:
        """Wait for the next turn."""
        now = asyncio.get_running_loop().time()
        due = max(self._next, now)
        self._next = due + self._interval
        if due > now:
            await asyncio.sleep(due - now)
