"""Dimensions: attributes that tell series apart, by name or by pattern."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from tailrace.schemas.config.scalars import listed
from tailrace.schemas.config.section import Remark, Section, problems_at
from tailrace.schemas.config.wording import show
from tailrace.schemas.globs import Glob

RESERVED = ("service.name", "span.name", "span.kind", "status.code")
"""Dimensions that every series has."""


class Dimension(Section):
    """An attribute of the span, else of the resource, else `default`; without that, left out.

    With a `glob`, every attribute of the span and of the resource whose name matches.
    """

    name: Annotated[str, Field(min_length=1)] = ""
    default: str | None = None
    glob: str = ""

    def contradictions(self) -> Iterator[Remark]:
        if self.name and self.glob:
            yield ("glob",), f"is {show(self.glob)} beside a name; keep one of them"
        elif self.glob:
            yield from self._pattern_problems()
        elif not self.name:
            yield ("name",), "is missing; add it"

    def _pattern_problems(self) -> Iterator[Remark]:
        if self.default is not None:
            yield ("default",), "has no meaning for a glob, which matches what is there; remove it"
        try:
            Glob(self.glob)
        except ValueError as error:
            yield ("glob",), f"is {show(self.glob)}, which is no pattern: {error}"


def are_alike(these: Sequence[Dimension], those: Sequence[Dimension]) -> bool:
    """True if both give every span the same labels."""
    return _meaning(these) == _meaning(those)


def _meaning(dimensions: Sequence[Dimension]) -> tuple[dict[str, str | None], set[str]]:
    named = {each.name: each.default for each in dimensions if each.name}
    return named, {each.glob for each in dimensions if each.glob}


def _dimension(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f"is {show(value)}; it must be a mapping, as in {{name: http.route}}")
    return value


def _told_apart(dimensions: tuple[Dimension, ...]) -> tuple[Dimension, ...]:
    problems = [*_taken_names(dimensions), *_taken_patterns(dimensions)]
    if problems:
        raise problems_at(problems)
    return dimensions


def _taken_names(dimensions: tuple[Dimension, ...]) -> Iterator[Remark]:
    first: dict[str, int] = {}
    for index, dimension in enumerate(dimensions):
        name = dimension.name
        if name in RESERVED:
            yield (index, "name"), f'is "{name}", which every series has anyway; remove it'
        elif name and first.setdefault(name, index) != index:
            yield (
                (index, "name"),
                f'is "{name}", as is that of dimensions[{first[name]}]; keep one',
            )


def _taken_patterns(dimensions: tuple[Dimension, ...]) -> Iterator[Remark]:
    names = [*RESERVED, *(each.name for each in dimensions if each.name)]
    for index, dimension in enumerate(dimensions):
        if dimension.glob:
            glob = Glob(dimension.glob)
            taken = next((name for name in names if glob.matches(name)), None)
            if taken is not None:
                yield (
                    (index, "glob"),
                    f'is {show(dimension.glob)}, which matches "{taken}", a dimension anyway; '
                    f"narrow it",
                )


Dimensions = Annotated[
    tuple[Annotated[Dimension, BeforeValidator(_dimension)], ...],
    BeforeValidator(listed),
    AfterValidator(_told_apart),
]
"""Each name once, and none that every series has."""
