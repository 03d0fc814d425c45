"""A receiver is asked again later and later, and not before it wants to be."""

from tailrace.streams.exports.pace import Backoff, Gate


def test_waits_grow_to_the_longest_and_a_draw_shortens_them() -> None:
    backoff = Backoff(0.03, 5.0)
    waits = [backoff.wait_s(attempts, 0.0) for attempts in range(1, 11)]
    assert waits[:4] == [0.03, 0.06, 0.12, 0.24]
    assert waits[-1] == 5.0
    assert backoff.wait_s(10**6, 0.0) == 5.0
    assert backoff.wait_s(1, 0.5) == 0.0225


def test_a_gate_is_closed_for_all_until_the_latest_time_that_was_asked_for() -> None:
    now = 100.0
    gate = Gate(lambda: now)
    assert gate.wait_s == 0
    gate.close(7)
    gate.close(3)
    assert gate.wait_s == 7
    now += 6
    assert gate.wait_s == 1
    now += 2
    assert gate.wait_s == 0


def test_a_wait_that_grows_fast_stays_at_the_longest_for_ever() -> None:
    backoff = Backoff(5.0, 30.0, 200_000)
    assert [backoff.wait_s(attempts, 0.0) for attempts in (1, 2, 61, 10**6)] == [5, 30, 30, 30]
