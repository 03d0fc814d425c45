"""Templates of messages: a part of Jinja2 that can neither run long nor grow large.

There are expressions, `if`, `for` (at most 200 rounds, one inside another at most), and a list of
filters; there is no `set`, macro, import, power of numbers, or call but `items`, `keys`, `values`,
`get`, `startswith`, `endswith`, `lower` and `upper`. What is made is at most `LONGEST_OUTPUT`
characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any, Final

from jinja2 import ChainableUndefined, Template, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import AfterValidator

LONGEST_TEMPLATE: Final = 16_384
LONGEST_OUTPUT: Final = 65_536
_MOST_ROUNDS: Final = 200
_LONGEST_SEPARATOR: Final = 64
_DEEPEST_LOOP: Final = 2
_METHODS: Final = frozenset(
    ("items", "keys", "values", "get", "startswith", "endswith", "lower", "upper")
)
_FILTERS: Final = (  # none that takes a width, doubles what it escapes, or trusts a text
    *("abs", "capitalize", "count", "default", "dictsort", "escape", "first", "float", "int"),
    *("items", "last", "length", "list", "lower", "max", "min", "reject", "rejectattr", "select"),
    *("selectattr", "sort", "string", "title", "trim", "truncate", "unique", "upper"),
    *("urlencode", "wordcount"),
)
_STATEMENTS: Final = (nodes.For, nodes.If, nodes.Output)


class TemplateError(Exception):
    """A template could not be filled in; the message says why."""


def _few(values: Iterable[Any]) -> Iterable[Any]:
    return islice(values, _MOST_ROUNDS)


def _join(values: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
    if len(separator) > _LONGEST_SEPARATOR:
        raise TemplateError(f"joins with more than {_LONGEST_SEPARATOR} characters")
    found = _few(values)
    if attribute is not None:
        found = (value.get(attribute, "") for value in found)
    return separator.join(_shown(value) for value in found)


def _round(value: float, digits: int = 0) -> float:
    return round(value, max(-15, min(digits, 15)))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _replace(value: Any, old: str, new: str) -> str:
    text = _shown(value)
    if len(text) + text.count(old) * len(new) > LONGEST_OUTPUT:
        raise TemplateError(f"makes more than {LONGEST_OUTPUT} characters")
    return text.replace(old, new)


class _Environment(ImmutableSandboxedEnvironment):
    """Numbers are multiplied, texts are not."""

    intercepted_binops = frozenset(("*", "%"))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not all(isinstance(side, int | float) for side in (left, right)):
            raise TemplateError(f"uses {operator} on what is not a number")
        return super().call_binop(context, operator, left, right)


def _environment(is_html: bool) -> _Environment:
    environment = _Environment(
        autoescape=is_html, undefined=ChainableUndefined, trim_blocks=True, lstrip_blocks=True
    )
    known = environment.filters
    own: dict[str, Callable[..., Any]] = {
        "join": _join,
        "replace": _replace,
        "round": _round,
        _FEW: _few,
    }
    environment.filters = {name: known[name] for name in _FILTERS} | own
    environment.globals.clear()
    return environment


_FEW: Final = "a few of"  # no template can spell it
_ENVIRONMENTS: Final = {is_html: _environment(is_html) for is_html in (False, True)}


@lru_cache(maxsize=1024)
def compiled(source: str, is_html: bool = False) -> Template:
    """Return *source*, ready to be rendered.

    Raises ValueError with the rest of a sentence that begins with the name of the setting.
    """
    if len(source) > LONGEST_TEMPLATE:
        raise ValueError(f"has {len(source)} characters; {LONGEST_TEMPLATE} are the most")
    environment = _ENVIRONMENTS[is_html]
    try:
        tree = environment.parse(source)
        _check(tree, 0)
        return environment.from_string(tree)
    except TemplateSyntaxError as error:
        raise ValueError(f"is no template: line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise ValueError("is no template: it is nested too deeply") from None


def _check(node: nodes.Node, loops: int) -> None:
    """Refuse what could run long; bound every loop."""
    if isinstance(node, nodes.For):
        loops += 1
        if node.recursive or loops > _DEEPEST_LOOP:
            raise _refused(node, "loops may stand one inside another, no deeper")
        node.iter = nodes.Filter(node.iter, _FEW, [], [], None, None, lineno=node.lineno)
    elif isinstance(node, nodes.Stmt) and not isinstance(node, _STATEMENTS):
        raise _refused(node, f"there is no {type(node).__name__.lower()} here; use for and if")
    elif isinstance(node, nodes.Pow):
        raise _refused(node, "there is no ** here")
    elif isinstance(node, nodes.Call) and not _is_harmless(node):
        raise _refused(node, f"only {', '.join(sorted(_METHODS))} can be called")
    for child in node.iter_child_nodes():
        _check(child, loops)


def _is_harmless(call: nodes.Call) -> bool:
    return isinstance(call.node, nodes.Getattr) and call.node.attr in _METHODS


def _refused(node: nodes.Node, why: str) -> TemplateSyntaxError:
    return TemplateSyntaxError(why, node.lineno)


def rendered(source: str, context: Mapping[str, Any], is_html: bool = False) -> str:
    """Return *source* with *context* filled in; raises TemplateError."""
    parts, length = [], 0
    try:
        for part in compiled(source, is_html).generate(context):
            length += len(part)
            if length > LONGEST_OUTPUT:
                raise TemplateError(f"makes more than {LONGEST_OUTPUT} characters")
            parts.append(part)
    except TemplateError:
        raise
    except Exception as error:  # whatever a template does, a message is made
        raise TemplateError(f"{type(error).__name__}: {error}"[:200]) from None
    return "".join(parts)


def _text(source: str) -> str:
    compiled(source)
    return source


def _html(source: str) -> str:
    compiled(source, is_html=True)
    return source


TextTemplate = Annotated[str, AfterValidator(_text)]
HtmlTemplate = Annotated[str, AfterValidator(_html)]
