"""Drives tailrace from outside, as a client: a generator with known truth, chaos, benchmarks.

May import `tailrace.schemas` only.
"""
