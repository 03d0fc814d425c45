"""`tailrace demo`: a broker, a worker and a load on this machine, and a view of what flows."""
