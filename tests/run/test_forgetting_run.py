"""A run tells what it made its model forget, by any method; a budget can fail it; resuming changes nothing."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from luthier.cli import app
from luthier.recipe import load_recipe, make_recipe, to_tree
from luthier.run import Show, forget
from luthier.run import train as carry_out

FIGURES = ("general questions", "prose", "code", "dialogue")


def luthier(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    """A task that a run which learned animals should still do; an untuned random model cannot."""
    path = tmp_path_factory.mktemp("earlier") / "sounds.csv"
    with path.open("w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["text", "label"])
        for i in range(30):
            sound, animal = [("woof", "dog"), ("miaow", "cat"), ("moo", "cow")][i % 3]
            write.writerow([f"so it says {sound} {i}", animal])
    return path


def words(base: Path, rows: Path, run: Path, *more: str) -> list[str]:
    quick = ["train.epochs=1", "train.examples_per_step=8", "train.evaluations_per_epoch=1", "evaluate.resamples=200"]
    files = [f"data.train={rows}", "data.input=text", "data.output=label", f"model.name={base}", f"run={run}"]
    return [*files, "model.max_length=192", "model.dtype=float32", *quick, *more]


def made(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())["forgetting"]


def by_name(folder: Path) -> dict:
    return {one["name"]: one for one in made(folder)["measures"]}


@pytest.fixture(scope="module")
def destroyed(base, rows, sounds, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "destroyed"
    named = ["forgetting.input=text", "forgetting.output=label", f"forgetting.files={sounds}"]
    done = luthier("train", *words(base, rows, folder, "method=full", "train.lr=0.3", "train.clip=100", *named))
    assert done.exit_code == 0, done.output
    assert "It forgot: " in " ".join(done.output.split())
    return folder


def test_a_destructive_run_is_told_to_have_forgotten(destroyed):
    found = by_name(destroyed)
    assert made(destroyed)["word"] == "forgot"
    assert [found[kind]["word"] for kind in ("prose", "code", "dialogue")] == ["lost"] * 3
    assert found["divergence on general prompts"]["tuned"]["low"] > 0.5
    assert all(found[name]["difference"]["low"] <= found[name]["difference"]["value"] for name in FIGURES)


def test_every_figure_can_be_traced_to_lines_of_the_run(destroyed):
    lines = {
        name: [json.loads(line) for line in (destroyed / "forgetting" / f"{name}.jsonl").read_text().splitlines()]
        for name in ("questions", "passages", "divergence", "file-1")
    }
    found = by_name(destroyed)
    prose = [line for line in lines["passages"] if line["kind"] == "prose"]
    bits = sum(line["tuned_nats"] for line in prose) / sum(line["bytes"] for line in prose) / 0.6931471805599453
    assert found["prose"]["tuned"]["value"] == pytest.approx(bits)
    share = sum(line["tuned"]["right"] for line in lines["questions"]) / len(lines["questions"])
    assert found["general questions"]["tuned"]["value"] == pytest.approx(share)
    own = [line for line in lines["divergence"] if line["kind"] == "own"]
    nats = sum(line["nats"] for line in own) / sum(line["tokens"] for line in own)
    assert found["divergence on the base's own text"]["tuned"]["value"] == pytest.approx(nats)
    assert len(lines["file-1"]) == 30


def test_the_page_shows_it(destroyed):
    page = (destroyed / "report.html").read_text()
    assert '<section id="forgetting">' in page
    assert "Dialogue" in page


def test_a_run_that_learns_nothing_forgets_nothing(base, rows, tmp_path):
    done = luthier("train", *words(base, rows, tmp_path / "still", "train.lr=1e-12", "forgetting.max_drop=0"))
    assert done.exit_code == 0, done.output
    assert made(tmp_path / "still")["word"] == "no loss seen"
    assert all(
        one["tuned"]["value"] < 1e-6 for one in made(tmp_path / "still")["measures"] if one["kind"] == "divergence"
    )
    assert "No loss seen: general questions" in " ".join(done.output.split())


def test_what_the_previous_run_learned_is_named_by_its_folder_and_its_loss_fails_the_next(base, rows, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    quick = ["method=full", "train.lr=0.01", "forgetting.measure=false"]
    assert luthier("train", *words(base, rows, first, *quick, "train.epochs=6")).exit_code == 0
    other = tmp_path / "other.csv"
    other.write_text(rows.read_text().replace("dog", "cow!").replace("cat", "dog").replace("cow!", "cat"))
    named = ["train.lr=0.01", "train.epochs=6", "method=full", "forgetting.max_drop=0.1", f"forgetting.files=[{first}]"]
    done = luthier("train", *words(first / "best", other, second, *named), "--json")
    assert done.exit_code == 1, done.output
    found = by_name(second)[str(first)]
    assert found["base"]["value"] > 0.9
    assert found["word"] == "lost"
    assert made(second)["over"] == [str(first)]
    assert (second / "report.html").exists()
    again = luthier("train", "--resume", second)
    assert again.exit_code == 1
    assert "points, and forgetting.max_drop allows 10;" in " ".join(again.output.split())


def test_a_resumed_run_compares_with_the_base_of_before(base, rows, tmp_path, monkeypatch):
    recipe = load_recipe(None, words(base, rows, tmp_path / "whole", "train.lr=0.01"))
    carry_out(recipe, show=Show(silent=True))
    broken = load_recipe(None, words(base, rows, tmp_path / "broken", "train.lr=0.01"))
    with monkeypatch.context() as patch:
        patch.setattr(forget, "after", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            carry_out(broken, show=Show(silent=True))
    kept = (tmp_path / "broken" / "forgetting" / "base.json").read_bytes()
    done = luthier("train", "--resume", tmp_path / "broken")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "broken" / "forgetting" / "base.json").read_bytes() == kept
    assert made(tmp_path / "broken")["measures"] == made(tmp_path / "whole")["measures"]


def test_a_base_that_was_not_measured_is_opened_again(base, rows, tmp_path, monkeypatch):
    recipe = load_recipe(None, words(base, rows, tmp_path / "whole", "method=full", "train.lr=0.01"))
    carry_out(recipe, show=Show(silent=True))
    wanted = made(tmp_path / "whole")["measures"]
    (tmp_path / "whole" / "report.json").unlink()
    (tmp_path / "whole" / "forgetting" / "base.json").unlink()
    assert luthier("train", "--resume", tmp_path / "whole").exit_code == 0
    assert made(tmp_path / "whole")["measures"] == wanted


def test_a_list_names_the_files(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("data: {train: x.csv}\nforgetting: [a.csv, runs/b]\n")
    recipe = load_recipe(file, ["forgetting.max_drop=0.05"])
    assert (recipe.forgetting.files, recipe.forgetting.max_drop) == (("a.csv", "runs/b"), 0.05)
    assert make_recipe(to_tree(recipe)) == recipe
    assert load_recipe(None, ["data.train=x", "forgetting.files=a.csv"]).forgetting.files == ("a.csv",)


def test_a_named_file_that_is_not_there_is_told_before_anything_is_computed(base, rows, tmp_path):
    done = luthier("train", *words(base, rows, tmp_path / "none", f"forgetting.files={tmp_path / 'gone.csv'}"))
    assert done.exit_code == 2
    assert "gone.csv" in done.output
    assert not (tmp_path / "none").exists()
