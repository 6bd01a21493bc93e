"""Every recipe that comes with the product runs to its report, on a few rows and a tiny base."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from luthier.cli import app
from luthier.methods import methods

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("**/*.yaml"))
FEW = (
    "evaluate.resamples=200", "evaluate.base_rows=3", "evaluate.max_new_tokens=4", "forgetting.measure=false",
    "train.evaluations_per_epoch=1", "train.epochs=0.5", "checks.gates=[]",
)  # fmt: skip


def table(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        made = csv.DictWriter(file, list(rows[0]))
        made.writeheader()
        made.writerows(rows)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in that holds a little of every file that recipes name."""
    sounds = [("woof", "dog"), ("miaow", "cat"), ("moo", "cow")]
    for part, start in (("train", 0), ("test", 30)):
        said = [{"text": f"it says {sounds[i % 3][0]} {start + i}", "category": sounds[i % 3][1]} for i in range(18)]
        table(tmp_path / f"data/banking77/{part}.csv", said)
        facts = [{"mr": f"name[Inn {start + i}], food[Thai]", "ref": f"Inn {start + i} is Thai."} for i in range(8)]
        table(tmp_path / f"data/e2e-cleaned/{part}.csv", facts)
        sums = [{"question": f"What is {start + i} and 1?", "answer": f"It is #### {start + i + 1}"} for i in range(8)]
        lines = (tmp_path / f"data/gsm8k/{part}.jsonl", "".join(json.dumps(one) + "\n" for one in sums))
        lines[0].parent.mkdir(exist_ok=True)
        lines[0].write_text(lines[1], encoding="utf-8")
        scores = [{"text": f"it cost {start + i}", "score": str(start + i)} for i in range(30)]
        table(tmp_path / "data/ratings.csv", scores)
        demo = f"src/luthier/demo/helpdesk-{part}.jsonl"
        (tmp_path / demo).parent.mkdir(parents=True, exist_ok=True)
        short = [
            line for line in (ROOT / demo).read_text(encoding="utf-8").splitlines(keepends=True) if len(line) < 200
        ]
        (tmp_path / demo).write_text("".join(short[:45]), encoding="utf-8")
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_runs_to_its_report(base: Path, place: Path, path: Path) -> None:
    recipe = path.relative_to(ROOT)
    shallow = ["method.layers=1"] if path.stem == "freeze" else []
    words = [f"model.name={base}", "model.max_length=170", *shallow, *FEW]
    done = CliRunner().invoke(app, ["train", str(recipe), *words])
    assert done.exit_code == 0, done.output
    assert (place / yaml.safe_load(path.read_text())["run"] / "report.html").is_file()


def test_there_is_a_recipe_for_every_method() -> None:
    written = [yaml.safe_load(path.read_text()).get("method", "lora") for path in RECIPES]
    named = {(one if isinstance(one, str) else one["name"]).partition(":")[0] for one in written}
    assert set(methods) <= named
