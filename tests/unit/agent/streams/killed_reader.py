"""A writer, and a reader that is killed again and again: run as a process of its own, for it forks.

    killed_reader.py <directory> <kills> <lines>

Leaves `0.log`. The pipe is held open throughout, as a container's shim does.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from controller.agent.streams.capture import Capture, Limits, open_capture
from controller.agent.streams.journal import Journal

LIMITS = Limits(200_000, 1000)


def write(fifo: Path, lines: int, seed: int) -> None:
    """Write numbered lines, cut anywhere."""
    chance = random.Random(seed)
    text = b"".join(b"%d %s\n" % (number, b"x" * chance.randrange(80)) for number in range(lines))
    pipe = os.open(fifo, os.O_WRONLY)
    done = 0
    while done < len(text):
        done += os.write(pipe, text[done : done + chance.choice([1, 100, 4096, 32768])])


def reading(directory: Path) -> tuple[Journal, Capture]:
    journal = Journal(directory / "journal")
    return journal, open_capture(directory, "box", ("shop", "web"), directory / "0.log", ["stdout"])


def read_for_ever(directory: Path) -> None:
    journal, capture = reading(directory)
    while True:
        if not capture.move(capture.streams[0], journal, LIMITS):
            time.sleep(0.0001)


def child(work: object) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()  # type: ignore[operator]
        finally:
            os._exit(0)
    return pid


def main(directory: Path, kills: int, lines: int) -> None:
    chance = random.Random()
    fifo = directory / "box.stdout"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDWR)
    writer = child(lambda: write(fifo, lines, kills))
    for _ in range(kills):
        reader = child(lambda: read_for_ever(directory))
        time.sleep(chance.uniform(0, 0.012))
        os.kill(reader, signal.SIGKILL)
        os.waitpid(reader, 0)
    journal, capture = reading(directory)
    while os.waitpid(writer, os.WNOHANG)[0] == 0:
        capture.move(capture.streams[0], journal, LIMITS)
    os.close(held)
    while not capture.streams[0].ended:
        capture.move(capture.streams[0], journal, LIMITS)
    capture.finish(journal)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
