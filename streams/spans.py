"""The spans stage: one pass over the spans, for every capability that wants to see them."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from tailrace.agents.matches import agent as matches_agent
from tailrace.agents.matches.compiled import compiled_for
from tailrace.agents.matches.edge_series import ClosedEdges
from tailrace.agents.matches.logic import MatchesLogic, MatchesSettings
from tailrace.agents.matches.witnesses import NoMarks
from tailrace.agents.red import agent as red_agent
from tailrace.agents.red.exemplars import SpanExemplars
from tailrace.agents.red.logic import RedLogic
from tailrace.agents.sampling import agent as sampling_agent
from tailrace.agents.sampling.control import Control, ControlSettings
from tailrace.agents.sampling.judge import Judge
from tailrace.agents.sampling.logic import Policies, SamplingLogic, SamplingOutputs
from tailrace.agents.sampling.routes import Routes
from tailrace.agents.sampling.sampler import Sampler, SamplerSettings
from tailrace.agents.sampling.splits import SplitTraces
from tailrace.agents.sampling.standing import StandingPolicies, TenantVersions, Version, standing
from tailrace.agents.sampling.tenant_budget import TenantBudget, tenant_budget_settings
from tailrace.agents.service_graph import agent as service_graph_agent
from tailrace.agents.service_graph.logic import ServiceGraphLogic
from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.config.tail_sampling import needs_whole_traces
from tailrace.schemas.config.worker import ALERTS, RED, SAMPLING, SERVICE_GRAPH
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.definitions.tail_sampling import standing as standing_definitions
from tailrace.schemas.durations import MILLISECOND
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.series import service_place
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.tenants import SpanTenants
from tailrace.streams.cluster import Cluster
from tailrace.streams.control import HeldRecords, tell
from tailrace.streams.dead_letters import DeadLetters
from tailrace.streams.graph import graph_settings, rollup_topic
from tailrace.streams.merging import MergedTime
from tailrace.streams.pressure import MemoryPressure
from tailrace.streams.red import red_settings
from tailrace.streams.runner import Runner
from tailrace.streams.span_codec import SpanCodec
from tailrace.streams.stages import MATCHES, SPANS, rekey_stage, source, stage_topics
from tailrace.streams.stream_time import RecordTime, StreamTime
from tailrace.streams.task import Logic, Task, TaskId
from tailrace.tables.decisions import CONFIGURED, DecisionTable
from tailrace.tables.exemplars import Exemplars
from tailrace.tables.keeps import Keeps
from tailrace.tables.store import PartitionStore
from tailrace.tables.trace_buffers import SegmentCache, TraceBuffers

log = structlog.get_logger()

_KEEPS, _EXEMPLARS = b"k", b"x"
"""Prefixes in the store: what alerts ask the sampler to keep, and kept traces as examples."""


class SpanTask(Task[SpanBatch]):
    """A task whose batches have the columns that its definitions ask for."""

    widen: Callable[..., None] = staticmethod(lambda columns, **context: None)
    read: Callable[[Definitions], None] = staticmethod(lambda definitions: None)
    forget: Callable[[str], None] = staticmethod(lambda task: None)

    def inform(self, definitions: Definitions) -> None:
        """Let the decoder read what is asked for, before anyone asks for it."""
        if matches_agent.NAME in self.logics:
            self.widen(compiled_for(definitions).columns)
        if sampling_agent.NAME in self.logics:
            self.read(definitions)
        super().inform(definitions)

    def close(self) -> None:
        """Its traces are another's from now on."""
        self.forget(str(self.id))
        super().close()


class SpanTasks:
    """Builds the tasks of the spans stage; they share the decoder, the policies and a cache."""

    def __init__(
        self, config: WorkerConfig, cluster: Cluster, control: HeldRecords | None = None
    ) -> None:
        """*control*: what this worker holds of the control log; `attend` tells it to tasks."""
        sampling = config.tail_sampling
        self._config = config
        self._cluster = cluster
        self._configured = self._built(Version(CONFIGURED, sampling))
        self._read = {(DEFAULT_TENANT, CONFIGURED)}
        """Tenants and versions of policies for which the decoder reads what they ask for."""
        self._red = red_settings(config) if RED in config.capabilities else None
        self._graph = graph_settings(config) if SERVICE_GRAPH in config.capabilities else None
        self._matches = MatchesSettings(wait_ms=_judging_wait_ms(config))
        self._decoder = self._new_decoder()
        is_rekeyed = not config.input.keyed_by_trace_id
        is_json = config.input.encoding == "otlp_json" and not is_rekeyed
        tenants = SpanTenants(config.tenancy) if config.tenancy.is_on else None
        self.codec = SpanCodec(self._decoder, is_json=is_json, tenants=tenants)
        self._sampler = _sampler_settings(config)
        self._retention_ms = sampling.decision_retention // MILLISECOND
        self._dead_letters = DeadLetters(config.output.dead_letters, cluster.dead_letter_bytes)
        self._outputs = SamplingOutputs(
            Routes(sampling.routes, config.output.sampled),
            config.output.decisions,
            cluster.record_bytes,
            self._dead_letters.of_span,
            stamps=sampling.stamp and not sampling.dry_run,
        )
        self._cache = SegmentCache()
        self._refused: set[tuple[str, str]] = set()
        self._pressure = MemoryPressure(config.engine.memory_limit)
        self.splits = SplitTraces()
        self.control = control or HeldRecords()

    def _new_decoder(self) -> Decoder:
        """Return a decoder that reads what some capability asks for, and no more."""
        columns = [*self._configured.columns]
        of_clients: list[AttributeColumn] = []
        if self._red is not None:
            columns += self._red.columns
        if self._graph is not None:
            columns += self._graph.columns
            of_clients += self._graph.client_columns
        has_ids = bool({SERVICE_GRAPH, ALERTS} & self._config.capabilities) or self._has_exemplars
        weighs = self._red is not None or self._graph is not None
        context = self._configured.sampling.facts.context
        return Decoder(
            columns,
            of_clients,
            ids=has_ids,
            trace_state=weighs or "trace_state" in context,
            flags="flags" in context,
            scopes=self._red is not None and self._red.asks_for_scopes,
            events=self._red is not None and self._red.asks_for_events,
            links=self._graph is not None and self._graph.has_links,
        )

    def build(self, id: TaskId, store: PartitionStore) -> Task[SpanBatch]:
        """Return the task *id* with what *store* has.

        Matches come before sampling, which goes by the marks that they leave; and sampling before
        RED, whose watermark says that a second's exemplars are there.
        """
        logics: dict[str, Logic[SpanBatch]] = {}
        topic, enabled = rollup_topic(self._config, self._cluster), self._config.capabilities
        keeps, edges = None, ClosedEdges()
        if self._graph is not None:
            name = source(SERVICE_GRAPH, id.partition)
            logics[service_graph_agent.NAME] = ServiceGraphLogic(
                self._graph, store, topic, name, edges.take if ALERTS in enabled else None
            )
        if ALERTS in enabled and SAMPLING in enabled:
            keeps = Keeps(store, _KEEPS, self._retention_ms, topic)
        if ALERTS in enabled:
            name = source(MATCHES, id.partition)
            logics[matches_agent.NAME] = MatchesLogic(
                self._matches, store, topic, name, NoMarks() if keeps is None else keeps, edges
            )
        if SAMPLING in enabled:
            logics[sampling_agent.NAME] = self._sampling(id, store, keeps)
        if self._red is not None:
            name = source(RED, id.partition)
            logics[red_agent.NAME] = RedLogic(self._red, store, topic, name)
        of_record = self._dead_letters.of_record
        task = SpanTask(id, store, self.codec, logics, of_record, self._time())
        task.widen, task.read = self._decoder.widen, self._read_for
        task.forget = self._pressure.forget
        return task

    def attend(self, runner: Runner) -> None:
        """Tell a task what others said; let it decide early, if memory has no room for traces."""
        logic = runner.task.logics.get(sampling_agent.NAME)
        if isinstance(logic, SamplingLogic):
            tell(runner.task, logic, self.control)
            traces = self._pressure.relief(str(runner.id), logic.open_traces)
            if traces:
                with runner.task.told() as (outbox, totals):
                    logic.relieve(traces, outbox, totals)

    def _sampling(self, id: TaskId, store: PartitionStore, keeps: Keeps | None) -> SamplingLogic:
        section = self._config.tail_sampling
        cache = section.decision_cache
        newest = cache.sampled_cache_size or None, cache.non_sampled_cache_size or None
        policies = self._built(Version(CONFIGURED, section))
        settings = self._control_settings(id)
        control, budget = Control(settings, store), settings.tenant_budget
        shared = None if budget is None else TenantBudget(budget)
        sampler = Sampler(
            self._sampler,
            Judge(policies, store, keeps, control, shared),
            TraceBuffers(store, self._cache),
            DecisionTable(store, self._retention_ms, self._sampler.decision_wait_ms, newest),
            self.splits,
            self._decoder.decode_again,
        )
        stand = Policies(self._standing, self._built)
        exemplars = self._exemplars(store) if self._has_exemplars else None
        if exemplars is None and store.get(_EXEMPLARS) is not None:
            store.delete(_EXEMPLARS)  # of another config; it would be told much too late
        return SamplingLogic(sampler, self._outputs, keeps, stand, control, exemplars)

    @property
    def label_failures(self) -> int:
        """Values that metrics do not show because a rule failed on them."""
        found = (each.rules for each in (self._red, self._graph) if each is not None)
        return sum(rules.failures for rules in found if rules is not None)

    @property
    def _has_exemplars(self) -> bool:
        """True if spans of kept traces are to stand beside what they are examples of."""
        wants = self._config.span_metrics.exemplars.enabled
        return wants and {SAMPLING, RED} <= self._config.capabilities

    def _exemplars(self, store: PartitionStore) -> Exemplars:
        assert self._red is not None
        describe = SpanExemplars(self._red, self._decoder.decode_again)
        topic = rollup_topic(self._config, self._cluster)
        return Exemplars(store, _EXEMPLARS, topic, describe, service_place)

    def _control_settings(self, id: TaskId) -> ControlSettings:
        (topic, *_) = stage_topics(self._config)[SPANS]
        return ControlSettings(
            topics.control(self._config.app),
            id.partition,
            self._cluster.partitions.get(topic, 1),
            self._config.tail_sampling.keep_linked // MILLISECOND,
            tenant_budget_settings(self._config.tail_sampling.tenant_budgets),
        )

    def _read_for(self, definitions: Definitions) -> None:
        """Let the decoder read what the policies of *definitions* ask for, of all tenants."""
        for tenant, version in self._standing(definitions).items():
            if (tenant, version.name) in self._read:
                continue
            self._read.add((tenant, version.name))
            policies = self._built(version)
            context = policies.sampling.facts.context
            self._decoder.widen(
                policies.columns, trace_state="trace_state" in context, flags="flags" in context
            )

    def _standing(self, definitions: Definitions) -> TenantVersions:
        """Return the policies that stand, by tenant.

        Those that need whole traces are refused where messages are judged alone; the config's stay.
        """
        found = {DEFAULT_TENANT: Version(CONFIGURED, self._config.tail_sampling)}
        for tenant, version in standing_definitions(definitions).items():
            if not self._is_refused(tenant, Version(*version)):
                found[tenant] = Version(*version)
        return found

    def _is_refused(self, tenant: str, version: Version) -> bool:
        wanting = needs_whole_traces(version.policies)
        if self._config.tail_sampling.sampling_strategy != "span-ingest" or not wanting:
            return False
        if (tenant, version.name) not in self._refused:
            self._refused.add((tenant, version.name))
            log.warning(
                "policies need whole traces, which sampling_strategy span-ingest does not "
                "judge; the config's stay", tenant=tenant, version=version.name,
                policies=" ".join(wanting),
            )  # fmt: skip
        return True

    def _built(self, version: Version) -> StandingPolicies:
        section = self._config.tail_sampling
        return standing(
            version.policies, version.name, section.force_keep,
            judges_messages=section.sampling_strategy == "span-ingest",
        )  # fmt: skip

    def _time(self) -> StreamTime:
        """Re-keyed records are put in the order of their sources' time."""
        if self._config.input.keyed_by_trace_id:
            return RecordTime()
        return MergedTime(
            [
                source(rekey_stage(topic), partition)
                for topic in self._config.input.topics
                for partition in range(self._cluster.partitions[topic])
            ]
        )


def _judging_wait_ms(config: WorkerConfig) -> int:
    """Return when a whole trace is judged: two intervals before it is decided.

    So its marks are there by then, and what an alert says of a trace can be looked at.
    """
    interval_ms = config.engine.rollup_interval // MILLISECOND
    decision_ms = config.tail_sampling.decision_wait // MILLISECOND
    return max(interval_ms, decision_ms - 2 * interval_ms)


def _sampler_settings(config: WorkerConfig) -> SamplerSettings:
    section = config.tail_sampling
    return SamplerSettings(
        section.decision_wait // MILLISECOND,
        section.num_traces,
        -(-section.decision_wait_after_root_received // MILLISECOND) or None,
        section.maximum_trace_size_bytes or None,
        section.maximum_trace_spans or None,
        judges_messages=section.sampling_strategy == "span-ingest",
        forwards_all=section.dry_run,
    )
