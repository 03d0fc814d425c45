"""`metric_labels`: what may be a label of a metric, as what, and how many values it may have."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BeforeValidator, Field

from tailrace.schemas.config.scalars import Flag, Secret, Texts, Whole, listed, regex
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.config.wording import show

NEEDED: Final = ("service.name", "span.name", "span.kind", "status.code")
"""What tells series apart before anybody asks for more; never left out by `allow`."""
_SERVICE: Final = "service.name"
UNLIMITED: Final = (_SERVICE, "tenant", "span.kind", "status.code", "otel.metric.overflow")
"""Labels with few values by nature, or by which limits are counted."""
_OF_EDGES: Final = ("client", "connection_type", "virtual_node")
Asked = tuple[tuple[str | int, ...], str]
"""Where in the config an attribute is asked for, and its name."""
_GROUP: Final = re.compile(r"\\\\|\\([0-9])")


def _expression(pattern: str) -> str:
    regex(pattern)
    return pattern


class Replacement(Section):
    """What of a value `regex` matches becomes `with`, which may name its groups as \\1."""

    regex: Annotated[str, Field(min_length=1), AfterValidator(_expression)]
    with_: Annotated[str, Field(alias="with")]

    def contradictions(self) -> Iterator[Remark]:
        groups = regex(self.regex).groups
        for number in sorted({int(each) for each in _GROUP.findall(self.with_) if each}):
            if number > groups:
                yield ("with",), f"names group {number}; the regex has {groups}"


class Template(Section):
    """How values of `attribute` become fewer. First `replace`, in order, then `ids`.

    `ids`: what looks like an identifier between slashes or blanks becomes {id}.
    """

    attribute: Annotated[str, Field(min_length=1)]
    replace: Annotated[tuple[Replacement, ...], BeforeValidator(listed)] = ()
    ids: Flag = False

    def contradictions(self) -> Iterator[Remark]:
        if not self.replace and not self.ids:
            yield (), "says nothing; add replace, or ids: true"


def _positive(limits: Mapping[str, int]) -> Mapping[str, int]:
    for name, most in limits.items():
        if most < 1:
            raise ValueError(f'says {most} for "{name}"; a limit is 1 or more')
    return limits


class LabelLimits(Section):
    """Of each service of each tenant; unset: no limit. Edges are those of their client.

    `series`: of one metric. `values`: of each label, or of those in `labels` as said there. What
    `labels` says of an attribute holds for edges, too, of each side; so does what it says of a
    label of edges alone.
    """

    series: Annotated[Whole, Field(ge=1)] | None = None
    values: Annotated[Whole, Field(ge=1)] | None = None
    labels: Annotated[dict[str, Whole], AfterValidator(_positive)] | None = None

    def contradictions(self) -> Iterator[Remark]:
        for name in self.labels or ():
            if name == _SERVICE:
                why = "limits are counted by service"
            elif name in UNLIMITED:
                why = "its values are few, and all of them are shown"
            else:
                continue
            yield ("labels", name), f"cannot be limited: {why}; remove it"


class MetricLabelsConfig(Section):
    """Which attributes metrics may show. Names may have `*`.

    `drop` beats `hash`, and both beat `allow`. What they say holds for resources, dimensions, and
    the names of virtual nodes, before anything is written anywhere.
    """

    secrets: ClassVar[frozenset[str]] = frozenset({"hash_key"})

    allow: Texts = ()
    """If any are named, no other attribute is shown, but for what tells every series apart."""
    drop: Texts = ()
    """Attributes that are not shown."""
    hash: Texts = ()
    """Attributes of which 16 hex digits of a hash are shown, so that equal ones can be counted."""
    hash_key: Secret | None = None
    """Without it, who knows what values there may be can find out which is which."""
    templates: Annotated[tuple[Template, ...], BeforeValidator(listed)] = ()
    learn: Texts = ()
    """Attributes whose values are paths: a place in them that has too many becomes {}."""
    limits: LabelLimits = LabelLimits()

    def contradictions(self) -> Iterator[Remark]:
        for key in ("drop", "hash"):
            for index, pattern in enumerate(getattr(self, key)):
                if fnmatchcase(_SERVICE, pattern):
                    yield (
                        (key, index),
                        f'is "{pattern}", which is service.name too; there are no metrics without '
                        f"a service, so name the attributes apart",
                    )
        yield from self._twice("templates", [each.attribute for each in self.templates])

    @staticmethod
    def _twice(key: str, names: list[str]) -> Iterator[Remark]:
        first: dict[str, int] = {}
        for index, name in enumerate(names):
            if first.setdefault(name, index) != index:
                yield (
                    (key, index, "attribute"),
                    f'is "{name}", as is that of {key}[{first[name]}]; put both into one',
                )

    def cautions(self) -> Iterator[Remark]:
        if self.hash and self.hash_key is None:
            yield (
                ("hash_key",),
                "is not set; who knows what values there may be can find out which hash is whose",
            )
        asked: list[Asked] = [
            (("templates", index, "attribute"), each.attribute)
            for index, each in enumerate(self.templates)
        ]
        yield from self.hidden(asked)

    def unmet(self, has_label: Callable[[str], bool]) -> Iterator[Remark]:
        """Tell of what is said of labels that no metrics have."""
        asked: list[Asked] = [(("learn", index), name) for index, name in enumerate(self.learn)]
        asked += ((("limits", "labels", name), name) for name in self.limits.labels or ())
        for path, name in asked:
            if not has_label(name):
                why = (
                    "is a label of edges that has few values, or by which they are counted"
                    if name in _OF_EDGES
                    else "is no label that span_metrics or service_graph gives"
                )
                yield ("metric_labels", *path), f"does nothing: {show(name)} {why}"

    def hidden(self, asked: Iterable[Asked]) -> Iterator[Remark]:
        """Tell of the attributes *asked* for elsewhere, each at its path, that are no labels."""
        if not self.allow and not self.drop:
            return
        from tailrace.schemas.label_rules import LabelRules  # needs this module

        rules = LabelRules(self)
        for path, name in asked:
            if not rules.shows(name):
                # `may_name` asks `drop`, and not `allow`.
                why = "allow does not name" if rules.may_name(name) else "drop leaves out"
                yield path, f"does nothing: metric_labels.{why} {show(name)}"
