"""The import view: `src/` holds links to the rooms and nothing else."""

from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"


def test_the_view_is_four_links_three_files_and_the_load_test() -> None:
    rooms = {name: f"../../{name}" for name in ("agents", "schemas", "streams", "tables")}
    found = {path for path in SOURCE.rglob("*") if "__pycache__" not in path.parts}
    found = {path for path in found if not path.parts[len(SOURCE.parts)].endswith(".egg-info")}
    links = {path.name: str(path.readlink()) for path in found if path.is_symlink()}
    assert links == {**rooms, "tailrace_loadtest": "../loadtest"}
    files = {str(path.relative_to(SOURCE)) for path in found if not path.is_symlink()}
    view = {"__init__.py", "__main__.py", "py.typed"}
    assert files == {"tailrace"} | {f"tailrace/{name}" for name in view}
