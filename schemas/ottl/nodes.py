"""What a condition says, as a tree. Positions are of the first character, which is 1."""

from dataclasses import dataclass
from typing import Literal as Choice
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is written out: nil, a text, a number, a boolean or bytes."""

    position: int
    value: str | int | float | bool | bytes | None


@dataclass(frozen=True, slots=True)
class Name:
    """An enum, as in STATUS_CODE_ERROR; a name with small letters is none, and an error."""

    position: int
    name: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a path, and what indexes it."""

    position: int
    name: str
    keys: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True)
class Path:
    """Where a value of the span is."""

    position: int
    segments: tuple[Segment, ...]

    @property
    def dotted(self) -> str:
        """Its names."""
        return ".".join(segment.name for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Argument:
    """What a function is given, by its place or by a name."""

    position: int
    name: str | None
    value: "Node"


@dataclass(frozen=True, slots=True)
class Call:
    """A function's result, and what indexes it."""

    position: int
    name: str
    arguments: tuple[Argument, ...]
    keys: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True)
class Items:
    """A list that is written out."""

    position: int
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A map that is written out; of equal keys the last counts."""

    position: int
    items: tuple[tuple[str, "Node"], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Something in parentheses."""

    position: int
    inner: "Node"


@dataclass(frozen=True, slots=True)
class Sign:
    """A number with + or - before it."""

    position: int
    operator: str
    operand: "Node"


@dataclass(frozen=True, slots=True)
class Chain:
    """Operands with operators of one precedence between them, from left to right."""

    position: int
    kind: Choice["sum", "product"]
    first: "Node"
    rest: tuple[tuple[str, "Node"], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values and what is said to be between them."""

    position: int
    left: "Node"
    operator: str
    right: "Node"


@dataclass(frozen=True, slots=True)
class Not:
    """What is true where something else is false."""

    position: int
    operand: "Node"


@dataclass(frozen=True, slots=True)
class Junction:
    """All of some conditions, or any of them."""

    position: int
    kind: Choice["and", "or"]
    operands: tuple["Node", ...]


Node: TypeAlias = (
    Literal
    | Name
    | Path
    | Call
    | Items
    | Mapping
    | Group
    | Sign
    | Chain
    | Comparison
    | Not
    | Junction
)
