"""Whose each span of a batch is, by its record's header and its resource."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.config.tenancy import TenancyConfig
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.tenants import SpanTenants, is_tenant, said_by_resource
from tailrace.streams.span_codec import SpanCodec
from tests.otlp import Span, message
from tests.streams.deaths import Row

KEY, HEADER = "tenant.id", "x-tenant"
A, B = b"A" * 16, b"B" * 16
BY_RESOURCE = TenancyConfig(resource_attribute=KEY)
BY_HEADER = TenancyConfig(header=HEADER)
BY_BOTH = TenancyConfig(resource_attribute=KEY, header=HEADER)


def of(tenant: str | None, trace_id: bytes = A, name: str = "GET /") -> Span:
    resource = {} if tenant is None else {KEY: tenant}
    return Span(trace_id, name=name, resource=resource)


def row(*spans: Span, header: bytes | None = None, others: Sequence[tuple[str, Any]] = ()) -> Row:
    headers = [*others, *([] if header is None else [(HEADER, header)])]
    return Row(0, 0, None, message(*spans), tuple(headers))


def codec(config: TenancyConfig, **decoder: Any) -> SpanCodec:
    return SpanCodec(Decoder(**decoder), is_keyed=False, tenants=SpanTenants(config))


def told(batch: SpanBatch) -> list[str]:
    """The tenant of each span in turn."""
    ids = batch.tenant.tolist() or [batch.strings.intern("default")] * len(batch)
    return [batch.strings[each] for each in ids]


@pytest.mark.parametrize(
    ("config", "records", "expected"),
    [
        pytest.param(
            BY_RESOURCE,
            [row(of("a"), of("b")), row(of(None)), row(of("b"))],
            ["a", "b", "default", "b"],
            id="each resource says its own",
        ),
        pytest.param(
            BY_HEADER,
            [row(of("x"), of("y"), header=b"a"), row(of("z")), row(of(None), header=b"b")],
            ["a", "a", "default", "b"],
            id="a header is of all that is in the record, and resources say nothing",
        ),
        pytest.param(
            BY_BOTH,
            [row(of("x"), of(None), header=b"a"), row(of("b"), of(None))],
            ["a", "a", "b", "default"],
            id="the header comes first, the resource where there is none",
        ),
        pytest.param(
            BY_HEADER,
            [row(of(None), header=b"last", others=[("other", b"x"), (HEADER, b"first")])],
            ["last"],
            id="of two headers the last counts",
        ),
        pytest.param(
            BY_HEADER,
            [
                Row(0, 0, None, message(of(None)), ((HEADER, b"a"), ("other", b"x"))),
                row(of(None), others=[("other", b"x")]),
            ],
            ["a", "default"],
            id="a header counts wherever it stands",
        ),
        pytest.param(
            BY_RESOURCE,
            [row(of("a", A), of("b", B), of("c", A))],
            ["a", "c", "b"],
            id="tenants follow their spans where traces are mixed",
        ),
        pytest.param(
            BY_HEADER,
            [row(of(None, A), of(None, B), header=b"a"), row(of(None, B), header=b"b")],
            ["a", "a", "b"],
            id="every trace of a record is of its header",
        ),
    ],
)
def test_a_span_is_of_whom_it_says(
    config: TenancyConfig, records: Sequence[Row], expected: list[str]
) -> None:
    assert told(codec(config).decode(records)[0]) == expected


@pytest.mark.parametrize(
    ("records", "refused"),
    [
        pytest.param([row(of(""), of("a"))], 1, id="an empty text"),
        pytest.param([row(of(" a"), of(" a"))], 2, id="a space at an end"),
        pytest.param([row(of("a\nb"))], 1, id="a line break"),
        pytest.param([row(of("a" * 201))], 1, id="201 characters"),
        pytest.param([row(of("x"), of("y"), header=b"")], 2, id="an empty header"),
        pytest.param([row(of("x"), header=b"\xff")], 1, id="a header that is no text"),
        pytest.param([row(of("x"), others=[(HEADER, None)])], 1, id="a header without a value"),
        pytest.param([row(of(None)), row(of("default"))], 0, id="nothing, or the default itself"),
    ],
)
def test_what_can_be_no_tenant_counts_as_default_and_is_counted(
    records: Sequence[Row], refused: int
) -> None:
    spans = codec(BY_BOTH)
    for times in (1, 2):
        batch, _ = spans.decode(records)
        assert {name for name in told(batch) if name != "a"} <= {"default"}
        assert spans.tenants is not None
        assert spans.tenants.refused == times * refused


def test_an_attribute_that_is_no_text_goes_by_its_text() -> None:
    assert said_by_resource(KEY, {KEY: 42}) == "42"
    assert said_by_resource(KEY, {KEY: True}) == "true"


def test_a_tenant_has_up_to_200_characters() -> None:
    assert is_tenant("a" * 200)
    assert not is_tenant("a" * 201)


def test_where_all_are_of_default_no_column_is_made() -> None:
    for config in (BY_RESOURCE, BY_HEADER, BY_BOTH):
        batch, _ = codec(config).decode([row(of(None)), row(of(None), header=b"default")])
        assert len(batch.tenant) == 0
    assert len(codec(BY_BOTH).decode([])[0].tenant) == 0


TENANTS = st.sampled_from([None, "", "a", "b", "default", "\x00"])
RECORDS = st.lists(
    st.builds(
        lambda names, header: row(
            *(of(name, trace) for name, trace in names),
            header=None if header is None else header.encode(),
        ),
        st.lists(st.tuples(TENANTS, st.sampled_from([A, B])), max_size=4),
        TENANTS,
    ),
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(RECORDS, st.sampled_from([BY_RESOURCE, BY_HEADER, BY_BOTH]), st.sampled_from([1, 1 << 20]))
def test_a_tenant_depends_on_its_record_alone(
    records: list[Row], config: TenancyConfig, interned: int
) -> None:
    """Neither on what came before, nor on how often interned ids start afresh."""
    one, each = codec(config), codec(config, interned_limit_bytes=interned)
    together = told(one.decode(records)[0])
    assert together == [name for record in records for name in told(each.decode([record])[0])]
    assert one.tenants is not None
    assert each.tenants is not None
    assert one.tenants.refused == each.tenants.refused
