"""What the README says can be done: its commands parse, its Python runs, what it names exists."""

import re
import shlex
from pathlib import Path

import pytest
import typer

import luthier
from luthier.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.S)
COMMANDS = [
    line.split("#")[0].strip()
    for kind, block in BLOCKS
    if kind == "bash"
    for line in block.splitlines()
    if line.strip()
]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("luthier ")])
def test_every_command_shown_is_one(line):
    words = shlex.split(line)[1:]
    command = typer.main.get_command(app)
    context = command.make_context("luthier", list(words), resilient_parsing=False)
    name, found, rest = command.resolve_command(context, words)
    found.make_context(name, rest, parent=context)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("make ")])
def test_every_make_target_shown_is_one(line):
    assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text(), flags=re.M)


def test_every_recipe_and_page_named_exists():
    named = set(re.findall(r"(?:recipes|docs|examples)/[\w./-]+\.\w+", README))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_python_block_is_a_recipe_and_calls_what_exists(tmp_path, monkeypatch):
    (block,) = [block for kind, block in BLOCKS if kind == "python"]
    said = []

    class Stand:
        def answer(self, question: str) -> str:
            return said.append(question) or "card_swallowed"

    monkeypatch.setattr(luthier, "train", lambda recipe: said.append(recipe))
    monkeypatch.setattr(luthier, "load", lambda run: Stand())
    exec(compile(block, "README.md", "exec"), {})
    assert said[0].data.input == "text"
    assert said[0].method.rank == 16


def test_the_house_in_the_readme_is_the_house_that_stands():
    tree = README.split("## The house")[1].split("```")[1]
    rooms = re.findall(r"^  (\w+)/", tree, flags=re.M)
    there = {
        path.name for path in (ROOT / "src" / "luthier").iterdir() if path.is_dir() and (path / "__init__.py").exists()
    }
    assert set(rooms) | {"run", "demo"} == there
