"""Logging of the worker: events to stderr, and only warnings of the libraries."""

from __future__ import annotations

import logging
import sys

import structlog

_REMEMBERED = 1000


class Damper(logging.Filter):
    """Lets a message of a library through once in *every_s*; a broker that is away says 80 a s.

    What was held back is told with the next one.
    """

    def __init__(self, every_s: float = 10.0) -> None:
        super().__init__()
        self._every_s = every_s
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True if *record* is to be written."""
        key = (record.name, str(record.msg))
        since, held = self._seen.get(key, (-self._every_s, 0))
        if record.created - since < self._every_s:
            self._seen[key] = (since, held + 1)
            return False
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[key] = (record.created, 0)
        if held:
            record.msg = f"{record.msg} ({held} more like it were not shown)"
        return True


def configure() -> None:
    """Let structlog and the libraries write to stderr; colours on a terminal only."""
    plain = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            plain,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Damper())
    logging.basicConfig(
        level=logging.WARNING,
        handlers=[handler],
        format="%(asctime)s [%(levelname)s] %(name)s: %(message)s",
    )
