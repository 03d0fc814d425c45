"""The span trees that journeys take, each with how often it occurs."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tailrace_loadtest.fleet import Kind, Operation, Step, variants
from tailrace_loadtest.journeys import JOURNEYS


@dataclass(frozen=True)
class Shape:
    """The tree of one course of a journey; node 0 is the root, parents precede children.

    A fragment is what one service sends of it: `fragments[node]` counts services by appearance.
    """

    operations: tuple[Operation, ...]
    parents: tuple[int, ...]

    @cached_property
    def services(self) -> tuple[str, ...]:
        """The service of each fragment."""
        return tuple(dict.fromkeys(operation.service for operation in self.operations))

    @cached_property
    def fragments(self) -> npt.NDArray[np.int64]:
        """The fragment of each node."""
        return np.array([self.services.index(each.service) for each in self.operations])

    def calls(self, node: int) -> list[int]:
        """The children for which *node* waits, in order."""
        return [child for child in self._children(node) if child not in self._consumers]

    def handled_later(self, node: int) -> list[int]:
        """The children that start after *node* has ended."""
        return [child for child in self._children(node) if child in self._consumers]

    @cached_property
    def _consumers(self) -> frozenset[int]:
        kinds = enumerate(operation.kind for operation in self.operations)
        return frozenset(node for node, kind in kinds if kind is Kind.CONSUMER)

    def _children(self, node: int) -> Iterator[int]:
        return (child for child, parent in enumerate(self.parents) if parent == node)


def _shape(root: Step) -> Shape:
    operations: list[Operation] = []
    parents: list[int] = []

    def walk(step: Step, parent: int) -> None:
        node = len(operations)
        operations.append(step.operation)
        parents.append(parent)
        for child in step.children:
            walk(child, node)

    walk(root, -1)
    return Shape(tuple(operations), tuple(parents))


_TOTAL = sum(weight for weight, _ in JOURNEYS)
_COURSES = [
    (weight / _TOTAL * share, _shape(course))
    for weight, journey in JOURNEYS
    for share, course in variants(journey)
]
SHAPES = tuple(shape for _, shape in _COURSES)
SHARES = tuple(share for share, _ in _COURSES)
"""How often each shape occurs; they sum to 1."""
OPERATIONS = tuple(dict.fromkeys(each for shape in SHAPES for each in shape.operations))
