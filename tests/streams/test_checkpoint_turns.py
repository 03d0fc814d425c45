"""Of large checkpoints few are under way at once; small ones never wait."""

from __future__ import annotations

from tailrace.streams.checkpoint_turns import AT_ONCE, LARGE_BYTES, may_begin
from tests.streams.test_runner import Bench

LARGE = b"k" * LARGE_BYTES


async def benches(count: int) -> list[Bench]:
    found = [Bench() for _ in range(count)]
    for bench in found:
        await bench.runner.start()
    return found


async def test_a_large_checkpoint_waits_for_its_turn_and_a_small_one_does_not() -> None:
    every = await benches(AT_ONCE + 2)
    *large, last, small = every
    runners = [bench.runner for bench in every]
    for bench in large:
        bench.take(0, LARGE)
        assert may_begin(bench.runner, runners)
        bench.runner.checkpoint_soon()
    last.take(0, LARGE)
    small.take(0)
    assert not may_begin(last.runner, runners)
    assert may_begin(small.runner, runners)
    for bench in large:
        await bench.runner.checkpoint_done()
    assert may_begin(last.runner, runners)


async def test_who_has_a_checkpoint_under_way_is_not_in_its_own_way() -> None:
    [bench] = await benches(1)
    bench.take(0, LARGE)
    bench.runner.checkpoint_soon()
    bench.take(1, LARGE)
    assert may_begin(bench.runner, [bench.runner])
    await bench.runner.checkpoint_done()
    assert bench.runner.checkpointing_bytes == 0
