"""Structured logging for the whole process: one pipeline for our own loggers and those of the libraries.

Constant messages with key/value facts; JSON for machines, coloured columns on a terminal. May be used by every room, uses none.
Secrets never reach it: callers log names, reasons and counts, not objects.
"""

import logging
import sys
from typing import Literal

import structlog
from structlog.stdlib import BoundLogger
from structlog.typing import Processor

Format = Literal["json", "text"]

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(level: str, form: Format) -> None:
    """Send everything at or above `level` to standard error, in the given form."""
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("kopf", "aiohttp.access", "asyncio", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def get(name: str) -> BoundLogger:
    """The logger of a module: `log.get(__name__)`."""
    logger: BoundLogger = structlog.stdlib.get_logger(name)
    return logger
