"""Calls of functions: what is called, and whether its arguments fit."""

from collections.abc import Callable
from typing import Any, Protocol

from tailrace.schemas.ottl import nodes
from tailrace.schemas.ottl.compiled import Compiled, Getter
from tailrace.schemas.ottl.functions.case import camel
from tailrace.schemas.ottl.functions.declaration import Function
from tailrace.schemas.ottl.functions.registry import FUNCTIONS, NOT_YET, REFUSED
from tailrace.schemas.ottl.nodes import Node
from tailrace.schemas.ottl.problems import Misread, listed
from tailrace.schemas.ottl.subjects import Context


class Surroundings(Protocol):
    """What compiles the condition in which a function is called."""

    @property
    def context(self) -> Context: ...
    @property
    def read_root(self) -> Callable[[], Getter]: ...

    def value(self, node: Node, /) -> Compiled: ...
    def refuse(self, position: int, message: str, /) -> Compiled: ...


def called(call: nodes.Call, compiler: Surroundings) -> Getter:
    """The result of *call*; problems are noted with *compiler*."""
    try:
        function = _function(call, compiler.context)
        arguments = _arguments(call, function, compiler)
        if function.is_of_spans:
            return function.make(compiler.read_root())
        return function.make(*arguments)
    except Misread as problem:
        return compiler.refuse(problem.position, str(problem)).get
    except ValueError as error:
        at = f"calls {call.name} at character {call.position}, which"
        return compiler.refuse(call.position, f"{at} {error}").get


def _function(call: nodes.Call, context: Context) -> Function:
    at = f"calls {call.name} at character {call.position}"
    if call.name in REFUSED:
        raise Misread(call.position, f"{at}, which is not supported: {REFUSED[call.name]}")
    if call.name in NOT_YET:
        raise Misread(call.position, f"{at}, which is not yet supported")
    function = FUNCTIONS.get(call.name)
    if function is not None and (context == "span" or not function.is_of_spans):
        return function
    if function is not None:
        raise Misread(call.position, f"{at}, which is for the conditions of spans only")
    if call.name[0].islower() and call.name.lower() not in map(str.lower, FUNCTIONS):
        raise Misread(
            call.position,
            f"{at}: conditions call functions that begin with a capital letter; those that "
            f"begin with a small one change data",
        )
    known = [name for name, each in FUNCTIONS.items() if context == "span" or not each.is_of_spans]
    told = listed(call.name, known, len(known))
    raise Misread(call.position, f"{at}, which is no function; {told}")


def _arguments(call: nodes.Call, function: Function, compiler: Surroundings) -> list[Any]:
    places = _places(call, function)
    arguments: list[Any] = []
    for index, parameter in enumerate(function.parameters):
        node = places.get(index)
        if node is None:
            if not parameter.is_optional:
                raise Misread(call.position, f"{_at(call)} without {parameter.spelt}")
            arguments.append(None)
            continue
        try:
            arguments.append(parameter.kind.argument(node, compiler))
        except Misread as problem:
            raise Misread(
                problem.position,
                f"{_at(call)} with {parameter.spelt} at character {problem.position}: {problem}",
            ) from None
    return arguments


def _places(call: nodes.Call, function: Function) -> dict[int, Node]:
    names = [parameter.name for parameter in function.parameters]
    spelt = [parameter.spelt for parameter in function.parameters]
    count = len(call.arguments)
    if not function.required <= count <= len(names):
        most = f" to {len(names)}" if function.required < len(names) else ""
        known = f": {', '.join(spelt)}" if spelt else ""
        given = f"{count} argument{'s' * (count != 1)}"
        raise Misread(
            call.position,
            f"{_at(call)} with {given}; it has {function.required}{most}{known}",
        )
    places: dict[int, Node] = {}
    is_named = False
    for index, argument in enumerate(call.arguments):
        if argument.name is not None:
            is_named = True
            name = argument.name if argument.name in spelt else camel(argument.name)
            if name not in (*names, *spelt):
                raise Misread(
                    argument.position,
                    f"{_at(call)} with {argument.name} at character {argument.position}, which "
                    f"it has not; it has {', '.join(spelt)}",
                )
            index = spelt.index(name) if name in spelt else names.index(name)
        elif is_named:
            raise Misread(
                argument.position,
                f"{_at(call)} with an argument at character {argument.position} that has no "
                f"name, after one that has; name it",
            )
        if index in places:
            raise Misread(argument.position, f"{_at(call)} with {spelt[index]} twice")
        places[index] = argument.value
    return places


def _at(call: nodes.Call) -> str:
    return f"calls {call.name} at character {call.position}"
