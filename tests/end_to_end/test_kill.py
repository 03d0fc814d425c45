"""Two workers, killed again and again, and a broker that dies: as if nothing had happened."""

import random
import sys
from pathlib import Path

import pytest

from tailrace_loadtest.kill import kill

SPANS, SECONDS = 200_000, 35.0


@pytest.mark.kafka
@pytest.mark.slow
def test_whatever_is_killed_every_trace_is_decided_once_and_rightly(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 20)
    sys.stdout.write(f"again: python -m tailrace_loadtest kill --seed {seed}\n")
    outcome = kill(SPANS, SECONDS, seed, tmp_path)
    sys.stdout.write(f"{outcome}\n")
    assert outcome.is_right
    assert outcome.kills >= 5
    assert outcome.lost_data == outcome.broker_restarts == 1
    assert max(outcome.pending) > 5_000
