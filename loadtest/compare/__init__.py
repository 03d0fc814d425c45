"""The same random spans and policies to a collector and to `tailrace simulate`: who keeps what.

Imports as `loadtest` does: `tailrace.schemas` only. `collector/` is a Go module.
"""
