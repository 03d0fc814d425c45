"""The page about rules: its example is read, its keys are all keys, its figures are true."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml

from tailrace.agents.sampling.rules.samplers import Sampler
from tailrace.schemas import durations
from tailrace.schemas.config import parse
from tailrace.schemas.config.rules import RuleConfig
from tailrace.schemas.config.samplers import SamplerConfig
from tailrace.schemas.config.section import cautions
from tests.agents.sampling.rules.samplers.traffic import KINDS, Seen, zipf
from tests.pages import blocks, code, rows, section

PAGE = "docs/rules.md"
SECOND = 1000


def test_the_example_is_read_without_a_warning() -> None:
    [example] = [block for block in blocks("yaml") if block.name.startswith(PAGE)]
    config = parse(example.text, example.name)

    assert [rule.name for rule in config.tail_sampling.rules] == [
        "keep-errors",
        "no-probes",
        "rest",
    ]
    assert [*cautions(config.tail_sampling)] == []


def _default(cell: str) -> Any:
    found = code(cell)
    return yaml.safe_load(found[0]) if found else None


def test_every_key_of_a_rule_is_listed_with_its_default() -> None:
    table = {
        code(row[0])[0]: _default(row[1]) for row in rows(section(PAGE, "Keys of a rule"), 3)[1:]
    }

    def shown(value: Any) -> Any:
        return [] if value == () else value

    fields = RuleConfig.model_fields
    assert table == {
        name: None if field.is_required() else shown(field.default)
        for name, field in fields.items()
    }


def _samplers() -> Iterator[tuple[str, str, Any]]:
    for model in get_args(SamplerConfig):
        [kind] = get_args(model.model_fields["type"].annotation)
        for name, field in model.model_fields.items():
            yield name, kind, None if field.is_required() else field.default


def test_every_key_of_a_sampler_is_listed_with_its_default_and_its_samplers() -> None:
    kinds = [kind for name, kind, _ in _samplers() if name == "type"]
    listed = set()
    for key, default, of, _ in rows(section(PAGE, "Samplers"), 4)[1:]:
        without = code(of) if of.startswith("all but") else []
        asked = [kind for kind in kinds if kind not in without] if of[:3] == "all" else code(of)
        listed |= {(code(key)[0], kind, str(_told(default))) for kind in asked}

    assert listed == {(name, kind, str(_plain(default))) for name, kind, default in _samplers()}


def _told(cell: str) -> Any:
    value = _default(cell)
    if value in ("weight", "update_frequency"):
        return None
    if isinstance(value, str):
        return durations.parse(value)
    return value


def _plain(value: Any) -> Any:
    if value == ():
        return []
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Measured:
    """What a sampler keeps of steady traffic, once it has settled."""

    def __init__(self, sampler: Sampler) -> None:
        self.come: dict[str, float] = {}
        self.kept: dict[str, float] = {}
        for trace in zipf(150, 1000):
            self._count(trace, sampler.rate(trace.key, trace.spans, trace.at))

    def _count(self, trace: Seen, rate: int) -> None:
        if trace.at >= 75 * SECOND:
            self.come[trace.key] = self.come.get(trace.key, 0) + 1
            self.kept[trace.key] = self.kept.get(trace.key, 0) + 1 / rate

    @property
    def a_second(self) -> float:
        return sum(self.kept.values()) / 75

    @property
    def one_in(self) -> float:
        return sum(self.come.values()) / sum(self.kept.values())

    def one_in_of(self, key: str) -> float:
        return self.come[key] / self.kept[key]


def _number(cell: str) -> float:
    return float(cell.removeprefix("one in ").removesuffix(" a second").removesuffix(" %"))


def test_what_samplers_are_said_to_keep_of_each_key_they_do() -> None:
    table = rows(section(PAGE, "What to expect"), 6)[1:]
    for cell, goal, kept, *of_keys in table:
        [kind] = code(cell)
        measured = Measured(KINDS[kind](round(_number(goal))))
        total = measured.one_in if kind == "ema_dynamic" else measured.a_second
        shares = [measured.one_in_of(key) for key in ("key 001", "key 010", "key 100")]

        assert _number(kept) == pytest.approx(total, rel=0.01)
        assert [_number(share) for share in of_keys] == pytest.approx(shares, rel=0.04)
    assert len(table) == 3


def test_how_near_samplers_are_said_to_come_to_their_goals_they_do() -> None:
    table = rows(section(PAGE, "What to expect"), 4)[1:]
    for goals, dynamic, *of_goal in table:
        rate, a_second = (round(_number(goal)) for goal in goals.split(", or "))
        measured = [
            Measured(KINDS[kind](a_second)).a_second / a_second * 100
            for kind in ("ema_throughput", "windowed_throughput")
        ]

        assert _number(dynamic) == pytest.approx(Measured(KINDS["ema_dynamic"](rate)).one_in, 0.02)
        assert [_number(share) for share in of_goal] == pytest.approx(measured, abs=1)
    assert len(table) == 4
