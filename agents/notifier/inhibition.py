"""Inhibition: which alerts of one tenant are held back because others fire.

Laws:

- A lower severity is held back while a higher one of the same definition and group fires.
- By a rule, an alert is held back while a source that is not held back itself fires. Where rules
  go in a circle, the most severe, then the oldest alert is told: somebody always is.
- What is held back follows from the alerts that there are, not from the order in which they came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from tailrace.agents.notifier.labels import Labels, LabelTest
from tailrace.schemas.alert_events import SEVERITY_LABEL, AlertEvent, severity_rank
from tailrace.schemas.definitions.notification_policy import Inhibition

_SERVICE_LABELS: Final = ("service", "service.name")

Calls: TypeAlias = Mapping[str, frozenset[str]]
"""Client to servers."""
Bucket: TypeAlias = tuple[object, ...]
"""A rule, the labels that must be equal, and the source's service if the rule is about calls."""


class InhibitRule:
    """An inhibition, as tests on labels."""

    def __init__(self, number: int, said: Inhibition) -> None:
        self._number = number
        self._said = said
        self._source, self._target = LabelTest(said.source), LabelTest(said.target)

    def feeds(self, labels: Labels) -> Iterator[Bucket]:
        """Yield where alerts with *labels* are sources."""
        if self._source.holds(labels):
            bucket = self._bucket(labels)
            if self._said.along is None:
                yield bucket
            elif (service := _service(labels)) is not None:
                yield (*bucket, service)

    def listens(self, labels: Labels, reach: Reach) -> Iterator[Bucket]:
        """Yield where the sources are that hold back alerts with *labels*."""
        if self._target.holds(labels):
            bucket = self._bucket(labels)
            if self._said.along is None:
                yield bucket
            elif (service := _service(labels)) is not None:
                is_caller = self._said.along == "callers"
                for other in reach.of(service, is_caller, self._said.depth):
                    yield (*bucket, other)

    def _bucket(self, labels: Labels) -> Bucket:
        return (self._number, *(labels.get(key, "") for key in self._said.equal))


def _service(labels: Labels) -> str | None:
    return next((labels[key] for key in _SERVICE_LABELS if key in labels), None)


class Reach:
    """Who is how many calls away in a service graph."""

    def __init__(self, calls: Calls) -> None:
        self._servers = {client: sorted(servers) for client, servers in calls.items()}
        self._clients: dict[str, list[str]] = {}
        for client in sorted(calls):
            for server in calls[client]:
                self._clients.setdefault(server, []).append(client)
        self._found: dict[tuple[str, bool, int], Sequence[str]] = {}

    def of(self, service: str, is_caller: bool, depth: int) -> Sequence[str]:
        """Return whom *service* calls, or who calls it, over at most *depth* calls; not itself."""
        asked = service, is_caller, depth
        if asked not in self._found:
            self._found[asked] = self._search(*asked)
        return self._found[asked]

    def _search(self, service: str, is_caller: bool, depth: int) -> Sequence[str]:
        steps = self._servers if is_caller else self._clients
        found, edge = {service: None}, [service]
        for _ in range(depth):
            edge = [each for at in edge for each in steps.get(at, ()) if each not in found]
            found.update(dict.fromkeys(edge))
        return list(found)[1:]


@dataclass(slots=True)
class _Node:
    """An alert that some rule is about. `order`: who is told first."""

    order: tuple[int, int, str]
    feeds: list[Bucket]
    listens: list[Bucket]


@dataclass(slots=True)
class _Bucket:
    """How many sources of a bucket are told, and of how many that is not known yet."""

    told: int = 0
    open: int = 0


@dataclass(slots=True)
class _Siblings:
    """The alerts of one definition and group: the severity of each, and whether it fires."""

    ranks: dict[str, tuple[int, bool]] = field(default_factory=dict)

    def outranked(self) -> set[str]:
        highest = max((rank for rank, fires in self.ranks.values() if fires), default=-1)
        return {alert_id for alert_id, (rank, _) in self.ranks.items() if rank < highest}


class Inhibitor:
    """The alerts of one tenant that are not over, and which of them are held back."""

    def __init__(self, rules: Sequence[InhibitRule], calls: Calls) -> None:
        self._rules = rules
        self._reach = Reach(calls)
        self._siblings: dict[Bucket, _Siblings] = {}
        self._sibling_keys: dict[str, Bucket] = {}
        self._outranked: set[str] = set()
        self._nodes: dict[str, _Node] = {}
        self._by_rules: set[str] = set()
        self._changed: set[str] = set()
        self._is_solved = True

    def put(self, event: AlertEvent, labels: Labels) -> None:
        """Let *event* be there, or be there as it is now."""
        self.remove(event.id)
        fires = event.status == "firing"
        key = _sibling_key(event)
        self._sibling_keys[event.id] = key
        siblings = self._siblings.setdefault(key, _Siblings())
        siblings.ranks[event.id] = severity_rank(event.severity), fires
        self._rank(siblings)
        feeds = [each for rule in self._rules for each in rule.feeds(labels)] if fires else []
        listens = [each for rule in self._rules for each in rule.listens(labels, self._reach)]
        if feeds or listens:
            order = -severity_rank(event.severity), event.starts_at, event.id
            self._nodes[event.id] = _Node(order, feeds, listens)
            self._is_solved = False

    def remove(self, alert_id: str) -> None:
        """Let the alert *alert_id* be over."""
        key = self._sibling_keys.pop(alert_id, None)
        if key is None:
            return
        siblings = self._siblings[key]
        self._outranked.discard(alert_id)
        del siblings.ranks[alert_id]
        if siblings.ranks:
            self._rank(siblings)
        else:
            del self._siblings[key]
        if self._nodes.pop(alert_id, None) is not None:
            self._is_solved = False

    def siblings(self, alert_id: str) -> Mapping[str, tuple[int, bool]]:
        """Return the severities of the alerts of the same definition and group, itself too."""
        return self._siblings[self._sibling_keys[alert_id]].ranks

    def is_inhibited(self, alert_id: str) -> bool:
        """True if the alert *alert_id* is held back; ask after `changed`."""
        return alert_id in self._outranked or alert_id in self._by_rules

    def changed(self) -> set[str]:
        """Return the alerts that may be held back or no longer, since this was last asked."""
        if not self._is_solved:
            before, self._by_rules = self._by_rules, self._solve()
            self._changed |= before ^ self._by_rules
            self._is_solved = True
        found, self._changed = self._changed, set()
        return found

    def _rank(self, siblings: _Siblings) -> None:
        outranked = siblings.outranked()
        changed = {
            alert_id
            for alert_id in siblings.ranks
            if (alert_id in outranked) != (alert_id in self._outranked)
        }
        self._changed |= changed
        self._outranked ^= changed
        if changed & self._nodes.keys():
            self._is_solved = False

    def _solve(self) -> set[str]:
        """Return who is held back by the rules, as rounds of what can be said for certain."""
        nodes = {
            alert_id: node
            for alert_id, node in self._nodes.items()
            if alert_id not in self._outranked
        }
        buckets: dict[Bucket, _Bucket] = {}
        for node in nodes.values():
            for key in node.feeds:
                buckets.setdefault(key, _Bucket()).open += 1
        held: set[str] = set()
        waiting = sorted(nodes, key=lambda alert_id: nodes[alert_id].order)
        while waiting:
            still = []
            for alert_id in waiting:
                is_held = _is_held(nodes[alert_id], buckets)
                if is_held is None:
                    still.append(alert_id)
                    continue
                _settle(nodes[alert_id], buckets, is_held)
                if is_held:
                    held.add(alert_id)
            if len(still) == len(waiting):
                first = _first_of_circle({alert_id: nodes[alert_id] for alert_id in still})
                _settle(nodes[first], buckets, is_held=False)
                still.remove(first)
            waiting = still
        return held


def _is_held(node: _Node, buckets: Mapping[Bucket, _Bucket]) -> bool | None:
    """Return whether *node* is held back; None if it depends on what is not known yet."""
    sources = [(key, buckets[key]) for key in node.listens if key in buckets]
    if any(bucket.told for _, bucket in sources):
        return True
    if all(bucket.open == node.feeds.count(key) for key, bucket in sources):
        return False
    return None


def _first_of_circle(nodes: Mapping[str, _Node]) -> str:
    """Return the first node, in the order given, of a circle that nothing outside holds back."""
    feeders: dict[Bucket, list[str]] = {}
    listeners: dict[Bucket, list[str]] = {}
    for alert_id, node in nodes.items():
        for key in node.feeds:
            feeders.setdefault(key, []).append(alert_id)
        for key in node.listens:
            listeners.setdefault(key, []).append(alert_id)
    at = next(iter(nodes))
    while True:
        behind = _walk(at, lambda alert_id: nodes[alert_id].listens, feeders)
        outside = behind - _walk(at, lambda alert_id: nodes[alert_id].feeds, listeners)
        if not outside:
            return next(alert_id for alert_id in nodes if alert_id in behind)
        at = next(alert_id for alert_id in nodes if alert_id in outside)


def _walk(
    start: str, buckets: Callable[[str], Sequence[Bucket]], ids: Mapping[Bucket, Sequence[str]]
) -> set[str]:
    """Return whom one comes to from *start* over *buckets* of each."""
    found, edge, seen = {start}, [start], set[Bucket]()
    while edge:
        for key in buckets(edge.pop()):
            if key not in seen:
                seen.add(key)
                news = [alert_id for alert_id in ids.get(key, ()) if alert_id not in found]
                found.update(news)
                edge += news
    return found


def _settle(node: _Node, buckets: Mapping[Bucket, _Bucket], is_held: bool) -> None:
    for key in node.feeds:
        buckets[key].open -= 1
        buckets[key].told += not is_held


def _sibling_key(event: AlertEvent) -> Bucket:
    labels = sorted(item for item in event.labels.items() if item[0] != SEVERITY_LABEL)
    return (event.name, *labels)
