"""Exports: metrics leave Kafka for receivers of remote write and OTLP, each at its own pace.

Kafka is the log that is sent from. Each receiver has a consumer group of its own, so that one that
is down holds up no other, and an offset is committed only when the receiver has taken, or refused,
all that is before it.
"""
