"""The samplers of rules: pure tables of counts by key, from which the rate of a trace follows.

A sampler never decides whether a trace is kept; it says of how many like it one is. What it says is
a function of the traces it was asked about, in their order, each with its key, spans and time:
never of a clock, of how traces were cut into batches, or of when its state was stored.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from tailrace.agents.sampling.budgets import Budget


class Sampler(Protocol):
    """The rates of one rule in one partition."""

    @property
    def overflowed(self) -> int:
        """The traces, since the process began, whose key was one too many for `max_keys`."""
        ...

    def rate(self, key: str, spans: int, at: int) -> int:
        """Count a trace of *spans* that is decided at *at* (ms of stream time, never less than
        before); the trace is kept as one of so many, 1 or more.
        """
        ...

    def budgets(self) -> Mapping[str, Budget]:
        """Its goal, if that is for the cluster: the part of it that is for here counts from the
        next time on that rates are made, and asked for are all spans that come.
        """
        ...

    def state(self) -> dict[str, Any]:
        """All that later rates depend on, as JSON."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*, which a sampler of the same type gave."""
        ...
