"""A download as the user sees it: a bar on a terminal, two lines in a log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def shown_progress(what: str, count: int, size: int) -> Iterator[Callable[[int], None]]:
    """Show on stderr that *count* files of *size* bytes in all are fetched; yields "so many more".

    What it yields may be called from any thread.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        console.print(f"fetching {what}: {count} files, {size / 1e6:.1f} MB", soft_wrap=True)
        yield lambda _more: None
        console.print(f"fetched {what}", soft_wrap=True)
        return
    columns = (TextColumn("fetching {task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=console) as progress:
        task = progress.add_task(what, total=size)
        yield lambda more: progress.update(task, advance=more)
