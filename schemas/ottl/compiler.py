"""From a tree to what can be evaluated, with every problem on the way."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from tailrace.schemas.ottl import nodes
from tailrace.schemas.ottl.arithmetic import calculate, negated
from tailrace.schemas.ottl.calls import called
from tailrace.schemas.ottl.comparison import OPERATORS, compare
from tailrace.schemas.ottl.compiled import Compiled, Getter, Key, constant
from tailrace.schemas.ottl.containers import listed_values, mapped_values
from tailrace.schemas.ottl.enums import ENUMS
from tailrace.schemas.ottl.functions.registry import FUNCTIONS
from tailrace.schemas.ottl.indexing import indexed
from tailrace.schemas.ottl.junctions import all_of, any_of, boolean, denied
from tailrace.schemas.ottl.nodes import Node
from tailrace.schemas.ottl.paths import Place, place_of
from tailrace.schemas.ottl.problems import EvaluationError, Misread, listed
from tailrace.schemas.ottl.subjects import Context
from tailrace.schemas.ottl.values import kind_of

PlaceGetter = Callable[[Place, Sequence[Key]], Getter]
"""How a part of a span is read from what a condition is asked about."""

_NAMES: Final[dict[type, str]] = {
    nodes.Name: "an enum",
    nodes.Path: "a path",
    nodes.Call: "a function",
    nodes.Items: "a list",
    nodes.Mapping: "a map",
    nodes.Group: "something in parentheses",
    nodes.Sign: "a sum",
    nodes.Chain: "a sum",
    nodes.Comparison: "a comparison",
    nodes.Not: "not",
    nodes.Junction: "and or or",
}
_CONDITIONS: Final = (nodes.Comparison, nodes.Not, nodes.Junction)
_NOTHING: Final = Compiled(lambda at: None)


class Compiler:
    """Compiles conditions of one context. `problems` has what was wrong with them.

    Where there are problems, what is returned means nothing.
    """

    def __init__(
        self, context: Context, read: PlaceGetter, read_root: Callable[[], Getter]
    ) -> None:
        self.context: Final[Context] = context
        self.read_root: Final = read_root
        self.problems: list[Misread] = []
        self._read = read

    def condition(self, node: Node) -> Compiled:
        """*node* as a condition."""
        if isinstance(node, nodes.Junction):
            operands = [self.condition(each) for each in node.operands]
            return all_of(operands) if node.kind == "and" else any_of(operands)
        if isinstance(node, nodes.Not):
            return denied(self.condition(node.operand))
        if isinstance(node, nodes.Group):
            return self.condition(node.inner)
        if isinstance(node, nodes.Comparison):
            return self._comparison(node)
        if isinstance(node, nodes.Literal) and isinstance(node.value, bool):
            return constant(node.value)
        if isinstance(node, nodes.Call):
            return boolean(self.value(node))
        if isinstance(node, nodes.Name) and node.name not in ENUMS:
            return self._enum(node)
        return self._misplaced(node, "a condition", ": compare it, as in == true")

    def value(self, node: Node) -> Compiled:
        """*node* as a value."""
        if isinstance(node, nodes.Literal):
            return constant(node.value)
        if isinstance(node, nodes.Name):
            return self._enum(node)
        if isinstance(node, nodes.Items):
            return listed_values([self.value(each) for each in node.items])
        if isinstance(node, nodes.Mapping):
            return self._mapping(node)
        if isinstance(node, nodes.Group):
            return self.number(node.inner)
        if isinstance(node, _CONDITIONS):
            return self._misplaced(node, "a value", "")
        return self.number(node)

    def number(self, node: Node) -> Compiled:
        """*node* as an operand of + - * /."""
        if isinstance(node, nodes.Literal) and type(node.value) in (int, float):
            return constant(node.value)
        if isinstance(node, nodes.Group):
            return self.number(node.inner)
        if isinstance(node, nodes.Path):
            return self._path(node)
        if isinstance(node, nodes.Call):
            return self._call(node)
        if isinstance(node, nodes.Sign):
            return self._sign(node)
        if isinstance(node, nodes.Chain):
            return self._chain(node)
        return self._misplaced(node, "a number, a path or a function", "")

    def refuse(self, position: int, message: str) -> Compiled:
        """Note a problem."""
        self.problems.append(Misread(position, message))
        return _NOTHING

    def keys(self, written: Sequence[Node]) -> list[Key]:
        """What indexes a value."""
        keys = []
        for node in written:
            if isinstance(node, nodes.Literal) and type(node.value) in (int, str):
                keys.append(Key(False, constant(node.value).get))
            else:
                keys.append(Key(True, self.number(node).get))
        return keys

    def _misplaced(self, node: Node, wanted: str, remedy: str) -> Compiled:
        return self.refuse(
            node.position,
            f"has {_name(node)} at character {node.position}, where {wanted} should be{remedy}",
        )

    def _comparison(self, node: nodes.Comparison) -> Compiled:
        left, right = self.value(node.left), self.value(node.right)
        operator = OPERATORS[node.operator]
        if left.is_constant and right.is_constant:
            return constant(compare(left.constant, right.constant, operator))
        first, second = left.get, right.get
        return Compiled(lambda at: compare(first(at), second(at), operator))

    def _enum(self, node: nodes.Name) -> Compiled:
        if node.name in FUNCTIONS:
            return self.refuse(
                node.position,
                f"has {node.name} at character {node.position}, which is a function; "
                f"write {node.name}()",
            )
        if node.name not in ENUMS:
            return self.refuse(
                node.position,
                f"has {node.name} at character {node.position}, which is no enum; "
                f"{listed(node.name, ENUMS)}",
            )
        return constant(ENUMS[node.name])

    def _mapping(self, node: nodes.Mapping) -> Compiled:
        try:
            return mapped_values({key: self.value(each) for key, each in node.items})
        except EvaluationError as error:
            return self.refuse(
                node.position, f"has a map at character {node.position} that cannot be: {error}"
            )

    def _path(self, node: nodes.Path) -> Compiled:
        keys = [key for segment in node.segments for key in self.keys(segment.keys)]
        try:
            return Compiled(self._read(place_of(node, self.context), keys))
        except Misread as problem:
            return self.refuse(problem.position, str(problem))

    def _call(self, node: nodes.Call) -> Compiled:
        keys = self.keys(node.keys)
        get = called(node, self)
        return Compiled(indexed(get, keys))

    def _sign(self, node: nodes.Sign) -> Compiled:
        operand = self.number(node.operand)
        if node.operator == "+":
            return operand
        if isinstance(node.operand, nodes.Literal) and operand.is_constant:
            return constant(-operand.constant)
        get = operand.get
        return Compiled(lambda at: negated(get(at)))

    def _chain(self, node: nodes.Chain) -> Compiled:
        first = self.number(node.first).get
        rest = [(operator, self.number(operand).get) for operator, operand in node.rest]

        def get(at: Any) -> Any:
            result = first(at)
            for operator, operand in rest:
                result = calculate(result, operator, operand(at))
            return result

        return Compiled(get)


def _name(node: Node) -> str:
    return kind_of(node.value) if isinstance(node, nodes.Literal) else _NAMES[type(node)]
