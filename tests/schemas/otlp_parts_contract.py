"""What every decoder must do with instrumentation scopes, events and links."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailrace.schemas.otlp.json import read_json
from tailrace.schemas.otlp.wire import field
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.strings import ABSENT
from tests.schemas.otlp_messages import request_of, span_of, with_attribute
from tests.schemas.otlp_requests import SPAN_BYTES, TRACE_A, TRACE_B

EXCEPTION = AttributeColumn("event", "exception.type")
ROUTE = AttributeColumn("event", "http.route")
COLUMNS = [EXCEPTION, ROUTE, AttributeColumn("span", "http.route")]
PATTERNS = [
    AttributeColumn("span", "*.*", is_pattern=True),
    AttributeColumn("span", "http.*", is_pattern=True),
    AttributeColumn("event", "*.*", is_pattern=True),
]
CONSUMER = Span.SPAN_KIND_CONSUMER

_pairs = st.lists(
    st.builds(
        lambda key, value: {"key": key, "value": {"string_value": value}},
        st.sampled_from(["exception.type", "http.route", "other"]),
        st.sampled_from(["a", "b"]),
    ),
    max_size=3,
)
_events = st.lists(
    st.builds(lambda name, pairs: {"name": name, "attributes": pairs}, st.text(max_size=3), _pairs),
    max_size=3,
)
_links = st.lists(
    st.builds(
        lambda trace_id, span_id: {"trace_id": trace_id, "span_id": span_id},
        st.sampled_from([TRACE_A, TRACE_B, bytes(16), b"bad", b""]),
        st.sampled_from([SPAN_BYTES, b"\x07" * 8, bytes(8), b""]),
    ),
    max_size=3,
)
_spans = st.builds(
    span_of,
    st.sampled_from([TRACE_A, TRACE_A, TRACE_B, b"bad"]),
    kind=st.sampled_from([Span.SPAN_KIND_SERVER, CONSUMER, CONSUMER]),
    events=_events,
    links=_links,
    attributes=_pairs,
)
_scopes = st.tuples(
    st.sampled_from([None, ("", ""), ("io.lib", ""), ("io.lib", "1.2"), ("other", "1")]),
    st.lists(_spans, max_size=3),
)
_messages = st.lists(st.lists(_scopes, max_size=3), max_size=3)


def scoped_request(scopes: list[Any]) -> bytes:
    """A request with those scopes, each with its spans; None is one that is not set."""
    request = ExportTraceServiceRequest()
    block = request.resource_spans.add()
    block.resource.attributes.add(key="service.name").value.string_value = "shop"
    for scope, spans in scopes:
        target = block.scope_spans.add(spans=spans)
        if scope is not None:
            target.scope.name, target.scope.version = scope
    encoded: bytes = request.SerializeToString()
    return encoded


class PartsContract:
    """A part of `DecoderContract`."""

    decoder: Callable[..., Any]

    @given(_messages, st.booleans())
    def test_scopes_events_and_links_are_those_of_the_span(
        self, messages: list[list[Any]], is_traced: bool
    ) -> None:
        values = [scoped_request(scopes) for scopes in messages]
        batch = decoded(
            self, values, attributes=COLUMNS, scopes=True, events=True, links=True,
            trace_state=is_traced,
        )  # fmt: skip
        assert readings(batch) == expected_readings(batch.raw)
        plain = decoded(self, values)
        assert batch.raw == plain.raw
        assert (len(plain.scope_name), plain.events, plain.links) == (0, None, None)

    @given(_messages, st.booleans())
    def test_a_pattern_has_all_attributes_that_match(
        self, messages: list[list[Any]], has_more: bool
    ) -> None:
        values = [scoped_request(scopes) for scopes in messages]
        batch = decoded(self, values, attributes=[*PATTERNS, *COLUMNS * has_more], events=True)
        spans = official_spans(batch.raw)
        for pattern, holds in zip(PATTERNS[:2], (_is_dotted, _is_http), strict=True):
            assert matching(batch, batch.attributes[pattern]) == [
                _all(span, holds) for span in spans
            ]
        assert batch.events is not None
        assert matching(batch, batch.events.attributes[PATTERNS[2]]) == [
            _all(event, _is_dotted) for span in spans for event in span.events
        ]

    @pytest.mark.parametrize(
        ("attribute", "is_refused"),
        [
            pytest.param(b"\xff", True, id="what is not protobuf"),
            pytest.param(
                field(1, b"http.x") + field(2, field(1, b"\xff")), True, id="one that matches"
            ),
            pytest.param(field(1, b"http.\xff") + field(2, b""), True, id="a key that is no text"),
            pytest.param(
                field(1, b"rpc") + field(2, field(1, b"\xff")), False, id="one that matches none"
            ),
        ],
    )
    @pytest.mark.parametrize("is_of_event", [False, True], ids=["of a span", "of an event"])
    def test_a_malformed_attribute_refuses_its_span_if_it_may_match(
        self, attribute: bytes, is_refused: bool, is_of_event: bool
    ) -> None:
        place = field(11, field(3, attribute)) if is_of_event else field(9, attribute)
        value = field(1, field(2, field(2, span_of().SerializeToString() + place)))
        good = request_of(span_of(TRACE_B))
        batch = decoded(self, [good, value], attributes=PATTERNS[1:], events=True)
        refused = [(each.message, each.reason) for each in batch.rejected]
        assert refused == [(1, "malformed")] * is_refused
        ids = batch.attributes[PATTERNS[1]]
        assert matching(batch, ids) == [{}] * (2 - is_refused)

    def test_a_key_that_comes_after_the_value_may_match_a_pattern(self) -> None:
        attribute = field(1, b"other") + field(2, field(1, b"v")) + field(1, b"http.z")
        batch = decoded(self, [with_attribute(attribute)], attributes=PATTERNS[:2])
        assert matching(batch, batch.attributes[PATTERNS[1]]) == [{"http.z": "v"}]

    @pytest.mark.parametrize("limit", [0, 1 << 20], ids=["interned afresh", "interned once"])
    def test_patterns_are_read_batch_after_batch(self, limit: int) -> None:
        decoder = type(self).decoder(PATTERNS[:2], interned_limit_bytes=limit)
        for turn in range(4):
            pairs = [
                ("http.a", str(turn % 2)),
                ("rpc.b", "x"),
                ("other", str(turn)),
                ("http.a", ""),
            ]
            attributes = [{"key": key, "value": {"string_value": text}} for key, text in pairs]
            batch = decoder.decode([request_of(span_of(attributes=attributes), span_of(TRACE_B))])
            http = {"http.a": str(turn % 2)}
            found = [matching(batch, batch.attributes[pattern]) for pattern in PATTERNS[:2]]
            assert found == [[http | {"rpc.b": "x"}, {}], [http, {}]], turn

    def test_they_come_as_well_from_otlp_json(self) -> None:
        event = '{"name":"exception","attributes":[{"key":"http.route","value":{"intValue":1}}]}'
        link = f'{{"traceId":"{TRACE_B.hex()}","spanId":"{SPAN_BYTES.hex()}"}}'
        ids = f'"traceId":"{TRACE_A.hex()}","spanId":"{SPAN_BYTES.hex()}"'
        span = f'{{{ids},"kind":5,"events":[{event}],"links":[{link}]}}'
        scope = '{"name":"io.lib","version":"2"}'
        value = f'{{"resourceSpans":[{{"scopeSpans":[{{"scope":{scope},"spans":[{span}]}}]}}]}}'
        batch = decoded(
            self, [read_json(value.encode())], attributes=COLUMNS,
            scopes=True, events=True, links=True,
        )  # fmt: skip
        assert readings(batch) == [
            (("io.lib", "2"), [("exception", [ABSENT, 1])], [(TRACE_B, SPAN_BYTES)])
        ]

    def test_they_are_read_across_chunks(self) -> None:
        values = [
            scoped_request([(("lib", str(index)), [
                span_of(
                    kind=CONSUMER,
                    name="n" * 5_000,
                    events=[{"name": f"e{index}"}] * (index % 3),
                    links=[{"trace_id": TRACE_B, "span_id": SPAN_BYTES}] * (index % 2),
                )
            ])])
            for index in range(200)
        ]  # fmt: skip
        batch = decoded(self, values, scopes=True, events=True, links=True)
        assert [
            (scope[1], [name for name, _ in events], len(links))
            for scope, events, links in readings(batch)
        ] == [(str(index), [f"e{index}"] * (index % 3), index % 2) for index in range(200)]

    def test_they_are_read_from_when_they_are_asked_for(self) -> None:
        decoder = type(self).decoder()
        value = scoped_request([(("lib", ""), [span_of(events=[{"name": "e"}])])])
        assert decoder.decode([value]).events is None
        decoder.widen([], events=True)
        first = decoder.decode([value])
        assert (first.events.row.tolist(), len(first.scope_name)) == ([0], 0)
        decoder.widen([ROUTE], scopes=True, links=True)
        second = decoder.decode([value])
        assert readings(second) == [(("lib", ""), [("e", [ABSENT])], [])]
        decoder.widen([ROUTE], scopes=True)
        assert decoder.decode([value]).strings is second.strings

    @pytest.mark.parametrize(
        ("number", "encoded"),
        [
            pytest.param(11, field(3, b"\xff"), id="an event with a broken attribute"),
            pytest.param(13, b"\xff", id="a link that is not protobuf"),
        ],
    )
    def test_only_the_span_with_it_is_refused(self, number: int, encoded: bytes) -> None:
        broken = span_of(kind=CONSUMER).SerializeToString() + field(number, encoded)
        good = span_of(TRACE_B, kind=CONSUMER, events=[{"name": "e"}]).SerializeToString()
        alone = field(1, field(2, field(2, good)))
        value = field(1, field(2, field(2, broken)))
        batch = decoded(
            self, [alone, value, alone], attributes=[ROUTE], events=True, links=True, scopes=True
        )
        assert [(each.message, each.reason) for each in batch.rejected] == [(1, "malformed")]
        assert batch.fragment_message.tolist() == [0, 2]
        assert readings(batch) == [(("", ""), [("e", [ABSENT])], [])] * 2
        passed_on = decoded(self, [alone, value, alone])
        assert passed_on.raw == [alone, value, alone]

    def test_spans_of_another_kind_keep_broken_links(self) -> None:
        value = field(1, field(2, field(2, span_of().SerializeToString() + field(13, b"\xff"))))
        batch = decoded(self, [value], links=True, scopes=True)
        assert readings(batch) == [(("", ""), [], [])]
        assert batch.rejected == []

    def test_a_refused_message_leaves_nothing_of_its_scopes(self) -> None:
        good = scoped_request([(("lib", "1"), [span_of(TRACE_B)])])
        bad = scoped_request([(("other", "2"), [span_of()])])
        bad += field(1, field(1, b"\xff") + field(2, field(2, span_of().SerializeToString())))
        batch = decoded(self, [good, bad, good], scopes=True)
        assert [(each.message, each.reason) for each in batch.rejected] == [(1, "malformed")]
        assert readings(batch) == [(("lib", "1"), [], [])] * 2

    def test_a_scope_that_is_not_utf8_is_malformed_only_where_it_is_read(self) -> None:
        good = request_of(span_of(TRACE_B))
        block = field(1, field(1, b"\xff")) + field(2, span_of().SerializeToString())
        value = field(1, field(2, block))
        read = decoded(self, [good, value, good], scopes=True)
        assert [(each.message, each.reason) for each in read.rejected] == [(1, "malformed")]
        assert readings(read) == [(("", ""), [], [])] * 2
        assert decoded(self, [good, value, good]).raw == [good, value, good]


def decoded(contract: PartsContract, values: list[bytes], **options: Any) -> SpanBatch:
    batch: SpanBatch = type(contract).decoder(**options).decode(values)
    return batch


def readings(batch: SpanBatch) -> list[Any]:
    """For each span its scope, its events with what was asked of them, and its links."""
    found: list[Any] = []
    for name, version in zip(batch.scope_name.tolist(), batch.scope_version.tolist(), strict=True):
        found.append(((batch.strings[name], batch.strings[version]), [], []))
    assert len(found) == len(batch)
    if batch.events is not None:
        for index, row in enumerate(batch.events.row.tolist()):
            ids = [int(column[index]) for column in batch.events.attributes.values()]
            values = [ABSENT if each == ABSENT else batch.values[each] for each in ids]
            found[row][1].append((batch.strings[int(batch.events.name[index])], values))
    if batch.links is not None:
        links = zip(
            batch.links.row.tolist(), batch.links.trace_id, batch.links.span_id, strict=True
        )
        for row, trace_id, span_id in links:
            found[row][2].append((trace_id, span_id))
    return found


def expected_readings(raw: list[bytes]) -> list[Any]:
    """As the official classes read the spans of *raw*."""
    return [
        (
            (scope.scope.name, scope.scope.version),
            [(event.name, [_first(event, column.key) for column in COLUMNS[:2]])
             for event in span.events],
            [(link.trace_id, link.span_id) for link in span.links if _is_valid(link)]
            if span.kind == CONSUMER
            else [],
        )
        for value in raw
        for block in ExportTraceServiceRequest.FromString(value).resource_spans
        for scope in block.scope_spans
        for span in scope.spans
    ]  # fmt: skip


def official_spans(raw: list[bytes]) -> list[Any]:
    """The spans of *raw* as the official classes read them."""
    return [
        span
        for value in raw
        for block in ExportTraceServiceRequest.FromString(value).resource_spans
        for scope in block.scope_spans
        for span in scope.spans
    ]


def matching(batch: SpanBatch, ids: Any) -> list[Any]:
    """What a pattern has found, {} for nothing."""
    return [{} if each == ABSENT else batch.values[each] for each in ids.tolist()]


def _all(holder: Any, holds: Callable[[str], bool]) -> dict[str, str]:
    pairs = reversed(holder.attributes)
    return {pair.key: pair.value.string_value for pair in pairs if holds(pair.key)}


def _is_dotted(key: str) -> bool:
    return key.count(".") == 1


def _is_http(key: str) -> bool:
    return key.startswith("http.")


def _first(event: Any, key: str) -> Any:
    for pair in event.attributes:
        if pair.key == key:
            return pair.value.string_value
    return ABSENT


def _is_valid(link: Any) -> bool:
    lengths = len(link.trace_id), len(link.span_id)
    return lengths == (16, 8) and any(link.trace_id) and any(link.span_id)
