"""The engine and the process: transport, tasks, checkpoints, recovery, clocks, CLI, web.

May import every room; no room imports it.
"""
