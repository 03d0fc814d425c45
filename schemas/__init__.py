"""Values that cross a boundary: spans, the OTLP codec, configuration, events, names, errors.

May import protobuf, numpy, orjson and pydantic; nothing of tailrace outside this room.
"""
