"""One folder a capability: pure logic, and one shell `agent.py` that Faust calls.

May import `tables` and `schemas`. Capabilities do not import each other.
"""
