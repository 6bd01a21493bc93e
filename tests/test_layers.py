"""Imports point down: a room imports only rooms on lower lines, and rooms on one line do not know each other."""

import ast
from pathlib import Path

import pytest

import luthier

ROOT = Path(luthier.__file__).parent
LINES = [
    ["types", "errors", "manifest", "words"],
    ["batch", "data", "metrics", "stats"],
    ["checks", "model", "objectives"],
    ["methods"],
    ["train", "evaluate", "people", "wrong_setting"],
    ["recipe", "export", "report"],
    ["run"],
    ["search", "serve"],
    ["cli", "web", "demo", "__init__", "__main__"],
]
LINE = {room: number for number, rooms in enumerate(LINES) for room in rooms}


def room(path: Path) -> str:
    part = path.relative_to(ROOT).parts[0]
    return part.removesuffix(".py")


def imported(path: Path, text: str | None = None) -> set[str]:
    """The rooms a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text if text is not None else path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level:
            names = ["luthier." + path.parent.name]
        if isinstance(node, ast.ImportFrom) and node.module == "luthier":
            names = [f"luthier.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("luthier.")}
    return found


def upward(path: Path, text: str | None = None) -> set[str]:
    here = room(path)
    return {other for other in imported(path, text) if other != here and LINE[other] >= LINE[here]}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    assert room(path) in LINE, f"{path}: its room stands on no line"
    if LINE[room(path)] < len(LINES) - 1:
        assert not upward(path)


@pytest.mark.parametrize(
    ("room_of", "line"),
    [
        ("model/head.py", "from luthier.train import fit"),
        ("model/head.py", "def f():\n    import luthier.recipe"),
        ("train/loop.py", "from luthier.evaluate import evaluate"),
        ("data/read.py", "from luthier.batch import pack"),
    ],
)
def test_control_an_import_upward_or_sideways_is_caught(room_of, line):
    assert upward(ROOT / room_of, line)


def test_public_names_are_those_promised():
    assert sorted(luthier.__all__) == sorted(
        ["Assistant", "Outcome", "Recipe", "Show", "load", "load_recipe", "recipe", "resume", "train"]
    )
    assert all(hasattr(luthier, name) for name in luthier.__all__)
