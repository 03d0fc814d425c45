"""Policies at random: every type with every key, alone, beside and inside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tailrace_loadtest.compare.bodies import LIMITS, STATELESS, Body


@dataclass(frozen=True)
class PolicySet:
    """A `tail_sampling` section that both are given, but for its times.

    `is_limited`: what it keeps depends on what it kept before.
    """

    name: str
    section: Body

    @property
    def policies(self) -> list[Body]:
        found: list[Body] = self.section["policies"]
        return found

    @property
    def types(self) -> frozenset[str]:
        """The types of all its policies, those inside others too."""
        return frozenset(each["type"] for each in flattened(self.policies))

    @property
    def conditions(self) -> list[str]:
        """All its conditions of OTTL."""
        bodies = [each.get("ottl_condition", {}) for each in flattened(self.policies)]
        return [
            text for body in bodies for key in ("span", "spanevent") for text in body.get(key, ())
        ]

    @property
    def is_limited(self) -> bool:
        return bool(self.types & LIMITED)

    @property
    def is_changed_by_names(self) -> bool:
        """Whether it measures what the collector has written the name of a policy into."""
        return {"composite", "bytes_limiting"} <= self.types

    @property
    def is_by_message(self) -> bool:
        """Whether each part of a trace is judged when it comes."""
        return self.section.get("sampling_strategy") == "span-ingest"


def flattened(policies: Sequence[Body]) -> list[Body]:
    """*policies*, and those inside them."""
    found = []
    for each in policies:
        found.append(each)
        body = each.get(each["type"], {})
        for key in ("and_sub_policy", "drop_sub_policy", "composite_sub_policy"):
            found += flattened(body.get(key, ()))
        if "not_sub_policy" in body:
            found += flattened([body["not_sub_policy"]])
    return found


LIMITED = frozenset((*LIMITS, "composite"))
TYPES = (*STATELESS, *LIMITS, "and", "not", "drop", "composite")
_SELDOM = {"always_sample": 0.2, "probabilistic": 0.5, "latency": 0.8}


class Draw:
    """Draws policies, of *types* only."""

    def __init__(self, random: Random, types: Sequence[str] = TYPES) -> None:
        self._random = random
        self._types = types
        self._names = 0

    def leaf(self, *, limited: bool = False) -> Body:
        kinds = [each for each in STATELESS if each in self._types]
        weights = [_SELDOM.get(each, 1.0) for each in kinds]
        if limited:
            kinds += [each for each in LIMITS if each in self._types]
            weights += [3.0] * (len(kinds) - len(weights))
        (kind,) = self._random.choices(kinds, weights)
        return self.of(kind)

    def of(self, kind: str, *, limited: bool = False) -> Body:
        """A policy of the type *kind*; with *limited*, what is inside may limit rates."""
        body: Body
        if kind in STATELESS:
            body = STATELESS[kind](self._random)
        elif kind in LIMITS:
            body = LIMITS[kind](self._random)
        elif kind == "not":
            body = {"not_sub_policy": self.leaf(limited=limited)}
        elif kind == "composite":
            body = self._composite()
        else:
            body = {f"{kind}_sub_policy": self._several(limited=limited)}
        self._names += 1
        policy: Body = {"name": f"{kind}-{self._names}", "type": kind}
        return {**policy, kind: body} if body else policy

    def _several(self, *, limited: bool) -> list[Body]:
        found = []
        for _ in range(self._random.choices((0, 1, 2, 3), (1, 10, 20, 8))[0]):
            is_not = "not" in self._types and self._random.random() < 0.3
            found.append(self.of("not", limited=limited) if is_not else self.leaf(limited=limited))
        return found

    def _composite(self) -> Body:
        random, subs = self._random, []
        for _ in range(random.choice((1, 2, 3))):
            is_and = "and" in self._types and random.random() < 0.3
            subs.append(
                {"name": "", "type": "and", "and": {"and_sub_policy": self._several(limited=False)}}
                if is_and
                else self.leaf(limited=random.random() < 0.3)
            )
        for number, sub in enumerate(subs):
            sub["name"] = f"sub-{number}"
        names = [sub["name"] for sub in subs]
        allocations = [
            {"policy": name, "percent": random.choice((0, 10, 25, 50, 100))}
            for name in names
            if random.random() < 0.8
        ]
        return {
            "max_total_spans_per_second": random.choice((0, 7, 20, 40, 60, 100)),
            "policy_order": random.sample(names, len(names)),
            "composite_sub_policy": subs,
            "rate_allocation": allocations,
        }


def policy_sets(random: Random, count: int, types: Sequence[str] = TYPES) -> list[PolicySet]:
    """Return *count* sets: each type alone three times, if there is room; then mixtures."""
    draw = Draw(random, types)
    kinds = [each for each in TYPES if each in types]
    alone = [(kind, at) for at in range(3) for kind in kinds][: count * 2 // 5]
    found = [
        PolicySet(f"{kind}-{at + 1}", {"policies": _beside_drop(draw, kind)}) for kind, at in alone
    ]
    while len(found) < count:
        found.append(PolicySet(f"mixture-{len(found) + 1}", _mixture(random, draw, kinds)))
    return found


def _beside_drop(draw: Draw, kind: str) -> list[Body]:
    """One policy of that type; what only drops shows nothing without one that samples."""
    policy = draw.of(kind, limited=True)
    return [draw.of("always_sample"), policy] if kind == "drop" else [policy]


def _mixture(random: Random, draw: Draw, kinds: Sequence[str]) -> Body:
    limits = [kind for kind in kinds if kind in LIMITED]
    is_limited = bool(limits) and random.random() < 0.35
    is_by_message = not is_limited and random.random() < 0.2
    others = [kind for kind in kinds if kind not in LIMITED]
    weights = [_SELDOM.get(kind, 1.0) for kind in others]
    chosen = random.choices(others, weights, k=random.choice((2, 3, 3, 4, 6)))
    if is_limited:  # few others, so that it is the budgets that decide
        chosen = [random.choice(limits), *chosen[: random.choice((0, 0, 1, 2))]]
        random.shuffle(chosen)
    section: Body = {"policies": [draw.of(kind, limited=is_limited) for kind in chosen]}
    if random.random() < 0.3:
        section["sample_on_first_match"] = True
    if is_by_message:
        section["sampling_strategy"] = "span-ingest"
        section["policies"] = [each for each in section["policies"] if _is_stateless([each])]
        section["policies"] = section["policies"] or [draw.of("status_code")]
    if random.random() < 0.1 and not is_limited:
        section["maximum_trace_size_bytes"] = random.choice((300, 1000, 2500, 5000))
    if random.random() < 0.2:
        section["decision_cache"] = {"sampled_cache_size": 10**6, "non_sampled_cache_size": 10**6}
    if random.random() < 0.2 and not is_limited:
        section["decision_wait_after_root_received"] = "500s"
    return section


def _is_stateless(policies: Sequence[Body]) -> bool:
    """Whether the collector takes them with `span-ingest`: not those with an upper bound."""
    bodies = [each.get(each["type"], {}) for each in flattened(policies)]
    bounds = any(body.get("upper_threshold_ms") or body.get("max_spans") for body in bodies)
    return not bounds and not {each["type"] for each in flattened(policies)} & LIMITED
