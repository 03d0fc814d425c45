"""A config document as plain values: YAML or JSON in, `${ENV}` filled in.

Scalars mean what they mean to the collector (YAML 1.2 and a few older numbers): `yes` and `on` are
text, `1e3` is a number, `1:30` is text. A key may stand once in a mapping; merge keys work.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from tailrace.schemas.errors import ConfigError, Problem

Path = tuple[str | int, ...]
_MOST_DIGITS = 1000
_MOST_REPEATED = 20_000
"""So many values may come by aliases of YAML; a few lines could mean more than fits anywhere."""
_TOO_DEEP = "is nested too deeply; no setting is"
_TOO_MUCH = "repeats too much by aliases; write it out"


class Substituted(str):
    """Text that was a whole `${ENV}`: where a number or a boolean is wanted, it is read as one."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """YAML with the scalars of the collector."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


_TAG = "tag:yaml.org,2002:"
_SCALARS = (
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("bool", r"true|True|TRUE|false|False|FALSE", tuple("tTfF")),
    ("int", r"[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)", tuple("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        tuple("-+.0123456789"),
    ),
    ("merge", r"<<", ("<",)),
)
for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), list(_first))


def _int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")
    if len(text) > _MOST_DIGITS:
        raise yaml.constructor.ConstructorError(
            None, None, f"a number of {len(text)} digits", node.start_mark
        )
    older_octal = re.fullmatch(r"[-+]?0[0-7]+", text)
    if older_octal:
        return int(text, 8)
    return int(text, 10) if text.lstrip("-+").isdigit() else int(text, 0)


_Loader.add_constructor(_TAG + "int", _int)


def scalar(text: str) -> Any:
    """What *text* means as a plain YAML scalar."""
    try:
        value = yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
    except yaml.YAMLError:
        return text
    return text if isinstance(value, list | dict) else value


def read(text: str, source: str) -> Any:
    """The document in *text*; *source* names it in errors.

    Raises ConfigError with the line and column of what is not YAML, and of every key that stands
    twice.
    """
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")  # JSON may be indented with tabs, YAML may not
    loader = None
    try:
        if _repeats_too_much(text):
            raise ConfigError([Problem(source, _TOO_MUCH)])
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return {}
        problems = list(_ill_formed(node, source, ()))
        if problems:
            raise ConfigError(problems)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ConfigError([_not_yaml(error, source)]) from None
    except RecursionError:
        raise ConfigError([Problem(source, _TOO_DEEP)]) from None
    finally:
        if loader is not None:
            loader.dispose()


def read_all(text: str, source: str) -> Iterator[tuple[Any, Sequence[Problem]]]:
    """Yield each document in *text*, or None and what is wrong with it; none for an empty one.

    Nothing comes after what is not YAML. No value of the text is in a problem.
    """
    if text.lstrip().startswith(("{", "[")):
        text = text.replace("\t", " ")  # as in `read`
    loader = None
    try:
        if _repeats_too_much(text):
            yield None, [Problem(source, _TOO_MUCH)]
            return
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is None or node.tag == f"{_TAG}null":
                continue
            problems = list(_ill_formed(node, source, ()))
            yield (None, problems) if problems else (_joined(loader.construct_document(node)), ())
    except yaml.YAMLError as error:
        problem = _not_yaml(error, source)
        hidden = _QUOTED.sub("(not shown)", problem.message)
        yield None, [Problem(problem.path, hidden)]
    except RecursionError:
        yield None, [Problem(source, _TOO_DEEP)]
    finally:
        if loader is not None:
            loader.dispose()


class _Dumper(yaml.SafeDumper):
    """YAML without anchors, whose plain text is text to other readers too."""

    yaml_implicit_resolvers = {
        first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *ours]
        for first, ours in _Loader.yaml_implicit_resolvers.items()
    } | {
        first: theirs
        for first, theirs in yaml.SafeDumper.yaml_implicit_resolvers.items()
        if first not in _Loader.yaml_implicit_resolvers
    }

    def ignore_aliases(self, data: Any) -> bool:
        return True


def write(value: Any) -> str:
    """Return *value* as YAML that `read` reads back."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _joined(value: Any) -> Any:
    """*value* with characters that JSON escapes as two surrogates made one."""
    if isinstance(value, dict):
        return {_joined(key): _joined(item) for key, item in value.items()}
    if isinstance(value, list):
        return list(map(_joined, value))
    if isinstance(value, str) and _SURROGATE.search(value):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return value


_SURROGATE = re.compile(r"[\ud800-\udfff]")
_QUOTED = re.compile(r"'(?!<)[^']{2,}'")
"""Names in PyYAML's messages: of a tag or an alias, which a secret may look like."""


def _not_yaml(error: yaml.YAMLError, source: str) -> Problem:
    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem(source, f"is not valid YAML: {error}")
    mark = error.problem_mark or error.context_mark
    what = " ".join(filter(None, (error.context, error.problem)))
    return Problem(_place(mark, source), f"is not valid YAML: {what}")


def _place(mark: yaml.Mark | None, source: str) -> str:
    if mark is None:
        return source
    return f"{source}, line {mark.line + 1}, column {mark.column + 1},"


def _ill_formed(node: yaml.Node, source: str, within: tuple[yaml.Node, ...]) -> Iterator[Problem]:
    """Keys that stand twice, and nodes that contain themselves."""
    if node in within:
        yield Problem(_place(node.start_mark, source), "contains itself; write it out")
        return
    within = (*within, node)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _ill_formed(item, source, within)
    if isinstance(node, yaml.MappingNode):
        seen: dict[tuple[str, str], yaml.Mark] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                first = seen.setdefault((key.tag, key.value), key.start_mark)
                if first is not key.start_mark:
                    yield Problem(
                        _place(key.start_mark, source),
                        f'repeats the key "{key.value}" of line {first.line + 1}; keep one',
                    )
            yield from _ill_formed(value, source, within)


def _repeats_too_much(text: str) -> bool:
    """Whether aliases stand for more than may be written out; told before anybody does."""
    if "&" not in text or "*" not in text:
        return False
    try:
        return any(each > _MOST_REPEATED for each in _repeated(text))
    except yaml.YAMLError:
        return False  # whoever reads it says where


def _repeated(text: str) -> Iterator[int]:
    """Yield how many values the aliases of the YAML *text* stand for up to each of them."""
    sizes: dict[str | None, int] = {}
    within: list[tuple[str | None, int]] = []
    size = repeated = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            repeated += sizes.get(event.anchor, 1)
            size += sizes.get(event.anchor, 1)
            yield repeated
        elif isinstance(event, yaml.CollectionStartEvent):
            within.append((event.anchor, size))
            size += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = within.pop()
            sizes[anchor] = size - before
        elif isinstance(event, yaml.ScalarEvent):
            sizes[event.anchor] = 1
            size += 1


_REFERENCE = re.compile(r"\$\$|\$\{(?:([^{}]*)\})?")
_VARIABLE = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def substitute(
    value: Any, environment: Mapping[str, str], path: Path, problems: dict[Path, str]
) -> Any:
    """*value* with `${NAME}`, `${env:NAME}` and `${env:NAME:-default}` filled in, `$$` made `$`.

    What cannot be filled in stays, and is told in *problems* by its path.
    """
    if isinstance(value, dict):
        return {
            key: substitute(item, environment, (*path, key), problems)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            substitute(item, environment, (*path, index), problems)
            for index, item in enumerate(value)
        ]
    if not isinstance(value, str):
        return value

    def filled(reference: re.Match[str]) -> str:
        if reference[0] == "$$":
            return "$"
        variable = _VARIABLE.fullmatch(reference[1] or "")
        if variable is None:
            problems[path] = (
                f"has {reference[0]}; only ${{NAME}} of the environment is filled in. "
                f"Write ${reference[0]} where the text is meant"
            )
            return reference[0]
        found = environment.get(variable[1], variable[2])
        if found is None:
            problems[path] = (
                f"wants the environment variable {variable[1]}, which is not set; "
                f"set it, or write ${{env:{variable[1]}:-default}}"
            )
            return reference[0]
        return found

    text = _REFERENCE.sub(filled, value)
    whole = _REFERENCE.fullmatch(value)
    return Substituted(text) if whole and whole[1] is not None else text
