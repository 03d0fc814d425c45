"""How a function is declared: its name, what it is given, and how its results are made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from tailrace.schemas.ottl.compiled import Compiled, Getter
from tailrace.schemas.ottl.nodes import Node
from tailrace.schemas.ottl.problems import EvaluationError


class Surroundings(Protocol):
    """What compiles the conditions in which functions are called."""

    def value(self, node: Node, /) -> Compiled: ...


class Kind(Protocol):
    """What a parameter takes."""

    def argument(self, node: Node, compiler: Surroundings) -> Any:
        """What the function is given for *node*; Misread if the parameter does not take it."""
        ...


@dataclass(frozen=True, slots=True)
class Parameter:
    """A place for an argument. Its name is as the collector has it, Utf8Safe for utf8_safe."""

    name: str
    kind: Kind
    is_optional: bool = False

    @property
    def spelt(self) -> str:
        """The name as a condition has it."""
        if self.name.isupper():
            return self.name.lower()
        parts = (f"_{letter.lower()}" if letter.isupper() else letter for letter in self.name)
        return "".join(parts).removeprefix("_")


Make: TypeAlias = Callable[..., Getter]
"""From a function's arguments, None where an optional one is missing, to its result's getter.

ValueError if the arguments do not make sense, with the rest of a sentence about the function.
"""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of conditions."""

    name: str
    parameters: tuple[Parameter, ...]
    make: Make
    is_of_spans: bool = False
    """Whether it has a meaning for spans only."""

    @property
    def required(self) -> int:
        """How many arguments it has at least."""
        return sum(not parameter.is_optional for parameter in self.parameters)


class Declared:
    """The functions of a module."""

    def __init__(self) -> None:
        self.functions: list[Function] = []

    def plain(self, name: str, *parameters: Parameter) -> Callable[[Callable[..., Any]], Any]:
        """Declare what is decorated: from the values of arguments to a value."""

        def declare(function: Callable[..., Any]) -> Callable[..., Any]:
            self.functions.append(Function(name, parameters, _evaluated(function)))
            return function

        return declare

    def made(
        self, name: str, *parameters: Parameter, is_of_spans: bool = False
    ) -> Callable[[Make], Make]:
        """Declare what is decorated: from arguments to a getter."""

        def declare(make: Make) -> Make:
            self.functions.append(Function(name, parameters, make, is_of_spans))
            return make

        return declare


def _evaluated(function: Callable[..., Any]) -> Make:
    def make(*arguments: Any) -> Getter:
        if all(not isinstance(each, Compiled) or each.is_constant for each in arguments):
            return _once(function, [_constant(each) for each in arguments])
        getters = tuple(
            each.get if isinstance(each, Compiled) else _always(each) for each in arguments
        )
        if len(getters) == 1:
            (only,) = getters
            return lambda at: function(only(at))
        if len(getters) == 2:
            first, second = getters
            return lambda at: function(first(at), second(at))
        return lambda at: function(*(get(at) for get in getters))

    return make


def _once(function: Callable[..., Any], values: list[Any]) -> Getter:
    """The result of constants, which is an error only where it is asked for."""
    try:
        return _always(function(*values))
    except EvaluationError as error:
        message = str(error)

    def fail(at: Any) -> Any:
        raise EvaluationError(message)

    return fail


def _constant(argument: Any) -> Any:
    return argument.constant if isinstance(argument, Compiled) else argument


def _always(value: Any) -> Getter:
    return lambda at: value
