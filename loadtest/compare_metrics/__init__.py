"""The same spans to a collector's connectors and to `tailrace simulate`: what is counted.

Imports as `loadtest` does: `tailrace.schemas` only. `connectors/` is a Go module.
"""
