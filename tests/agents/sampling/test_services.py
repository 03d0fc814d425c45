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
