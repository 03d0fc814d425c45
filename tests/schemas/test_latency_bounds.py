"""Thresholds of latency SLOs are bounds of the duration histogram."""

from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.definition import SLO, DefinitionKey
from tailrace.schemas.definitions.latency_bounds import MOST_FORCED, with_thresholds
from tailrace.schemas.definitions.slo import SloSpec
from tailrace.schemas.durations import MILLISECOND

BOUNDS = (10 * MILLISECOND, 100 * MILLISECOND)


def slo(name: str, sli: dict[str, object]) -> Definition[SloSpec]:
    spec = SloSpec.model_validate({"sli": sli, "objective": 99.9})
    return Definition(DefinitionKey(SLO, "default", name), {}, {}, spec)


def latency(name: str, threshold: str) -> Definition[SloSpec]:
    return slo(name, {"latency": {"of": {"service": "cart"}, "threshold": threshold}})


def test_a_threshold_between_two_bounds_becomes_one() -> None:
    definitions = Definitions.of_all([latency("fast", "50ms"), latency("slow", "2s")])
    expected = (*BOUNDS[:1], 50 * MILLISECOND, BOUNDS[1], 2000 * MILLISECOND)
    assert with_thresholds(BOUNDS, definitions) == expected


def test_a_threshold_that_is_a_bound_or_that_two_slos_share_is_there_once() -> None:
    definitions = Definitions.of_all(
        [latency("a", "100ms"), latency("b", "50ms"), latency("c", "50ms")]
    )
    assert with_thresholds(BOUNDS, definitions) == (BOUNDS[0], 50 * MILLISECOND, BOUNDS[1])


def test_slos_on_anything_else_force_nothing() -> None:
    availability = slo("errors", {"availability": {"of": {"service": "cart"}}})
    assert with_thresholds(BOUNDS, Definitions.of_all([availability])) == BOUNDS
    assert with_thresholds(BOUNDS, Definitions()) == BOUNDS


def test_beyond_the_limit_the_first_by_name_are_forced() -> None:
    many = [latency(f"slo-{number:03}", f"{number + 200}ms") for number in range(MOST_FORCED + 5)]
    forced = with_thresholds(BOUNDS, Definitions.of_all(reversed(many)))
    assert len(forced) == len(BOUNDS) + MOST_FORCED
    assert forced[-1] == (200 + MOST_FORCED - 1) * MILLISECOND
