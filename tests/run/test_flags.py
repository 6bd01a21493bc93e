"""Flags reach the recipe as typed; what the machine lacks is a sentence; help and names come without torch."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import typer
from typer.testing import CliRunner

from luthier.cli import QUIET, app
from luthier.cli.ending import resumable, told


def luthier(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def python(code: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in QUIET}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_flags_reach_the_recipe_as_they_were_typed(base, rows, tmp_path):
    said = "Answer: yes #5 😀"
    words = ["--data", rows, "--model", base, "--run", tmp_path / "r", "--instruction", said, "--dry-run", "--json"]
    done = luthier("train", "method.rank=8", *words, "--validation", "0.2", "--test", "0.25", "--method", "lora")
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)["recipe"]
    assert (made["data"]["validation"], made["data"]["test"], made["data"]["instruction"]) == (0.2, 0.25, said)
    assert (made["method"]["rank"], made["run"]) == (8, str(tmp_path / "r"))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--dry-run"], "--dry-run"),
        (["train.lr=1", "--lr", "0.1", "--run", "other"], "train.lr=1, --lr, --run"),
        (["recipe.yaml", "--skip-bad-rows"], "recipe.yaml, --skip-bad-rows"),
    ],
)
def test_resume_refuses_what_it_would_ignore(words, named, tmp_path):
    done = luthier("train", "--resume", tmp_path, *words)
    assert done.exit_code == 2
    assert f"leave out {named}, or" in done.output


def test_a_run_folder_that_is_a_file_is_said_in_a_sentence(base, rows, tmp_path):
    file = tmp_path / "taken"
    file.touch()
    done = luthier("train", "--data", rows, "--model", base, "--run", file)
    assert done.exit_code == 2
    assert f"{file}: " in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/mnt/rows.csv"), 2, "/mnt/rows.csv: cannot be read"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: No space left on device"),
        (torch.OutOfMemoryError("CUDA out of memory"), 2, "train.token_budget"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 2, "train.token_budget"),
        (MemoryError(), 2, "train.token_budget"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_the_machine_lacks_is_a_sentence(error, code, said, capsys):
    with pytest.raises(typer.Exit) as ended:
        told(raising(error))()
    assert ended.value.exit_code == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [RuntimeError("a defect"), BrokenPipeError(errno.EPIPE, "Broken pipe"), KeyError("a")]
)
def test_control_a_defect_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        told(raising(error))()


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize("begun", [True, False])
def test_a_stopped_run_says_how_to_go_on_only_if_it_can(begun, tmp_path, capsys):
    if begun:
        (tmp_path / "recipe.yaml").touch()
    with pytest.raises(typer.Exit) as ended, resumable(tmp_path):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert (f"--resume {tmp_path}" in capsys.readouterr().err) == begun


def test_help_comes_without_torch_and_the_libraries_are_quieted():
    out = python(
        "import os, sys; sys.argv = ['luthier', 'train', '--help']\n"
        "from luthier.cli import QUIET, main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'transformers', 'numpy') if name in sys.modules])\n"
        "print(all(os.environ[name] == value for name, value in QUIET.items()))"
    )
    assert out.splitlines()[-2:] == ["[]", "True"]


ORDERS = [
    "import luthier, luthier.train.loop, luthier.recipe",
    "import luthier.train.loop; import luthier.recipe; import luthier",
    "from luthier.train.loop import fit; from luthier.recipe import make_recipe; import luthier",
    "from luthier import train, recipe; import luthier; import luthier.train.loop, luthier.recipe",
    "from luthier import *; import luthier",
]


def test_public_names_are_the_functions_in_every_order_of_imports():
    # One process for all orders, each from fresh modules of ours: importing torch is what takes long.
    python(
        "import sys, types\n"
        f"for order in {ORDERS!r}:\n"
        "    for name in [name for name in sys.modules if name.split('.')[0] == 'luthier']: del sys.modules[name]\n"
        "    space = {}\n"
        "    exec(order, space)\n"
        "    package = space['luthier']\n"
        "    for name in ('train', 'recipe'):\n"
        "        for _ in range(2): assert isinstance(getattr(package, name), types.FunctionType), (order, name)\n"
        "        assert isinstance(space.get(name, print), types.FunctionType | types.BuiltinFunctionType), order\n"
        "        assert isinstance(sys.modules['luthier.' + name], types.ModuleType)\n"
        "    assert set(package.__all__) <= set(dir(package))\n"
        "    assert not hasattr(package, 'nonsense')\n"
    )


def test_a_missing_file_is_told_before_torch_is_imported() -> None:
    """By a process of its own; the control names a file that is there."""
    tell = """
import sys
from luthier.cli.words import refuse_missing
from luthier.errors import DataError
try:
    refuse_missing(sys.argv[1])
except DataError as error:
    print(error)
print("torch" in sys.modules)
"""

    def said(path: str) -> list[str]:
        return subprocess.run(
            [sys.executable, "-c", tell, path], capture_output=True, text=True, check=True
        ).stdout.splitlines()

    assert said("nope.csv")[0].startswith("nope.csv: there is no such file")
    assert said("nope.csv")[-1] == said(__file__)[-1] == "False"
    assert len(said(__file__)) == len(said("owner/name")) == len(said("0.1")) == 1


@pytest.mark.parametrize("command", ["train", "check"])
def test_a_recipe_without_its_rows_says_where_it_looked_and_what_its_head_says(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text("# Get rows.csv from the post office.\ndata:\n  train: rows.csv\n# not the head\n")
    said = " ".join(luthier(command, "r.yaml").output.split())
    assert "rows.csv: there is no such file" in said
    assert f"r.yaml names it, as seen from {tmp_path}" in said
    assert said.endswith("Get rows.csv from the post office.")
    assert "r.yaml names" not in luthier(command, "data.train=rows.csv").output


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["check"], "luthier check FILE"),
        (["check", __file__, "data.limit=3", "--fix", "mended"], "leave out data.limit"),
    ],
)
def test_check_says_what_is_missing_or_too_much(words: list[str], remedy: str) -> None:
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 2
    assert remedy in " ".join(said.output.split())
