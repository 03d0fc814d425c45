"""Attributes are those of the resource they were, as whatever field a point has them."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    NumberDataPoint,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tailrace.agents.metrics.stream_attributes import Attributes
from tailrace.schemas.series import encoded_attributes

_FIELDS = {7: NumberDataPoint, 9: HistogramDataPoint, 1: ExponentialHistogramDataPoint}
# A value of so many bytes has a length of one, two or three.
_VALUES = st.sampled_from([0, 1, 20, 115, 116, 127, 128, 300, 16_370, 16_400]).map("v".__mul__)
_LISTS = st.lists(st.dictionaries(st.sampled_from(["a", "b.c", ""]), _VALUES), max_size=6)


@given(_LISTS)
def test_a_point_has_the_attributes_of_its_stream(lists: Sequence[dict[str, str]]) -> None:
    resources = [encoded_attributes(list(each.items())) for each in lists]
    attributes = Attributes(resources)
    assert attributes.sizes.tolist() == [len(each) for each in resources]
    for number, point in _FIELDS.items():
        found = attributes.as_field(number)
        for encoded, resource in zip(found, resources, strict=True):
            wanted = Resource.FromString(resource).attributes
            assert list(point.FromString(encoded).attributes) == list(wanted)
