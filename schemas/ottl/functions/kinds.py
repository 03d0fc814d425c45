"""What parameters take: a value that is of a type, or can be made one, or one written out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tailrace.schemas.ottl import nodes
from tailrace.schemas.ottl.compiled import NOT_CONSTANT, Compiled
from tailrace.schemas.ottl.functions import conversions
from tailrace.schemas.ottl.functions.declaration import Kind, Parameter, Surroundings
from tailrace.schemas.ottl.nodes import Node
from tailrace.schemas.ottl.problems import EvaluationError, Misread


@dataclass(frozen=True, slots=True)
class Value:
    """Any expression; its value is what *read* makes of it. What is written out is read at once."""

    read: Callable[[Any], Any]
    is_raw: bool = False
    """Whether the function gets the value as it was, and what is written out is only checked."""

    def argument(self, node: Node, compiler: Surroundings) -> Compiled:
        compiled = compiler.value(node)
        read, get = self.read, compiled.get
        if compiled.is_constant:
            try:
                value = read(compiled.constant)
            except EvaluationError as error:
                raise Misread(node.position, str(error)) from None
            return compiled if self.is_raw else Compiled(lambda at: value, value)
        return compiled if self.is_raw else Compiled(lambda at: read(get(at)), NOT_CONSTANT)


@dataclass(frozen=True, slots=True)
class Written:
    """Something written out of one type."""

    kind: type
    what: str

    def argument(self, node: Node, compiler: Surroundings) -> Any:
        if isinstance(node, nodes.Literal) and type(node.value) is self.kind:
            return node.value
        raise Misread(node.position, f"it must be {self.what} that is written out")


@dataclass(frozen=True, slots=True)
class Several:
    """A list that is written out, each item of one kind."""

    item: Kind

    def argument(self, node: Node, compiler: Surroundings) -> list[Any]:
        if not isinstance(node, nodes.Items):
            raise Misread(node.position, "it must be a list that is written out, as in [name]")
        return [self.item.argument(each, compiler) for each in node.items]


ANY: Final = Value(lambda value: value)
TEXT: Final = Value(conversions.text)
TEXT_LIKE: Final = Value(conversions.text_like)
INTEGER: Final = Value(conversions.integer)
INTEGER_LIKE: Final = Value(conversions.integer_like)
DOUBLE_LIKE: Final = Value(conversions.double_like)
BOOLEAN_LIKE: Final = Value(conversions.boolean_like)
BYTES_LIKE: Final = Value(conversions.bytes_like)
MAP: Final = Value(conversions.map_)
LIST: Final = Value(conversions.list_)
MOMENT: Final = Value(conversions.moment)
DURATION: Final = Value(conversions.duration)
WRITTEN_TEXT: Final = Written(str, "a text")
WRITTEN_BOOLEAN: Final = Written(bool, "true or false")


def required(name: str, kind: Kind = TEXT) -> Parameter:
    """A parameter that must be given."""
    return Parameter(name, kind)


def optional(name: str, kind: Kind) -> Parameter:
    """A parameter that need not be given."""
    return Parameter(name, kind, is_optional=True)
