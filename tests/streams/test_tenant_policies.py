"""Policies of tenants, through the task that the worker runs, against a naive sampler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.config import document
from tailrace.schemas.definitions import Definition, Definitions
from tests.otlp import ERROR
from tests.streams.naive_sampler import ALL, Limits, NaiveSampler, listed
from tests.streams.sampling_lives import EVENTS, Story, lived, once, policies
from tests.streams.span_traffic import END_MS, LIMITS, Sent, rows, traffic
from tests.streams.test_sampling_inputs import ALL as EVERY
from tests.streams.test_sampling_inputs import WAIT, came, changed, rate, said
from tests.streams.test_sampling_inputs import rows as records_of
from tests.streams.test_sampling_laws import decisions

HEADER = "x-scope-orgid"
BY_HEADER = {"header": HEADER}
TENANTS = ("default", "acme", "umbrella", "nobody")
Told = Mapping[int, Mapping[str, tuple[str, ...]]]
"""By the number of a record: by tenant, its policies from there on; none: it has none."""

_NAMES = st.lists(st.sampled_from(ALL), max_size=3, unique=True).map(tuple)
_TOLD = st.dictionaries(
    st.integers(0, 9),
    st.dictionaries(st.sampled_from(TENANTS[:3]), _NAMES, min_size=1, max_size=2),
    max_size=4,
)
_OWNERS = st.lists(st.sampled_from(TENANTS), min_size=12, max_size=12)


def expected(limits: Limits, records: list[Sent], owners: list[str], told: Told) -> NaiveSampler:
    model = NaiveSampler(limits)
    for number, (row, record) in enumerate(zip(rows(records), records, strict=True)):
        for tenant, names in told.get(number, {}).items():
            if tenant == "default":
                model.policies, model.version = names or ALL, str(number + 1) if names else "0"
            elif names:
                model.own[tenant] = names, str(number + 1)
            else:
                model.own.pop(tenant, None)
        model.record(row.timestamp, record.spans, owners[number])
    model.decide_before(END_MS)
    return model


def in_force(told: Told) -> dict[int, Definitions]:
    """The definitions that stand from those records on."""
    found: dict[int, Definitions] = {}
    standing: dict[str, Definition[Any]] = {}
    for number, news in sorted(told.items()):
        for tenant, names in news.items():
            standing.pop(tenant, None)
            if names:
                spec = {"policies": document.read(listed(names), "policies")}
                standing[tenant] = policies(number + 1, spec, tenant=tenant)
        found[number] = Definitions.of_all(standing.values(), number + 1)
    return found


@settings(max_examples=150, deadline=None)
@given(LIMITS, traffic(least_records=4), _OWNERS, _TOLD, EVENTS)
def test_each_tenant_is_judged_by_its_own_policies_from_when_they_stand(
    limits: Limits, records: list[Sent], owners: list[str], told: Told, events: list[str]
) -> None:
    written = [
        replace(row, headers=((HEADER, owner.encode()),))
        for row, owner in zip(rows(records), owners, strict=False)
    ]
    told = {number: news for number, news in told.items() if number < len(records)}
    section = document.read(limits.yaml(), "limits")["tail_sampling"]
    sent = lived(Story(section, written, told=in_force(told), tenancy=BY_HEADER), events)
    assert decisions(sent) == expected(limits, records, owners, told).decisions


def test_the_tenant_of_a_trace_is_that_of_its_first_span_also_after_a_restart() -> None:
    own = Definitions.of_all([policies(1, {"policies": [EVERY]}, tenant="acme")], 1)
    records = records_of(came(0, 1), came(10, 1), came(20, 2), came(3000, 3), came(3100, 1))
    whose = ("acme", "umbrella", "umbrella", "umbrella", "umbrella")
    headed = [
        replace(row, headers=((HEADER, tenant.encode()),))
        for row, tenant in zip(records, whose, strict=True)
    ]
    none = {"policies": [{**EVERY, "type": "span_count", "span_count": {"min_spans": 9}}], **WAIT}
    story = Story(none, headed, told={0: own}, tenancy=BY_HEADER)
    decided = said(once(story), "trace_id", "tenant", "decision", "policy_version", "late")
    one, two, three = (trace_id(number) for number in (1, 2, 3))
    assert decided == [
        (one, "acme", "sampled", "1", False),
        (two, "umbrella", "not_sampled", "0", False),
        (one, "acme", "sampled", "1", True),
        (three, "umbrella", "not_sampled", "0", False),
    ]
    for event in ("checkpoint", "lost write", "new disk"):
        for number in range(5):
            assert lived(story, [*[""] * number, event]) == once(story)


def trace_id(number: int) -> str:
    [(_, [span])] = [came(0, number)]
    return span.trace_id.hex()


def test_a_tenant_spends_its_own_budget_and_no_other() -> None:
    limited = [rate(1, 2)]
    own = [policies(1, {"policies": limited}, tenant=name) for name in ("acme", "umbrella")]
    records = records_of(*(came(number, number) for number in range(12)))
    whose = ["acme", "umbrella", "default", "nobody"] * 3
    headed = [
        replace(row, headers=((HEADER, tenant.encode()),))
        for row, tenant in zip(records, whose, strict=True)
    ]
    section = {"policies": limited, **WAIT}
    story = Story(section, headed, told={0: Definitions.of_all(own, 1)}, tenancy=BY_HEADER)
    kept = [who for who, what in said(once(story), "tenant", "decision") if what == "sampled"]
    assert kept == ["acme", "umbrella", "default", "nobody", "acme", "umbrella"]
    for number in range(12):
        assert lived(story, [*[""] * number, "lost write"]) == once(story)


def test_without_tenancy_policies_of_a_tenant_stand_for_nobody() -> None:
    own = Definitions.of_all([policies(1, {"policies": [EVERY]}, tenant="acme")], 1)
    story = Story({"policies": [rate(1, 1)], **WAIT}, records_of(came(0, 1)), told={0: own})
    assert said(once(story), "tenant", "policy_version") == [("default", "0")]


def test_a_tenant_can_be_that_of_a_resource() -> None:
    own = changed(1, {"policies": [EVERY]})
    at, spans = came(0, 1, status=ERROR)
    ours = (at, [span.but(resource={"team": "acme"}) for span in spans])
    records = records_of(ours, came(1, 2))
    section = {"policies": [rate(1, 1)], **WAIT}
    story = Story(section, records, told={0: own}, tenancy={"resource_attribute": "team"})
    found = said(once(story), "tenant", "policy", "policy_version")
    assert found == [("acme", "all", "1"), ("default", "all", "1")]


def test_what_a_tenant_has_no_budget_for_says_so_and_is_counted_alike_after_restarts() -> None:
    records = records_of(*(came(10 * number, number) for number in range(9)))
    whose = ["noisy"] * 7 + ["quiet"] * 2
    headed = [
        replace(row, headers=((HEADER, tenant.encode()),))
        for row, tenant in zip(records, whose, strict=True)
    ]
    section = {"policies": [EVERY], "tenant_budgets": {"spans_per_second": 2}, **WAIT}
    story = Story(section, headed, tenancy=BY_HEADER)
    found = said(once(story), "tenant", "decision", "policy", "reason")
    assert found == [
        *[("noisy", "sampled", "all", "wait")] * 4,
        *[("noisy", "not_sampled", "tenant_budget", "wait")] * 3,
        *[("quiet", "not_sampled", "tenant_budget", "wait")] * 2,
    ]
    for number in range(9):
        assert lived(story, [*[""] * number, "lost write"]) == once(story)


def test_what_is_forced_is_kept_beside_the_budget_of_all_tenants() -> None:
    forced = came(0, 1, spans=5, attributes={"keep": "1"})
    section = {
        "policies": [EVERY],
        "tenant_budgets": {"spans_per_second": 1},
        "force_keep": ["keep"],
        **WAIT,
    }
    story = Story(section, records_of(forced, came(1, 2), came(2, 3, spans=5)))
    found = said(once(story), "decision", "policy", "probability")
    assert found == [
        ("sampled", "all", 1.0),
        ("sampled", "all", 1.0),
        ("not_sampled", "tenant_budget", None),
    ]
