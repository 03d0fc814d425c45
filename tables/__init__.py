"""What is remembered: trace buffers, decisions, and the partition store that keeps them.

May import `schemas`. Knows neither Faust nor Kafka nor the clock.
"""
