"""Admission: limits hold, nothing is lost, and what lives is all that counts."""

from __future__ import annotations

import random
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.metrics.admission import Limits, SeriesAdmission
from tailrace.agents.metrics.learned import ANY, LEARNT_AT
from tailrace.agents.metrics.subjects import EdgeSubject, RedSubject, Service
from tailrace.schemas.series import (
    OTHER,
    OVERFLOW,
    EdgeSeries,
    RedSeries,
    decoded_attributes,
    encoded_attributes,
    encoded_resource,
)


def key(service: str, pod: str = "a", tenant: str = "", **labels: str) -> bytes:
    resource = encoded_resource({"service.name": service, "pod": pod})
    named = [(name.replace("_", "."), value) for name, value in labels.items()]
    tenants = [("tenant", tenant)] if tenant else []
    return RedSeries(resource, encoded_attributes([*named, *tenants])).key()


def labels_of(key: bytes) -> dict[str, object]:
    return dict(decoded_attributes(RedSeries.of_key(key).dimensions))


def resource_of(key: bytes) -> dict[str, object]:
    return dict(decoded_attributes(RedSeries.of_key(key).resource))


class Alive:
    """The living series of a table that asks for admission as it should."""

    def __init__(self, limits: Limits, *, has_edges: bool = False) -> None:
        self._make = partial(
            SeriesAdmission, limits, EdgeSubject.of_key if has_edges else RedSubject.of_key
        )
        self.admission = self._make()
        self.keys: set[bytes] = set()

    def add(self, key: bytes) -> bytes:
        if key in self.keys:
            return key
        admitted = self.admission.admit(key)
        if admitted not in self.keys:
            self.keys.add(admitted)
            self.admission.met(admitted)
        return admitted

    def remove(self, key: bytes) -> None:
        self.keys.remove(key)
        self.admission.gone(key)

    def anew(self) -> SeriesAdmission:
        """What a restart makes of the same living series, whatever their order."""
        found = self._make()
        for each in random.Random(7).sample(sorted(self.keys), len(self.keys)):
            found.met(each)
        return found


def test_a_resource_has_as_many_series_as_it_may_and_one_for_the_rest() -> None:
    alive = Alive(Limits(resource_series=2))
    admitted = [alive.add(key("cart", span_name=name)) for name in "abcd"]
    assert [labels_of(each) for each in admitted[:2]] == [{"span.name": "a"}, {"span.name": "b"}]
    assert admitted[2] == admitted[3]
    assert labels_of(admitted[2]) == {OVERFLOW: True}
    assert resource_of(admitted[2]) == {"service.name": "cart", "pod": "a"}
    other = key("cart", pod="b", span_name="d")
    assert alive.add(other) == other


def test_a_service_has_as_many_series_as_it_may_over_all_its_resources() -> None:
    alive = Alive(Limits(service_series=2))
    for pod in "ab":
        assert alive.add(key("cart", pod=pod, span_name="x")) == key("cart", pod=pod, span_name="x")
    refused = [alive.add(key("cart", pod=pod, span_name="x")) for pod in "cd"]
    assert refused[0] == refused[1]
    assert resource_of(refused[0]) == {"service.name": "cart"}
    assert alive.add(key("search", span_name="x")) == key("search", span_name="x")


def test_a_label_has_as_many_values_as_it_may_and_one_for_the_rest() -> None:
    alive = Alive(Limits(values=2, labels={"http.route": 1}))
    admitted = [
        labels_of(alive.add(key("cart", span_name=name, http_route=f"/{name}"))) for name in "abc"
    ]
    assert [each["span.name"] for each in admitted] == ["a", "b", OTHER]
    assert [each["http.route"] for each in admitted] == ["/a", OTHER, OTHER]


def test_who_is_to_blame_is_told_with_tenant_label_and_top_values() -> None:
    alive = Alive(Limits(labels={"user": 1}))
    for user in ("ann", "bob", "bob", "cyd", "bob"):
        alive.add(key("cart", tenant="red", user=user))
    [blame] = alive.admission.blamed
    assert blame.service == Service("red", "", "cart")
    assert (blame.label, blame.limit, blame.refusals) == ("user", 1, 4)
    assert blame.top == (("bob", 3), ("cyd", 1))


def test_who_is_gone_is_blamed_for_nothing() -> None:
    alive = Alive(Limits(labels={"user": 1}))
    for user in ("ann", "bob" * 1000):
        alive.add(key("cart", user=user))
    [blame] = alive.admission.blamed
    assert len(blame.top[0][0]) == 200
    for each in list(alive.keys):
        alive.remove(each)
    assert not alive.admission.blamed


def test_a_label_of_a_user_that_is_called_as_the_overflow_is_no_way_round_a_limit() -> None:
    alive = Alive(Limits(service_series=2))
    for number in range(5):
        labels = [("otel.metric.overflow", True), ("user", f"u{number}")]
        resource = encoded_resource({"service.name": "cart", "pod": "a"})
        alive.add(RedSeries(resource, encoded_attributes(labels)).key())
    assert len(alive.keys) == 3


def test_kinds_and_statuses_are_not_limited() -> None:
    alive = Alive(Limits(values=1))
    for kind in ("SPAN_KIND_SERVER", "SPAN_KIND_CLIENT"):
        alive.add(key("cart", span_kind=kind, span_name="x"))
    assert {labels_of(each)["span.kind"] for each in alive.keys} == {
        "SPAN_KIND_SERVER",
        "SPAN_KIND_CLIENT",
    }


def test_tenants_do_not_take_room_from_each_other() -> None:
    alive = Alive(Limits(service_series=1, values=1))
    for tenant in ("red", "blue"):
        wanted = key("cart", tenant=tenant, span_name=tenant)
        assert alive.add(wanted) == wanted


def test_a_place_in_a_path_with_too_many_words_is_learned() -> None:
    alive = Alive(Limits(learned=("span.name",)))
    names = [f"GET /users/{number}/cart" for number in range(LEARNT_AT + 3)]
    shown = [labels_of(alive.add(key("web", span_name=name)))["span.name"] for name in names]
    assert shown[:LEARNT_AT] == names[:LEARNT_AT]
    assert set(shown[LEARNT_AT:]) == {f"GET /users/{ANY}/cart"}
    health = key("web", span_name="GET /health")
    assert alive.add(health) == health


def test_what_was_learned_is_forgotten_with_the_last_series_that_shows_it() -> None:
    alive = Alive(Limits(learned=("span.name",)))
    for number in range(LEARNT_AT + 1):
        alive.add(key("web", span_name=f"/users/{number}"))
    for each in list(alive.keys):
        alive.remove(each)
    assert alive.add(key("web", span_name="/users/77")) == key("web", span_name="/users/77")


def edge(client: str, server: str, kind: str = "", tenant: str = "default", **more: str) -> bytes:
    return EdgeSeries(tenant, client, server, kind, tuple(more.items())).key()


def test_a_client_has_as_many_edges_as_it_may_and_one_for_the_rest() -> None:
    alive = Alive(Limits(service_series=2), has_edges=True)
    admitted = [alive.add(edge("web", server, "database", server_zone="a")) for server in "abcd"]
    assert admitted[:2] == [edge("web", name, "database", server_zone="a") for name in "ab"]
    rest = EdgeSeries("default", "web", OTHER, "", ((OVERFLOW, "true"),))
    assert admitted[2:] == [rest.key()] * 2
    for other in (edge("cart", "c"), edge("web", "c", tenant="red")):
        assert alive.add(other) == other


def test_servers_and_dimensions_of_edges_have_as_many_values_as_they_may() -> None:
    alive = Alive(Limits(values=2, labels={"client_zone": 1}), has_edges=True)
    admitted = [
        EdgeSeries.of_key(
            alive.add(edge("web", name, "virtual_node", client_zone=name, virtual_node=name))
        )
        for name in "abcd"
    ]
    assert [each.server for each in admitted] == ["a", "b", OTHER, OTHER]
    assert [dict(each.dimensions)["client_zone"] for each in admitted] == ["a", *[OTHER] * 3]
    assert [dict(each.dimensions)["virtual_node"] for each in admitted] == [*"abcd"]
    assert {each.connection_type for each in admitted} == {"virtual_node"}
    assert [(each.service, each.label) for each in alive.admission.blamed] == [
        (Service("default", "", "web"), "client_zone"),
        (Service("default", "", "web"), "server"),
    ]


KEYS = st.builds(
    key,
    st.sampled_from(["cart", "web"]),
    pod=st.sampled_from("ab"),
    tenant=st.sampled_from(["", "red"]),
    span_name=st.sampled_from(["a", "b/1", "b/2", "b/3", "c"]),
    user=st.sampled_from("stuvw"),
)
LIMITS = st.builds(
    Limits,
    resource_series=st.none() | st.integers(1, 4),
    service_series=st.none() | st.integers(1, 5),
    values=st.none() | st.integers(1, 3),
    labels=st.dictionaries(st.sampled_from(["user"]), st.integers(1, 3)),
    learned=st.sampled_from([(), ("span.name",)]),
)


@given(LIMITS, st.lists(st.tuples(KEYS, st.integers(0, 9)), max_size=60))
def test_limits_hold_whatever_comes_and_goes(
    limits: Limits, steps: list[tuple[bytes, int]]
) -> None:
    alive = Alive(limits)
    for wanted, fate in steps:
        admitted = alive.add(wanted)
        assert resource_of(admitted)["service.name"] == resource_of(wanted)["service.name"]
        if fate == 0:
            alive.remove(random.Random(len(alive.keys)).choice(sorted(alive.keys)))
        _check(alive, limits)


def _check(alive: Alive, limits: Limits) -> None:
    normal = [each for each in alive.keys if OVERFLOW not in labels_of(each)]
    for service in ("cart", "web"):
        for tenant in ("", "red"):
            mine = [
                each
                for each in normal
                if resource_of(each)["service.name"] == service
                and labels_of(each).get("tenant", "") == tenant
            ]
            if limits.service_series is not None:
                assert len(mine) <= limits.service_series
            for label in ("span.name", "user"):
                most = limits.of_label(label)
                values = {labels_of(each)[label] for each in mine} - {OTHER}
                assert most is None or len(values) <= most
    if limits.resource_series is not None:
        of_resource: dict[bytes, int] = {}
        for each in normal:
            resource = RedSeries.of_key(each).resource
            of_resource[resource] = of_resource.get(resource, 0) + 1
        assert all(count <= limits.resource_series for count in of_resource.values())


def check_a_restart(alive: Alive, before: list[bytes], after: list[bytes], removed: int) -> None:
    for each in before:
        alive.add(each)
    for each in sorted(alive.keys)[:removed]:
        alive.remove(each)
    anew = alive.anew()
    for wanted in after:
        if wanted not in alive.keys:
            assert anew.admit(wanted) == alive.admission.admit(wanted)


@given(LIMITS, st.lists(KEYS, max_size=40), st.lists(KEYS, max_size=10), st.integers(0, 20))
def test_a_restart_changes_nothing_of_what_is_admitted(
    limits: Limits, before: list[bytes], after: list[bytes], removed: int
) -> None:
    check_a_restart(Alive(limits), before, after, removed)


EDGES = st.builds(
    edge,
    st.sampled_from(["cart", "web"]),
    st.sampled_from(["a", "b", "c", "x/1", "x/2"]),
    st.sampled_from(["", "database"]),
    st.sampled_from(["default", "red"]),
    client_user=st.sampled_from("stu"),
    server_user=st.sampled_from("stu"),
    virtual_node=st.sampled_from(["", "server"]),
)
EDGE_LIMITS = st.builds(
    Limits,
    service_series=st.none() | st.integers(1, 5),
    values=st.none() | st.integers(1, 3),
    labels=st.dictionaries(st.sampled_from(["server", "client_user"]), st.integers(1, 3)),
    learned=st.sampled_from([(), ("server",)]),
)


@given(EDGE_LIMITS, st.lists(st.tuples(EDGES, st.integers(0, 9)), max_size=60))
def test_limits_of_edges_hold_whatever_comes_and_goes(
    limits: Limits, steps: list[tuple[bytes, int]]
) -> None:
    alive = Alive(limits, has_edges=True)
    for wanted, fate in steps:
        admitted = alive.add(wanted)
        assert EdgeSeries.of_key(admitted)[:2] == EdgeSeries.of_key(wanted)[:2]
        if fate == 0:
            alive.remove(random.Random(len(alive.keys)).choice(sorted(alive.keys)))
        _check_edges([EdgeSeries.of_key(each) for each in alive.keys], limits)


def _check_edges(edges: list[EdgeSeries], limits: Limits) -> None:
    for whose in {each[:2] for each in edges}:
        mine = [each for each in edges if each[:2] == whose and not each.is_overflow]
        if limits.service_series is not None:
            assert len(mine) <= limits.service_series
        said = [dict(each.dimensions, server=each.server) for each in mine]
        for label in ("server", "client_user", "server_user"):
            most = limits.of_label(label)
            assert most is None or len({each[label] for each in said} - {OTHER}) <= most


@given(EDGE_LIMITS, st.lists(EDGES, max_size=40), st.lists(EDGES, max_size=10), st.integers(0, 20))
def test_a_restart_changes_nothing_of_which_edges_are_admitted(
    limits: Limits, before: list[bytes], after: list[bytes], removed: int
) -> None:
    check_a_restart(Alive(limits, has_edges=True), before, after, removed)
