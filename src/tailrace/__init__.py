"""tailrace: tail sampling, RED metrics, service graphs and alerts from traces on Kafka.

The rooms are `schemas` (values), `tables` (state), `agents` (logic) and `streams` (engine);
each imports only those named before it.
"""
