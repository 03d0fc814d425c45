"""Two workers, killed again and again, and a broker that dies: as if nothing had happened."""

import random
import sys
from pathlib import Path

import pytest

from tailrace_loadtest.kill import Outcome, kill
from tailrace_loadtest.routes import Keys
from tailrace_loadtest.workers import Input

SPANS, SECONDS = 200_000, 35.0
REKEYED_SPANS, REKEYED_SECONDS = 120_000, 50.0


def killed(tmp_path: Path, keys: Keys, *, is_json: bool) -> Outcome:
    seed = random.SystemRandom().randrange(1 << 20)
    again = f"--seed {seed} --keys {keys}{' --json' if is_json else ''}"
    sys.stdout.write(f"again: python -m tailrace_loadtest kill {again}\n")
    spans, seconds = (SPANS, SECONDS) if keys == "hex" else (REKEYED_SPANS, REKEYED_SECONDS)
    outcome = kill(spans, seconds, seed, tmp_path, Input.of(keys, is_json=is_json))
    sys.stdout.write(f"{outcome}\n")
    return outcome


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "is_json"),
    [
        pytest.param("hex", False, id="keyed by trace ID"),
        pytest.param("mixed", False, id="from producers that write and hash keys differently"),
        pytest.param("none", True, id="in messages of OTLP JSON that mix traces"),
    ],
)
def test_whatever_is_killed_traces_are_decided_once_and_sums_are_exact(
    keys: Keys, is_json: bool, tmp_path: Path
) -> None:
    outcome = killed(tmp_path, keys, is_json=is_json)
    assert outcome.is_right
    assert outcome.kills >= 5
    assert outcome.lost_data == outcome.broker_restarts == 1
    assert max(outcome.pending) > (5_000 if keys == "hex" else 1_000)
    assert outcome.report.series > 0
    assert outcome.report.edges > 0
