"""Sampling as the engine runs it: spans in, records of kept traces and decisions out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tailrace.agents.sampling.control import Control
from tailrace.agents.sampling.links import LINKED
from tailrace.agents.sampling.outputs import write
from tailrace.agents.sampling.routes import Routes
from tailrace.agents.sampling.sampler import Decided, Effect, Late, Sampler
from tailrace.agents.sampling.standing import Build, TenantVersions
from tailrace.schemas.control import Heard
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.records import Arrivals, Outbox, Output, Totals
from tailrace.schemas.spans import SpanBatch
from tailrace.tables.decisions import CONFIGURED, Outcome
from tailrace.tables.exemplars import Exemplars
from tailrace.tables.keeps import Keeps


@dataclass(frozen=True, slots=True)
class SamplingOutputs:
    """Where records go, and how large one may be. *unfit* makes a dead letter of a span.

    `stamps`: kept spans say who kept them.
    """

    routes: Routes
    decisions: str
    record_bytes: int
    unfit: Callable[[bytes, int], tuple[str, Output]]
    stamps: bool = True


@dataclass(frozen=True, slots=True)
class Policies:
    """Which policies definitions let stand, and how they are built; `default` always has some."""

    standing: Callable[[Definitions], TenantVersions]
    build: Build


class SamplingLogic:
    """A Logic of the spans stage around one partition's Sampler.

    Decoded spans = kept + dropped + pending. A kept span that no record can hold becomes a dead
    letter and counts as kept. *keeps* are the sampler's; groups are told here what became of their
    traces. What is kept is offered to *exemplars*.
    """

    def __init__(
        self,
        sampler: Sampler,
        outputs: SamplingOutputs,
        keeps: Keeps | None = None,
        policies: Policies | None = None,
        control: Control | None = None,
        exemplars: Exemplars | None = None,
    ) -> None:
        self._sampler = sampler
        self._outputs = outputs
        self._keeps = keeps
        self._exemplars = exemplars
        self._policies = policies
        self.control = control
        """The partition's end of the control log, if there is one; the sampler's judge has it."""
        self._versions = {DEFAULT_TENANT: CONFIGURED}
        self._now = 0

    @property
    def open_traces(self) -> int:
        """Traces that wait for their decision."""
        return len(self._sampler)

    @property
    def marked_traces(self) -> int:
        """Traces with marks that nobody was told of."""
        return 0 if self._keeps is None else len(self._keeps)

    @property
    def linked_traces(self) -> int:
        """Traces that are wanted because kept ones link to them."""
        return 0 if self.control is None else self.control.linked_traces

    @property
    def decisions_stored(self) -> tuple[int, int]:
        """How many decisions are in the store, and their bytes."""
        return self._sampler.decisions_stored

    @property
    def pending_spans(self) -> int:
        """Spans of open traces."""
        return self._sampler.pending_spans

    @property
    def policy_versions(self) -> Mapping[str, str]:
        """The versions of the policies that decide, by tenant; `default` for all others."""
        return self._versions

    @property
    def policy_errors(self) -> Mapping[str, int]:
        """Votes that were errors since the partition was assigned, by policy."""
        return self._sampler.judge.errors

    @property
    def unanswered(self) -> Mapping[str, int]:
        """Traces of which a condition that is then not true had no answer, by policy."""
        return self._sampler.judge.unanswered

    @property
    def overflowed(self) -> Mapping[str, int]:
        """Traces whose key was one too many for its rule, by rule, since these policies stand."""
        return self._sampler.judge.overflowed

    def restore(self, now: int) -> None:
        self._now = now
        if self._keeps is not None:
            self._keeps.restore()
        if self._exemplars is not None:
            self._exemplars.restore()
        if self.control is not None:
            self.control.restore()
        self._sampler.restore(now)

    def inform(self, definitions: Definitions, outbox: Outbox, totals: Totals) -> None:
        """Decide by the policies of *definitions* from now on, where their version is another."""
        if self._policies is None:
            return
        standing, judge = self._policies.standing(definitions), self._sampler.judge
        for tenant in sorted(self._versions.keys() - standing.keys()):
            judge.withdraw(tenant)
        for tenant, version in standing.items():
            if self._versions.get(tenant) != version.name:
                judge.use(self._policies.build(version), tenant)
        self._versions = {tenant: version.name for tenant, version in standing.items()}

    def hear(self, records: Iterable[Heard], outbox: Outbox, totals: Totals) -> None:
        """Take what stands next on the control log."""
        if self.control is not None:
            wanted = self.control.hear(records, self._now, outbox, totals)
            late = self._sampler.count_not_sampled(wanted, self._now) if wanted else 0
            if late:
                totals.add("links_too_late", late)

    def relieve(self, traces: int, outbox: Outbox, totals: Totals) -> None:
        """Decide the *traces* oldest traces now: memory is needed."""
        self._act(self._sampler.relieve(self._now, traces), outbox, totals)

    def process(self, arrivals: Arrivals[SpanBatch], outbox: Outbox, totals: Totals) -> None:
        totals.add("spans_decoded", len(arrivals.decoded))
        effects = self._sampler.process(arrivals.decoded, arrivals.times)
        if arrivals.times:
            self._now = arrivals.times[-1]
        self._act(effects, outbox, totals)

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        self._now = now
        self._act(self._sampler.advance(now), outbox, totals)

    def before_checkpoint(self) -> None:
        self._sampler.seal(self._now)
        if self._keeps is not None:
            self._keeps.seal(self._now)
        if self._exemplars is not None:
            self._exemplars.seal()
        if self.control is not None:
            self.control.seal(self._now)

    def close(self) -> None:
        self._sampler.close()

    def problems(self, totals: Totals) -> Sequence[str]:
        counts = totals.counts
        decoded = counts.get("spans_decoded", 0)
        kept, dropped = counts.get("spans_kept", 0), counts.get("spans_dropped", 0)
        pending = self._sampler.pending_spans
        if decoded == kept + dropped + pending:
            return []
        return [f"{decoded} spans decoded, but {kept} kept, {dropped} dropped, {pending} pending"]

    def _act(self, effects: Sequence[Effect], outbox: Outbox, totals: Totals) -> None:
        outputs, control = self._outputs, self.control
        written = write(
            effects,
            self._sampler.services,
            outputs.record_bytes,
            stamps=outputs.stamps,
            links=control is not None and control.has_links,
        )
        for effect, records in zip(effects, written, strict=True):
            if records.kept:
                outbox.send_all(outputs.routes.topic(effect.outcome), records.kept)
            for value in records.unfit:
                topic, letter = outputs.unfit(value, effect.at)
                outbox.send(topic, letter)
                totals.add("dead_letters.span_too_large", 1)
            if control is not None and records.linked and effect.outcome.policy != LINKED:
                control.kept(records.linked, effect.at, outbox, totals)
        outbox.send_all(outputs.decisions, [records.decision for records in written])
        if control is not None:
            control.reach(self._now, self._sampler.judge.budgets, outbox)
        _count(effects, totals)
        if self._keeps is not None:
            self._keeps.tell(self._now, outbox)
        if self._exemplars is not None:
            _offer(effects, self._exemplars)
            self._exemplars.tell(self._now, outbox)


def _offer(effects: Sequence[Effect], exemplars: Exemplars) -> None:
    for effect in effects:
        if type(effect) is Decided and effect.raw and effect.outcome.is_sampled:
            policy = effect.outcome.policy or ""
            exemplars.offer(policy, effect.at, effect.trace.tenant, effect.raw)


def _count(effects: Sequence[Effect], totals: Totals) -> None:
    traces: Counter[Outcome] = Counter()
    spans: Counter[str] = Counter()
    # Most effects have one of a few outcomes, and telling objects apart costs less than hashing.
    decided: dict[int, tuple[Outcome, list[int]]] = {}
    for effect in effects:
        outcome = effect.outcome
        if type(effect) is Late:
            spans["spans_kept" if outcome.is_sampled else "spans_dropped"] += effect.trace.spans
            spans["late_spans"] += effect.trace.spans
        else:
            known = decided.get(id(outcome))
            if known is None:
                known = decided[id(outcome)] = outcome, []
            known[1].append(effect.trace.spans)
    for outcome, each in decided.values():
        spans["spans_kept" if outcome.is_sampled else "spans_dropped"] += sum(each)
        traces[outcome] += len(each)
    for name, count in spans.items():
        totals.add(name, count)
    for outcome, count in traces.items():
        totals.add(f"traces.{outcome.decision}.{outcome.policy or ''}", count)
        totals.add(f"decided.{outcome.reason}", count)
