"""The embedded broker as a process of its own: `tailrace broker`."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from tailrace.streams.broker.embedded import EmbeddedBroker


def run_broker(port: int, data: Path | None, say: Callable[[str], None]) -> None:
    """Run Kafka until SIGTERM, SIGHUP (both end this process with 0) or Ctrl-C."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:  # nohup ignores SIGHUP for us
            signal.signal(ending, _leave)
    with EmbeddedBroker(port, data) as broker:
        say(f"listening on {broker.bootstrap}")
        broker.wait()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)
