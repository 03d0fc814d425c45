"""Counts of one window, and exact comparisons of their shares."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple


class Counts(NamedTuple):
    """Events of a window, and how many of them matched: of an SLO, were bad."""

    all: int
    matched: int

    @property
    def share(self) -> float | None:
        """The share that matched, correctly rounded; None without events."""
        return self.matched / self.all if self.all else None

    def exceeds(self, share: Fraction) -> bool:
        """True if more than *share* of the events matched, exactly; never without events."""
        return self.matched * share.denominator > share.numerator * self.all


def exact(number: float) -> Fraction:
    """Return the decimal number that *number* was written as: 99.9 is 999/10."""
    return Fraction(repr(number))
