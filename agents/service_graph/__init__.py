"""The service graph: who calls whom, how often, how often in vain, and how long that takes."""
