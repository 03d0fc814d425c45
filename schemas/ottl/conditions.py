"""Lists of conditions, as the policy `ottl_condition` has them: one that is true is enough."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, TypeAlias

from tailrace.schemas.ottl import readers
from tailrace.schemas.ottl.columns import Column, ColumnReaders, NotInColumns
from tailrace.schemas.ottl.compiled import Getter
from tailrace.schemas.ottl.compiler import Compiler
from tailrace.schemas.ottl.grammar import parse
from tailrace.schemas.ottl.nodes import Node
from tailrace.schemas.ottl.problems import EvaluationError, Misread, OttlError, OttlProblem
from tailrace.schemas.ottl.subjects import Context, Subject

ErrorMode: TypeAlias = Literal["ignore", "silent", "propagate"]


class Conditions:
    """Conditions of one context, made by `parse_conditions`. Equal if all that made them is."""

    def __init__(
        self,
        texts: tuple[str, ...],
        context: Context,
        error_mode: ErrorMode,
        trees: Sequence[Node],
        getters: Sequence[Getter],
    ) -> None:
        self.texts = texts
        self.context: Context = context
        self.error_mode: ErrorMode = error_mode
        self._trees = trees
        self._getters = getters

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Conditions) and self._made_of == other._made_of

    def __hash__(self) -> int:
        return hash(self._made_of)

    @property
    def _made_of(self) -> tuple[tuple[str, ...], Context, ErrorMode]:
        return self.texts, self.context, self.error_mode

    @property
    def columns(self) -> tuple[Column, ...] | None:
        """What `holds_of` must be told, if that is all that the conditions look at; else None."""
        return self._of_columns[0] if self._of_columns is not None else None

    def holds(self, subject: Subject) -> bool:
        """Whether a condition is true; with the mode propagate, EvaluationError if one before it
        has no answer. Other modes go on with the next condition, and it is raised if none is true.
        """
        return self._first(self._getters, subject)

    def holds_of(self, row: Sequence[Any]) -> bool:
        """As `holds`, of a span with these values, one for each of `columns`."""
        if self._of_columns is None:
            raise ValueError("the conditions look at more than columns")
        return self._first(self._of_columns[1], row)

    def _first(self, getters: Sequence[Getter], at: Any) -> bool:
        failure: EvaluationError | None = None
        for get in getters:
            try:
                if get(at):
                    return True
            except EvaluationError as error:
                if self.error_mode == "propagate":
                    raise
                failure = error
        if failure is not None:
            raise failure
        return False

    @cached_property
    def _of_columns(self) -> tuple[tuple[Column, ...], list[Getter]] | None:
        if self.context != "span":
            return None
        reads = ColumnReaders()
        compiler = Compiler(self.context, reads.read_place, reads.read_root)
        try:
            getters = [compiler.condition(tree).get for tree in self._trees]
        except NotInColumns:
            return None
        return reads.columns, getters


def parse_conditions(
    texts: Sequence[str], context: Context, error_mode: ErrorMode = "ignore"
) -> Conditions:
    """*texts* as conditions; OttlError with every problem of every text."""
    problems: list[OttlProblem] = []
    trees: list[Node] = []
    getters: list[Getter] = []
    for index, text in enumerate(texts):
        compiler = Compiler(context, readers.read_place, readers.read_root)
        found = compiler.problems
        try:
            trees.append(parse(text))
            getters.append(compiler.condition(trees[-1]).get)
        except Misread as problem:
            found.append(problem)
        problems += [OttlProblem(index, each.position, str(each)) for each in found]
    if problems:
        raise OttlError(problems)
    return Conditions(tuple(texts), context, error_mode, trees, getters)
