"""`python -m tailrace` is the `tailrace` command."""

from tailrace.streams.cli import main

main()
