"""The grammar of conditions: text to tree.

It is wider than OTTL, so that a wrong condition gets an error in words: it lets a value stand
where only a condition may, and the other way round; `compiler` refuses that.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedToken, VisitError

from tailrace.schemas.ottl.literals import NotALiteral, bytes_of, double_of, integer_of, text_of
from tailrace.schemas.ottl.nodes import (
    Argument,
    Call,
    Chain,
    Comparison,
    Group,
    Items,
    Junction,
    Literal,
    Mapping,
    Name,
    Node,
    Not,
    Path,
    Segment,
    Sign,
)
from tailrace.schemas.ottl.problems import Misread

DEEPEST: Final = 50
"""As many brackets may be open at once."""

_GRAMMAR: Final = r"""
    ?start: disjunction
    ?disjunction: conjunction
        | conjunction (_OR conjunction)+                -> junction_or
    ?conjunction: negation
        | negation (_AND negation)+                     -> junction_and
    ?negation: comparison
        | _NOT comparison                                -> negated
    ?comparison: sum
        | sum COMPARISON sum                            -> compared
    ?sum: product
        | product (SIGN product)+                       -> chain_sum
    ?product: signed
        | signed (MULTIPLICATION signed)+               -> chain_product
    ?signed: atom
        | SIGN atom                                     -> signed
    ?atom: literal
        | NAME                                          -> name
        | path
        | NAME "(" arguments ")" key*                   -> call
        | WORD "(" arguments ")" key*                   -> call
        | "(" disjunction ")"                           -> group
        | "[" (value ("," value)*)? "]"                 -> items
        | "{" (entry ","?)* "}"                         -> mapping
    ?value: disjunction
    entry: TEXT ":" value
    arguments: (argument ("," argument)*)?
    argument: value
        | WORD "=" value                                -> named
    path: segment ("." segment)*
    segment: WORD key*
    key: "[" value "]"
    literal: NIL | BOOLEAN | TEXT | BYTES | FLOAT | INTEGER

    BYTES.9: /0x[a-fA-F0-9]+/
    FLOAT.8: /([0-9]+\.[0-9]*|[0-9]*\.[0-9]+)([eE][-+]?[0-9]+)?/
    INTEGER.7: /[0-9]+/
    TEXT.6: /"(\\.|[^\\"])*"/
    NIL.5: /nil(?![A-Za-z0-9_])/
    _NOT.5: /not(?![A-Za-z0-9_])/
    _OR.5: /or(?![A-Za-z0-9_])/
    _AND.5: /and(?![A-Za-z0-9_])/
    BOOLEAN.5: /(true|false)(?![A-Za-z0-9_])/
    COMPARISON.4: /==|!=|>=|<=|>|</
    SIGN: /[+-]/
    MULTIPLICATION: /[*\/]/
    NAME: /[A-Z][A-Za-z0-9_]*/
    WORD: /[a-z][A-Za-z0-9_]*/
    %ignore /[ \t\r\n\f]+/
"""


@v_args(meta=True)
class _Nodes(Transformer[Token, Node]):
    """From the parser's tree to ours."""

    def junction_or(self, meta: Any, operands: list[Any]) -> Node:
        return Junction(operands[0].position, "or", tuple(operands))

    def junction_and(self, meta: Any, operands: list[Any]) -> Node:
        return Junction(operands[0].position, "and", tuple(operands))

    def negated(self, meta: Any, operands: list[Any]) -> Node:
        return Not(meta.start_pos + 1, operands[0])

    def compared(self, meta: Any, parts: list[Any]) -> Node:
        return Comparison(_position(parts[1]), parts[0], str(parts[1]), parts[2])

    def chain_sum(self, meta: Any, parts: list[Any]) -> Node:
        return Chain(parts[0].position, "sum", parts[0], _pairs(parts))

    def chain_product(self, meta: Any, parts: list[Any]) -> Node:
        return Chain(parts[0].position, "product", parts[0], _pairs(parts))

    def signed(self, meta: Any, parts: list[Any]) -> Node:
        return Sign(_position(parts[0]), str(parts[0]), parts[1])

    def name(self, meta: Any, parts: list[Any]) -> Node:
        return Name(_position(parts[0]), str(parts[0]))

    def call(self, meta: Any, parts: list[Any]) -> Node:
        return Call(_position(parts[0]), str(parts[0]), tuple(parts[1]), tuple(parts[2:]))

    def group(self, meta: Any, parts: list[Any]) -> Node:
        return Group(meta.start_pos + 1, parts[0])

    def items(self, meta: Any, parts: list[Any]) -> Node:
        return Items(meta.start_pos + 1, tuple(parts))

    def mapping(self, meta: Any, parts: list[Any]) -> Node:
        return Mapping(meta.start_pos + 1, tuple(parts))

    def entry(self, meta: Any, parts: list[Any]) -> tuple[str, Node]:
        return _meant(text_of, parts[0]), parts[1]

    def arguments(self, meta: Any, parts: list[Any]) -> list[Any]:
        return parts

    def argument(self, meta: Any, parts: list[Any]) -> Argument:
        return Argument(parts[0].position, None, parts[0])

    def named(self, meta: Any, parts: list[Any]) -> Argument:
        return Argument(_position(parts[0]), str(parts[0]), parts[1])

    def path(self, meta: Any, parts: list[Any]) -> Node:
        return Path(parts[0].position, tuple(parts))

    def segment(self, meta: Any, parts: list[Any]) -> Segment:
        return Segment(_position(parts[0]), str(parts[0]), tuple(parts[1:]))

    def key(self, meta: Any, parts: list[Any]) -> Node:
        node: Node = parts[0]
        return node

    def literal(self, meta: Any, parts: list[Any]) -> Node:
        return Literal(_position(parts[0]), _meant(_LITERALS[parts[0].type], parts[0]))


_LITERALS: Final[dict[str, Any]] = {
    "NIL": lambda _: None,
    "BOOLEAN": lambda written: written == "true",
    "TEXT": text_of,
    "BYTES": bytes_of,
    "FLOAT": double_of,
    "INTEGER": integer_of,
}


def _meant(read: Callable[[str], Any], token: Token) -> Any:
    try:
        return read(str(token))
    except NotALiteral as error:
        position = _position(token)
        raise Misread(position, f"has {token} at character {position}, which {error}") from None


def _position(token: Token) -> int:
    return (token.start_pos or 0) + 1


def _pairs(parts: list[Any]) -> tuple[tuple[str, Node], ...]:
    return tuple(zip(map(str, parts[1::2]), parts[2::2], strict=True))


def parse(text: str) -> Node:
    """The tree of *text*; Misread if it has none."""
    _check_depth(text)
    try:
        tree = _parser().parse(text)
    except UnexpectedCharacters as error:
        raise _unreadable(text, error.pos_in_stream or 0) from None
    except UnexpectedToken as error:
        raise _misplaced(text, error) from None
    try:
        node: Node = _Nodes().transform(tree)
    except VisitError as error:
        raise error.orig_exc from None
    return node


@cache
def _parser() -> Any:
    return Lark(_GRAMMAR, parser="lalr", lexer="basic", propagate_positions=True)


def _check_depth(text: str) -> None:
    depth = 0
    for found in re.finditer(r'"(?:\\.|[^\\"])*"|[(\[{]|[)\]}]', text):
        if found[0] in _OPENING:
            depth += 1
            if depth > DEEPEST:
                raise Misread(found.start() + 1, f"has more than {DEEPEST} open brackets")
        elif found[0] in _CLOSING:
            depth -= 1


def _unreadable(text: str, offset: int) -> Misread:
    character = text[offset]
    remedy = next(
        (remedy for sign, remedy in _REMEDIES.items() if text.startswith(sign, offset)),
        "no part of the language begins so",
    )
    if character == '"':
        remedy = "the text is not closed"
    return Misread(offset + 1, f"has {character} at character {offset + 1}: {remedy}")


def _misplaced(text: str, error: UnexpectedToken) -> Misread:
    wants_value = "NIL" in error.accepts or "NIL" in error.expected
    wanted = "a value" if wants_value else "an operator, a closing bracket or the end"
    if error.token.type == "$END":
        if not text.strip():
            return Misread(1, "is empty; give it a condition")
        return Misread(len(text) + 1, f"ends where {wanted} should follow")
    position = _position(error.token)
    message = f"has {error.token} at character {position}, where {wanted} should be"
    remedy = _REMEDIES.get(str(error.token))
    return Misread(position, f"{message}: {remedy}" if remedy else message)


_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")
_REMEDIES: Final = {
    "=": "write == to compare",
    "&": "write and",
    "|": "write or",
    "!": "write not, or != to compare",
    "'": "texts are in double quotes",
    "%": "there is no remainder",
    "`": "texts are in double quotes",
    "not": "put what is denied twice in parentheses",
    "in": "write ContainsValue(list, item), or compare with each item",
    "AND": "and is in small letters",
    "OR": "or is in small letters",
    "NOT": "not is in small letters",
}
