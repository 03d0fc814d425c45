"""Facts: what policies need to know of a trace beyond its times and its number of spans.

A fact is a yes-or-no question that one span can make true for its trace. Each distinct question
has one bit; a trace's facts are the union of its spans' facts. Questions are asked of a whole batch
at once, and of each distinct attribute value once.

A few facts depend on what the trace had before: they are asked of each fragment in its turn.

Bits are given in the order in which facts are asked for: they belong to one config and are not kept
beyond it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from tailrace.schemas.durations import Nanos
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.strings import AttributeValue, Values

Bools = npt.NDArray[np.bool_]
ContextField: TypeAlias = Literal["trace_state", "flags"]
"""A part of a span's W3C context, which a batch has only if its decoder was asked for it."""

NO_START: Nanos = 2**63 - 1
"""The start of an envelope that has no span yet."""
NO_END: Nanos = -(2**63)
"""The end of an envelope that has no span yet."""


class Trace(Protocol):
    """What policies are told of a trace. `start` and `end` are its envelope, in ns; `size` is that
    of its fragments, in bytes; `tenant` is whose it is.
    """

    @property
    def trace_id(self) -> bytes: ...
    @property
    def start(self) -> Nanos: ...
    @property
    def end(self) -> Nanos: ...
    @property
    def spans(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def facts(self) -> int: ...
    @property
    def tenant(self) -> str: ...


class Predicate(Hashable, Protocol):
    """A claim about an attribute's value. Equal predicates claim the same."""

    def __call__(self, value: AttributeValue, /) -> bool: ...


class SpanFact(Hashable, Protocol):
    """A claim about a span. Equal facts claim the same."""

    @property
    def attributes(self) -> tuple[AttributeColumn, ...]: ...
    @property
    def context(self) -> tuple[ContextField, ...]: ...

    def holds(self, batch: SpanBatch, answers: Answers) -> Bools:
        """For each span of *batch*, whether the claim is true."""
        ...


class OrderedFact(Hashable, Protocol):
    """A question to which a span may have no answer: the trace's is that of its first span, in
    order of arrival, that says yes or has none. Equal facts ask the same.
    """

    @property
    def attributes(self) -> tuple[AttributeColumn, ...]: ...
    @property
    def context(self) -> tuple[ContextField, ...]: ...

    def answers(self, batch: SpanBatch, answers: Answers) -> tuple[Bools, Bools]:
        """For each span of *batch*, whether it says yes, and whether it has no answer."""
        ...


@dataclass(frozen=True, slots=True)
class AttributeFact:
    """Some attribute of the span or its resource is there, and its predicate holds."""

    questions: tuple[tuple[AttributeColumn, Predicate], ...]

    context: ClassVar[tuple[ContextField, ...]] = ()

    @classmethod
    def of(cls, key: str, predicate: Predicate) -> Self:
        """The predicate holds of the attribute *key* of the resource or of the span."""
        resource, span = AttributeColumn("resource", key), AttributeColumn("span", key)
        return cls(((resource, predicate), (span, predicate)))

    @property
    def attributes(self) -> tuple[AttributeColumn, ...]:
        return tuple(column for column, _ in self.questions)

    def holds(self, batch: SpanBatch, answers: Answers) -> Bools:
        result = np.zeros(len(batch), np.bool_)
        for column, predicate in self.questions:
            result |= answers.of(predicate, batch.attributes[column])
        return result


@dataclass(frozen=True, slots=True)
class EnvelopeFact:
    """After one of its spans, in order of arrival, the trace lasted at least `shortest` and less
    than `limit`, in ns."""

    shortest: Nanos
    limit: Nanos

    def observe_fragment(
        self,
        start_so_far: Nanos,
        end_so_far: Nanos,
        starts: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
    ) -> bool:
        """Whether a span of the fragment makes it true, after the envelope before the fragment.

        Before a trace's first span the envelope is (NO_START, NO_END). It only grows, so the first
        span that makes the trace long enough decides.
        """
        first, last = start_so_far, end_so_far
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            first, last = min(first, start), max(last, end)
            lasted: Nanos = last - first
            if lasted >= self.shortest:
                return lasted < self.limit
        return False


class Answers:
    """What predicates say of the values of one `Values`; each is asked once per value."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.failures = 0
        """Values about which a predicate could not say anything."""
        self._known: dict[Predicate, npt.NDArray[np.int8]] = {}

    def of(self, predicate: Predicate, ids: npt.NDArray[np.int32]) -> Bools:
        """For each id, whether the predicate holds of its value; never of a value not there."""
        known = self._known.get(predicate)
        if known is None or len(known) <= len(self.values):
            known = self._known[predicate] = self._grown(known)
        found = known[ids]
        if (found == _NOT_ASKED).any():
            for number in np.unique(ids[found == _NOT_ASKED]).tolist():
                known[number] = self._asked(predicate, self.values[number])
            found = known[ids]
        return found.view(np.bool_)

    def _asked(self, predicate: Predicate, value: AttributeValue) -> bool:
        """Return what *predicate* says; a defect that one value brings out is no more than a no."""
        try:
            return bool(predicate(value))
        except Exception:
            self.failures += 1
            return False

    def _grown(self, known: npt.NDArray[np.int8] | None) -> npt.NDArray[np.int8]:
        grown = np.full(2 * len(self.values) + 64, _NOT_ASKED, np.int8)
        if known is not None:
            grown[: len(known) - 1] = known[:-1]
        grown[-1] = 0  # where the id of a value that is not there, -1, points
        return grown


_NOT_ASKED = 2
_WORD_BITS = 64


class Facts:
    """The facts that the policies of one config ask for."""

    def __init__(self) -> None:
        self._bits: dict[SpanFact | EnvelopeFact, int] = {}
        self._pairs: dict[OrderedFact, tuple[int, int]] = {}
        self._of_spans: list[tuple[int, SpanFact]] = []
        self._of_envelopes: list[tuple[int, EnvelopeFact]] = []
        self._answers: Answers | None = None
        self._failures = 0
        self._count = 0
        self._counted: list[tuple[str, int]] = []
        self.counted: Counter[str] = Counter()
        """Traces, so far, with facts that are counted, by the name that these have."""

    def bit(self, fact: SpanFact | EnvelopeFact) -> int:
        """The bit, as a mask, of *fact* in `Trace.facts`."""
        if fact not in self._bits:
            bit = self._bits[fact] = self._next_bit()
            if isinstance(fact, EnvelopeFact):
                self._of_envelopes.append((bit, fact))
            else:
                self._of_spans.append((bit, fact))
        return self._bits[fact]

    def pair(self, fact: OrderedFact) -> tuple[int, int]:
        """The bits, as masks, of yes and of no answer to *fact* in `Trace.facts`; never both."""
        if fact not in self._pairs:
            self._pairs[fact] = self._next_bit(), self._next_bit()
        return self._pairs[fact]

    def count(self, name: str, bit: int) -> None:
        """Count traces with the fact of *bit* under *name* from now on."""
        self._counted.append((name, bit))

    def decided(self, traces: Sequence[Trace]) -> None:
        """Count those of *traces* that have what is counted."""
        for name, bit in self._counted:
            number = sum(1 for trace in traces if trace.facts & bit)
            if number:
                self.counted[name] += number

    @property
    def attributes(self) -> tuple[AttributeColumn, ...]:
        """The columns that batches must have, each once."""
        return tuple(dict.fromkeys(column for fact in self._asking for column in fact.attributes))

    @property
    def context(self) -> frozenset[ContextField]:
        """What of their spans' W3C context batches must have."""
        return frozenset(field for fact in self._asking for field in fact.context)

    def observe(self, batch: SpanBatch) -> npt.NDArray[Any] | None:
        """The bits that each span makes true: uint64, or Python ints when there are more than 64
        facts. None when no fact is about spans. What comes with order is told by `observe_ordered`
        and `after`.
        """
        if not self._of_spans:
            return None
        answers = self._answers_of(batch)
        wide = self._count > _WORD_BITS
        bits = np.zeros(len(batch), object if wide else np.uint64)
        for bit, fact in self._of_spans:
            true = fact.holds(batch, answers)
            if wide:
                bits[true] |= bit
            else:
                bits |= true * np.uint64(bit)
        return bits

    @property
    def has_order(self) -> bool:
        """Whether `after` must be asked, at least of fragments with bits by `observe_ordered`."""
        return bool(self._of_envelopes or self._pairs)

    @property
    def has_envelopes(self) -> bool:
        """Whether `after` must be asked of every fragment."""
        return bool(self._of_envelopes)

    def observe_ordered(self, batch: SpanBatch) -> list[int]:
        """For each fragment of *batch*, the bits of its own first answers; see `OrderedFact`."""
        found = [0] * len(batch.fragment_trace_id)
        for fact, (yes, unknown) in self._pairs.items():
            says_yes, has_none = fact.answers(batch, self._answers_of(batch))
            rows = np.flatnonzero(says_yes | has_none)
            fragments = np.searchsorted(batch.fragment_start, rows, side="right") - 1
            _, first = np.unique(fragments, return_index=True)
            for fragment, row in zip(fragments[first].tolist(), rows[first].tolist(), strict=True):
                found[fragment] |= unknown if has_none[row] else yes
        return found

    def after(
        self,
        batch: SpanBatch,
        fragment: int,
        ordered: int,
        envelope: tuple[Nanos, Nanos],
        facts_so_far: int,
        start_so_far: Nanos,
        end_so_far: Nanos,
    ) -> int:
        """The bits that a fragment makes true of a trace that has those facts and that envelope.

        *ordered* are its bits as `observe_ordered` has them, *envelope* is that of its spans.
        """
        bits = 0
        lasted = max(envelope[1], end_so_far) - min(envelope[0], start_so_far)
        for bit, fact in self._of_envelopes:
            if facts_so_far & bit or lasted < fact.shortest:
                continue
            if lasted < fact.limit:
                bits |= bit
            elif end_so_far - start_so_far < fact.limit:
                rows = slice(*batch.fragment_start[fragment : fragment + 2])
                starts, ends = batch.start[rows], batch.end[rows]
                if fact.observe_fragment(start_so_far, end_so_far, starts, ends):
                    bits |= bit
        for yes, unknown in self._pairs.values() if ordered else ():
            if not facts_so_far & (yes | unknown):
                bits |= ordered & (yes | unknown)
        return bits

    @property
    def _asking(self) -> list[SpanFact | OrderedFact]:
        return [*(fact for _, fact in self._of_spans), *self._pairs]

    def _next_bit(self) -> int:
        self._count += 1
        return 1 << (self._count - 1)

    def _answers_of(self, batch: SpanBatch) -> Answers:
        if self._answers is None or self._answers.values is not batch.values:
            self._failures = self.failures
            self._answers = Answers(batch.values)
        return self._answers

    @property
    def failures(self) -> int:
        """Values, so far, about which a predicate could not say anything: a defect of ours."""
        return self._failures + (0 if self._answers is None else self._answers.failures)
