"""The check: silent about what is right, and it finds each kind of planted fault."""

from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace_loadtest.check import Fault, check
from tailrace_loadtest.counting import truth_of
from tailrace_loadtest.load import Load
from tailrace_loadtest.report import Report, Written
from tailrace_loadtest.truth import TraceTruth, Truth
from tests.loadtest import perfect

LOAD = Load(seed=3, spans=4_000, late_share=0.2)
SLACK_MS = 400


class Outputs:
    """What a sampler wrote, to be spoilt; each is found by its trace."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.sampled = perfect.sampled(truth)
        self.decisions = perfect.decisions(truth)

    def check(self) -> Report:
        return check(self.truth, self.sampled, self.decisions, decided_at_slack_ms=SLACK_MS)

    def change(self, name: str, value: Any, *, late: bool = False) -> None:
        """Set a field of the first decision on a kept trace with late spans."""
        at = self.decision_at(late=late)
        decision = {**orjson.loads(self.decisions[at].value or b""), name: value}
        self.decisions[at] = self.decisions[at]._replace(value=orjson.dumps(decision))

    def decision_at(self, *, late: bool = False) -> int:
        key = self.trace(policy="slow").trace_id.encode()
        found = [i for i, each in enumerate(self.decisions) if each.key == key]
        return found[late]

    def trace(self, policy: str | None) -> TraceTruth:
        return next(
            each
            for each in self.truth.traces.values()
            if each.expected.policy == policy and each.late_spans
        )

    def late_record_of_dropped(self) -> Written:
        trace = self.trace(policy=None)
        whole = Truth(self.truth.load, self.truth.sampling)
        rows = [each for each in perfect.records(whole.load) if each.key == trace.trace_id.encode()]
        return Written(rows[-1].key, rows[-1].value)

    def move_decision_back(self) -> None:
        """Let the late record of a trace stand before its decision."""
        self.decisions.append(self.decisions.pop(self.decision_at()))

    def change_span(self, change: Callable[[Any], None]) -> None:
        """Apply *change* to the first block of the first record's message."""
        self.change_message(0, lambda message: change(message.resource_spans[0]))

    def change_states(self, policy: str, *states: str) -> None:
        """Set the tracestates of the spans of a trace that *policy* kept, to these in turn."""

        def change(message: Any) -> None:
            blocks = [scope for block in message.resource_spans for scope in block.scope_spans]
            spans = [span for scope in blocks for span in scope.spans]
            for span, state in zip(spans, cycle(states), strict=False):
                span.trace_state = state

        traces = [self.truth.traces[(each.key or b"").decode()] for each in self.sampled]
        at = next(
            at
            for at, trace in enumerate(traces)
            if trace.expected.policy == policy and not trace.late_spans and trace.spans > 1
        )
        self.change_message(at, change)

    def change_message(self, at: int, change: Callable[[Any], None]) -> None:
        message = ExportTraceServiceRequest.FromString(self.sampled[at].value or b"")
        change(message)
        value = message.SerializeToString(deterministic=True)
        self.sampled[at] = self.sampled[at]._replace(value=value)

    def change_header(self, name: str, value: bytes | None) -> None:
        """Set a header of the first record, or remove it."""
        headers = dict(self.sampled[0].headers)
        headers.pop(name)
        if value is not None:
            headers[name] = value
        self.sampled[0] = self.sampled[0]._replace(headers=list(headers.items()))


def _rename(block: Any) -> None:
    block.scope_spans[0].spans[0].name += "!"


def _strip_resource(block: Any) -> None:
    del block.resource.attributes[-1]


def _strip_schema(block: Any) -> None:
    block.schema_url = ""


def _strip_scope(block: Any) -> None:
    block.scope_spans[0].ClearField("scope")


def _remove_span(block: Any) -> None:
    del block.scope_spans[0].spans[0]


def _repeat_span(block: Any) -> None:
    block.scope_spans[0].spans.append(block.scope_spans[0].spans[0])


def _attribute(name: str, value: str | float | None) -> Callable[[Any], None]:
    """Sets an attribute of the first span, or removes it."""

    def change(block: Any) -> None:
        attributes = block.scope_spans[0].spans[0].attributes
        (at,) = (i for i, each in enumerate(attributes) if each.key == name)
        if value is None:
            del attributes[at]
        elif isinstance(value, str):
            attributes[at].value.string_value = value
        else:
            attributes[at].value.double_value = value

    return change


def _repeat_attribute(block: Any) -> None:
    attributes = block.scope_spans[0].spans[0].attributes
    attributes.append(next(each for each in attributes if each.key == "tailrace.policy"))


def _strip_stamp(block: Any) -> None:
    span = block.scope_spans[0].spans[0]
    own = [each for each in span.attributes if not each.key.startswith("tailrace.")]
    del span.attributes[:]
    span.attributes.extend(own)


def _change_span_id(block: Any) -> None:
    block.scope_spans[0].spans[0].span_id = b"\x01" * 8


def _change_trace_id(block: Any) -> None:
    block.scope_spans[0].spans[0].trace_id = b"\x01" * 16


FAULTS: list[tuple[str, Callable[[Outputs], Any], set[Fault]]] = [
    ("a decision is missing", lambda o: o.decisions.pop(o.decision_at()), {Fault.MISSING_DECISION}),
    (
        "a decision is written twice",
        lambda o: o.decisions.append(o.decisions[o.decision_at()]),
        {Fault.SECOND_DECISION},
    ),
    (
        "a trace that was never sent is decided",
        lambda o: o.decisions.append(
            Written(
                b"0" * 32,
                orjson.dumps({"trace_id": "0" * 32, "late": False, "spans": 1, "duration_ms": 1.0}),
            )
        ),
        {Fault.FOREIGN_DECISION},
    ),
    ("a policy is wrong", lambda o: o.change("policy", "rest"), {Fault.WRONG_DECISION}),
    ("a decision is wrong", lambda o: o.change("decision", "dropped"), {Fault.WRONG_DECISION}),
    ("a probability is wrong", lambda o: o.change("probability", 0.1), {Fault.WRONG_DECISION}),
    ("a tenant is wrong", lambda o: o.change("tenant", "other"), {Fault.WRONG_DECISION}),
    ("a span count is wrong", lambda o: o.change("spans", 99), {Fault.WRONG_DECISION}),
    ("services are wrong", lambda o: o.change("services", ["cart"]), {Fault.WRONG_DECISION}),
    ("a root is wrong", lambda o: o.change("root", {"service": "x"}), {Fault.WRONG_DECISION}),
    (
        "a start is wrong",
        lambda o: o.change("start", "2026-01-01T00:00:00.000000000Z"),
        {Fault.WRONG_DECISION},
    ),
    ("a duration is wrong", lambda o: o.change("duration_ms", 1000.5), {Fault.WRONG_DECISION}),
    (
        "a decision is due at the wrong time",
        lambda o: o.change("decided_at", "2026-01-01T00:00:00.000000000Z"),
        {Fault.EARLY_OR_LATE_DECISION},
    ),
    (
        "a decision has the key of another trace",
        lambda o: o.decisions.__setitem__(
            o.decision_at(), o.decisions[o.decision_at()]._replace(key=b"0" * 32)
        ),
        {Fault.WRONG_KEY},
    ),
    (
        "a decision is no JSON",
        lambda o: o.decisions.append(Written(b"0" * 32, b"{")),
        {Fault.UNREADABLE},
    ),
    (
        "late spans are not counted",
        lambda o: o.decisions.pop(o.decision_at(late=True)),
        {Fault.WRONG_LATE_SPANS},
    ),
    (
        "late spans are counted twice",
        lambda o: o.decisions.append(o.decisions[o.decision_at(late=True)]),
        {Fault.WRONG_LATE_SPANS},
    ),
    (
        "late spans follow another decision",
        lambda o: o.change("decision", "not_sampled", late=True),
        {Fault.WRONG_LATE_DECISION},
    ),
    (
        "late spans follow a decision of another time",
        lambda o: o.change("reason", "root", late=True),
        {Fault.WRONG_LATE_DECISION},
    ),
    (
        "late spans follow other policies",
        lambda o: o.change("policy_version", "1", late=True),
        {Fault.WRONG_LATE_DECISION},
    ),
    (
        "late spans have another probability",
        lambda o: o.change("probability", 0.5, late=True),
        {Fault.WRONG_LATE_DECISION},
    ),
    (
        "late spans come before the decision",
        lambda o: o.move_decision_back(),
        {Fault.LATE_BEFORE_DECISION},
    ),
    ("a reason is wrong", lambda o: o.change("reason", "memory"), {Fault.WRONG_DECISION}),
    ("a version is wrong", lambda o: o.change("policy_version", "7"), {Fault.WRONG_DECISION}),
    ("a root is missed", lambda o: o.change("missing_root", True), {Fault.WRONG_DECISION}),
    ("a kept record is missing", lambda o: o.sampled.pop(0), {Fault.MISSING_SPAN}),
    ("a late record of a kept trace is missing", lambda o: o.sampled.pop(), {Fault.MISSING_SPAN}),
    ("a span is missing", lambda o: o.change_span(_remove_span), {Fault.MISSING_SPAN}),
    (
        "a kept record is written twice",
        lambda o: o.sampled.append(o.sampled[0]),
        {Fault.DUPLICATED_SPAN},
    ),
    ("a span is repeated", lambda o: o.change_span(_repeat_span), {Fault.DUPLICATED_SPAN}),
    (
        "late spans of a dropped trace are kept",
        lambda o: o.sampled.append(o.late_record_of_dropped()),
        {Fault.DROPPED_TRACE},
    ),
    (
        "a span changes its trace",
        lambda o: o.change_span(_change_trace_id),
        {Fault.FOREIGN_TRACE, Fault.WRONG_KEY, Fault.MISSING_SPAN},
    ),
    (
        "a span changes its ID",
        lambda o: o.change_span(_change_span_id),
        {Fault.FOREIGN_SPAN, Fault.MISSING_SPAN},
    ),
    ("a span changes its name", lambda o: o.change_span(_rename), {Fault.CHANGED_SPAN}),
    (
        "a resource loses an attribute",
        lambda o: o.change_span(_strip_resource),
        {Fault.CHANGED_SPAN},
    ),
    ("a schema URL is lost", lambda o: o.change_span(_strip_schema), {Fault.CHANGED_SPAN}),
    ("a scope is lost", lambda o: o.change_span(_strip_scope), {Fault.CHANGED_SPAN}),
    (
        "a kept record has no headers",
        lambda o: o.sampled.__setitem__(0, o.sampled[0]._replace(headers=())),
        {Fault.WRONG_HEADER},
    ),
    *(
        (
            f"a kept record has the wrong {name}",
            partial(Outputs.change_header, name=name, value=value),
            {Fault.WRONG_HEADER},
        )
        for name, value in (
            ("tailrace.policy", b"other"),
            ("tailrace.probability", b"0.5"),
            ("tailrace.probability", None),
            ("tailrace.policy_version", b"1"),
        )
    ),
    *(
        (
            f"a kept span has {value} as {name}",
            partial(Outputs.change_span, change=_attribute(name, value)),
            {Fault.WRONG_STAMP},
        )
        for name, value in (
            ("tailrace.policy", "other"),
            ("tailrace.probability", 0.5),
            ("tailrace.probability", None),
            ("tailrace.policy_version", "1"),
        )
    ),
    ("a kept span has two stamps", lambda o: o.change_span(_repeat_attribute), {Fault.WRONG_STAMP}),
    (
        "a kept span has no stamp",
        lambda o: o.change_span(_strip_stamp),
        {Fault.WRONG_STAMP},
    ),
    (
        "a trace that was kept for certain has a threshold",
        lambda o: o.change_states("slow", perfect.REST),
        {Fault.WRONG_THRESHOLD},
    ),
    (
        "a trace that was drawn has no threshold",
        lambda o: o.change_states("rest", ""),
        {Fault.WRONG_THRESHOLD},
    ),
    (
        "a trace that was drawn has the threshold of another probability",
        lambda o: o.change_states("rest", "ot=rv:fffffffffffffe;th:e66666666666"),
        {Fault.WRONG_THRESHOLD},
    ),
    (
        "a trace that was drawn has a randomness below its threshold",
        lambda o: o.change_states("rest", "ot=rv:e6666666666665;th:e6666666666666"),
        {Fault.WRONG_RANDOMNESS},
    ),
    (
        "a span of a trace that was drawn has a randomness of its own",
        lambda o: o.change_states("rest", perfect.REST, perfect.REST.replace("e;", "d;")),
        {Fault.SECOND_RANDOMNESS},
    ),
    (
        "a kept record is cut off",
        lambda o: o.sampled.__setitem__(
            0, o.sampled[0]._replace(value=(o.sampled[0].value or b"")[:-1])
        ),
        {Fault.UNREADABLE, Fault.MISSING_SPAN},
    ),
    (
        "a kept record is empty",
        lambda o: o.sampled.append(o.sampled[0]._replace(value=b"")),
        {Fault.UNREADABLE},
    ),
]


@pytest.fixture(scope="module")
def truth() -> Truth:
    return truth_of(LOAD)


def test_what_is_right_has_no_fault(truth: Truth) -> None:
    report = Outputs(truth).check()
    assert report.is_right, str(report)
    assert report.decisions == truth.totals["traces"]
    assert report.late_decisions == truth.totals["late_records"] > 0
    assert report.sampled_spans == truth.totals["kept_spans"]


@pytest.mark.parametrize(
    ("plant", "expected"), [pytest.param(plant, found, id=name) for name, plant, found in FAULTS]
)
def test_a_fault_is_found(
    truth: Truth, plant: Callable[[Outputs], Any], expected: set[Fault]
) -> None:
    outputs = Outputs(truth)
    plant(outputs)
    report = outputs.check()
    assert not report.is_right
    assert set(report.faults) == expected, str(report)
    assert all(report.examples[fault] for fault in expected)


def test_every_kind_of_fault_is_planted() -> None:
    assert set().union(*(found for _, _, found in FAULTS)) == set(Fault)


def test_of_many_faults_a_few_are_shown(truth: Truth) -> None:
    report = check(truth, [], [])
    assert report.faults[Fault.MISSING_DECISION] == len(truth.traces)
    assert len(report.examples[Fault.MISSING_DECISION]) == 5
    assert f"{len(truth.traces)} x a trace without a decision" in str(report)
