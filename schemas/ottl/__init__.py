"""OTTL: the conditions of the OpenTelemetry Transformation Language, read and evaluated.

They mean what they mean to the collector, version 0.155, in the contexts span and spanevent.
"""

from tailrace.schemas.ottl.conditions import Conditions, ErrorMode, parse_conditions
from tailrace.schemas.ottl.problems import EvaluationError, OttlError, OttlProblem
from tailrace.schemas.ottl.subjects import Context, Subject

__all__ = [
    "Conditions",
    "Context",
    "ErrorMode",
    "EvaluationError",
    "OttlError",
    "OttlProblem",
    "Subject",
    "parse_conditions",
]
