"""What the config asks of RED; what it then counts is told by the tests of `agents/red`."""

import pytest

from tailrace.agents.red.dimensions import LabelSet
from tailrace.schemas.config import parse
from tailrace.streams.red import red_settings


def test_without_a_config_durations_tell_calls_and_nothing_else_is_counted() -> None:
    settings = red_settings(parse("{}", "test.yaml", {}))
    assert settings.families == {"red": LabelSet()}
    assert settings.names("http.method") == ("http.method", "http.request.method")
    assert (settings.asks_for_scopes, settings.asks_for_events) == (False, False)
    assert (settings.tells_tenant, settings.tells_method, settings.rules) == (False, False, None)


@pytest.mark.parametrize(
    ("dimensions", "calls", "named"),
    [
        pytest.param("{name: a, default: x}", "{name: a}", ("a", "x"), id="the first has one"),
        pytest.param("{name: a}", "{name: a, default: y}", ("a", "y"), id="the last has one"),
        pytest.param(
            "{name: a, default: x}", "{name: a, default: y}", ("a", "y"), id="both have one"
        ),
    ],
)
def test_a_name_that_comes_twice_is_one_label(
    dimensions: str, calls: str, named: tuple[str, str]
) -> None:
    text = f"span_metrics: {{dimensions: [{dimensions}], calls_dimensions: [{calls}]}}"
    settings = red_settings(parse(text, "test.yaml", {}))
    assert settings.calls == LabelSet((named,))


def test_tenancy_and_rules_for_labels_reach_it() -> None:
    text = "{tenancy: {header: x-tenant}, metric_labels: {drop: [user.id]}}"
    settings = red_settings(parse(text, "test.yaml", {}))
    assert settings.tells_tenant
    assert settings.rules is not None
    assert not settings.rules.shows("user.id")
