"""Services as bits."""

import pytest

from tailrace.agents.sampling.services import ServiceNames


def test_each_service_has_a_bit_of_its_own_for_good() -> None:
    services = ServiceNames()
    names = [f"service-{number}" for number in range(200)]
    bits = [services.bit(name) for name in names]
    assert all(bit.bit_count() == 1 for bit in bits)
    assert len(set(bits)) == len(bits)
    assert [services.bit(name) for name in names] == bits


def test_a_span_without_a_service_adds_none() -> None:
    services = ServiceNames()
    assert services.bit("") == 0
    assert services.sorted(0) == []


@pytest.mark.parametrize(
    ("met", "asked", "expected"),
    [
        pytest.param("b a c", "c a", ["a", "c"], id="names come in alphabetical order"),
        pytest.param("b a c", "b", ["b"], id="a set of one is that one"),
        pytest.param("B a é", "é B a", ["B", "a", "é"], id="order is that of code points"),
    ],
)
def test_a_set_is_spelled_out(met: str, asked: str, expected: list[str]) -> None:
    services = ServiceNames()
    for name in met.split():
        services.bit(name)
    bits = sum(services.bit(name) for name in asked.split())
    assert services.sorted(bits) == expected


def test_a_set_that_was_asked_for_before_stays_the_same_when_services_are_added() -> None:
    services = ServiceNames()
    first = services.bit("z")
    assert services.sorted(first) == ["z"]
    second = services.bit("a")
    assert services.sorted(first) == ["z"]
    assert services.sorted(first | second) == ["a", "z"]


def test_many_services_cost_what_a_set_has_and_not_what_there_are() -> None:
    services = ServiceNames()
    bits = [services.bit(f"service-{number:05}") for number in range(20_000)]
    assert services.sorted(bits[7] | bits[19_999]) == ["service-00007", "service-19999"]


def test_services_that_nobody_has_any_more_are_forgotten() -> None:
    services = ServiceNames()
    held = [services.bit("first"), 0]
    for day in range(20):
        held[1] = services.bit(f"pod-{day}-0") | services.bit("first")
        for pod in range(1, 1000):
            services.encoded(services.bit(f"pod-{day}-{pod}"))
        if services.are_many:
            held = services.renumbered(held)
            assert len(services) == 2
        assert [services.sorted(bits) for bits in held] == [["first"], ["first", f"pod-{day}-0"]]
    assert len(services) < 6000


def test_while_all_are_needed_they_are_looked_through_seldom() -> None:
    services, held, times = ServiceNames(), list[int](), 0
    for number in range(20_000):
        held.append(services.bit(f"service-{number}"))
        if services.are_many:
            held, times = services.renumbered(held), times + 1
    assert times == 3
    assert [services.sorted(bits) for bits in held[::999]] == [
        [f"service-{number}"] for number in range(0, 20_000, 999)
    ]
