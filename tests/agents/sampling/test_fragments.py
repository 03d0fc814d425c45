"""Fragment summaries against a loop over spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.sampling.facts import NO_END, NO_START
from tailrace.agents.sampling.fragments import Fragment, selected, summarise
from tailrace.agents.sampling.policies import build_policies
from tailrace.agents.sampling.services import ServiceNames
from tailrace.schemas.config import parse
from tailrace.schemas.otlp.decoder import Decoder
from tests.otlp import ERROR, MS, Span, flat, message

TRACES = [b"A" * 16, b"B" * 16]
POLICIES = """
tail_sampling:
  policies:
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: brief, type: latency, latency: {threshold_ms: 5, upper_threshold_ms: 8}}
"""

SPANS = st.builds(
    Span,
    trace_id=st.sampled_from(TRACES),
    service=st.sampled_from(["api", "cart", "pay", ""]),
    name=st.sampled_from(["GET /", "POST /"]),
    parent=st.sampled_from([b"", bytes(8), b"parentid"]),
    start=st.integers(0, 12).map(lambda ms: ms * MS),
    end=st.integers(0, 12).map(lambda ms: ms * MS),
    status=st.sampled_from([0, 0, ERROR]),
)
MESSAGES = st.lists(st.lists(SPANS, max_size=5), max_size=5)


def parts(messages: Sequence[Sequence[Span]]) -> list[tuple[int, list[Span]]]:
    """The spans of each message by trace, in order of the trace's first span."""
    found: list[tuple[int, list[Span]]] = []
    for number, spans in enumerate(messages):
        by_trace: dict[bytes, list[Span]] = {}
        for span in spans:
            by_trace.setdefault(span.trace_id, []).append(span)
        found += [(number, part) for part in by_trace.values()]
    return found


def lasted(spans: Sequence[Span]) -> bool:
    """Whether the envelope was over 5 and up to 8 ms after some span."""
    seen = [spans[: count + 1] for count in range(len(spans))]
    return any(5 < (max(s.end for s in p) - min(s.start for s in p)) // MS <= 8 for p in seen)


@settings(max_examples=150, deadline=None)
@given(MESSAGES)
def test_a_summary_is_what_a_loop_over_the_fragments_spans_finds(
    messages: list[list[Span]],
) -> None:
    policies = build_policies(parse(POLICIES).tail_sampling.policies)
    error, brief = 1, 2
    batch = Decoder(policies.facts.attributes).decode([message(*spans) for spans in messages])
    services = ServiceNames()
    found = list(summarise(batch, policies.facts, services))
    expected = parts(messages)
    assert len(found) == len(expected)
    for fragment, (number, spans) in zip(found, expected, strict=True):
        trace_id, at, start, end, count, facts, bits, root, raw, after, *_ = fragment
        roots = [span for span in spans if span.parent in (b"", bytes(8))]
        first = min(roots, key=lambda span: span.start, default=None)
        assert (trace_id, at, count) == (spans[0].trace_id, number, len(spans))
        assert start == min(span.start for span in spans)
        assert end == max(span.end for span in spans)
        assert services.sorted(bits) == sorted({span.service for span in spans} - {""})
        assert root == (None if first is None else (first.start, first.service, first.name))
        assert bool(facts & error) == any(span.status == ERROR for span in spans)
        assert after is not None
        assert bool(after(0, NO_START, NO_END) & brief) == lasted(spans)
        assert flat([raw]) == flat([message(span) for span in spans])


@given(st.data())
def test_some_fragments_of_a_batch_say_what_they_say_in_it(data: st.DataObject) -> None:
    messages = data.draw(MESSAGES)
    policies = build_policies(parse(POLICIES).tail_sampling.policies)
    batch = Decoder(policies.facts.attributes).decode([message(*spans) for spans in messages])
    services = ServiceNames()
    every = list(summarise(batch, policies.facts, services))
    places = data.draw(st.lists(st.sampled_from(range(len(every))), unique=True).map(sorted)
                       if every else st.just([]))  # fmt: skip
    some = list(summarise(selected(batch, places), policies.facts, services))
    assert [_told(each) for each in some] == [_told(every[place]) for place in places]


def _told(fragment: Fragment) -> tuple[Any, ...]:
    """All of *fragment*; of what depends on what was before, the answer where that is nothing."""
    after = fragment[9]
    return *fragment[:9], after and after(0, NO_START, NO_END), *fragment[10:]


def test_without_policies_about_order_there_is_nothing_more_to_ask() -> None:
    policies = build_policies(())
    batch = Decoder().decode([message(Span(TRACES[0]))])
    [fragment] = summarise(batch, policies.facts, ServiceNames())
    assert fragment[9:11] == (None, None)


def test_a_batch_without_spans_has_no_fragments() -> None:
    policies = build_policies(())
    assert list(summarise(Decoder().decode([b"", None]), policies.facts, ServiceNames())) == []
