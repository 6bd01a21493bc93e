"""A run that goes on from another begins with its model, replays its rows, watches its test, and names its line."""

import csv
import json
from hashlib import sha256
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from luthier.cli import app
from luthier.methods.contract import logits
from luthier.methods.tuned import open_tuned
from luthier.recipe import load_recipe

QUICK = {
    "model": {"max_length": 400, "dtype": "float32", "shared": False},
    "method": {"name": "lora", "rank": 4, "alpha": 8},
    "train": {"epochs": 1, "lr": 0.02, "examples_per_step": 8, "evaluations_per_epoch": 1, "evaluation_share": 1},
    "forgetting": {"measure": False},
}


def luthier(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def went_on(parent: Path, new: Path, run: Path, *words: object):
    done = luthier("train", "--from", parent, "--add", new, "--run", run, *words)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def new(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("new") / "birds.csv"
    with path.open("w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["text", "label"])
        write.writerows([f"it says {'quack' if i % 2 else 'hoot'} {i}", "duck" if i % 2 else "owl"] for i in range(60))
    return path


@pytest.fixture(scope="module")
def parent(base, rows, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("parent")
    tree = {**QUICK, "data": {"train": str(rows)}, "run": str(place / "animals")}
    tree["model"] = {**QUICK["model"], "name": str(base)}
    (place / "animals.yaml").write_text(yaml.safe_dump(tree))
    done = luthier("train", place / "animals.yaml")
    assert done.exit_code == 0, done.output
    return place / "animals"


@pytest.fixture(scope="module")
def still(parent, new, tmp_path_factory):
    """A child that learns nothing."""
    run = tmp_path_factory.mktemp("still") / "birds"
    return run, went_on(parent, new, run, "train.lr=0", "forgetting.measure=true", "forgetting.rows=6").output


@pytest.fixture(scope="module")
def child(parent, new, tmp_path_factory):
    run = tmp_path_factory.mktemp("child") / "birds"
    return run, went_on(parent, new, run, "mix.source=parent", "mix.replay=0.4").output


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "last" / "adapter_model.safetensors")


def test_a_run_begins_with_its_parents_weights_and_calls_them_the_base(parent, still):
    run, output = still
    assert all(torch.equal(found, weights(parent)[name]) for name, found in weights(run).items())
    report = json.loads((run / "report.json").read_text())
    assert all(one["difference"]["value"] == 0 for one in report["metrics"].values())
    tuned, base = (open_tuned(parent) for _ in range(2))
    with torch.no_grad():
        for parameter in [p for n, p in base.network.named_parameters() if "lora_b" in n]:
            parameter.zero_()
    assert not torch.equal(logits(tuned.network), logits(base.network))  # the parent is not the untuned model
    assert f"goes on from {parent}" in output
    assert "is not watched" not in output


def test_where_forgetting_is_not_measured_it_is_said_that_nothing_is_watched(parent, child):
    _, output = child
    assert f"the test rows of {parent} neither (forgetting.measure is false)" in output


def test_what_the_parent_was_tested_on_is_watched(parent, still):
    run, _ = still
    (watched,) = [
        one for one in json.loads((run / "report.json").read_text())["forgetting"]["measures"] if one["kind"] == "file"
    ]
    assert (watched["name"], watched["n"], watched["difference"]["value"]) == (str(parent), 6, 0)
    divergences = [
        one["tuned"]["value"]
        for one in json.loads((run / "report.json").read_text())["forgetting"]["measures"]
        if one["kind"] == "divergence"
    ]
    assert divergences
    assert max(divergences) < 1e-6  # from the parent's model, which it still is


def test_a_run_that_watched_another_file_is_judged_again(still):
    done = luthier("evaluate", still[0])
    assert done.exit_code == 0, done.output


def test_the_chain_says_what_the_first_model_of_it_could_do(still, parent, new, tmp_path):
    second = tmp_path / "second"
    went_on(
        still[0], new, second, "train.lr=0", "forgetting.measure=true", "forgetting.rows=6", "forgetting.max_drop=0.5"
    )
    reports = [json.loads((run / "report.json").read_text())["forgetting"] for run in (still[0], second)]
    (asked,) = [one for one in reports[0]["measures"] if one["kind"] == "probe"]
    said = f"before {still[0]}, the first of its line, {asked['name']} were {100 * asked['base']['value']:.1f} % right."
    assert said in reports[1]["sentence"]
    assert "The budget of 50 points is kept." in reports[1]["sentence"]
    assert "the first of its line" not in reports[0]["sentence"], "the parent had measured nothing"


def test_control_a_child_that_learns_moves_away(parent, child):
    run, _ = child
    assert any(not torch.equal(found, weights(parent)[name]) for name, found in weights(run).items())


def test_what_is_replayed_is_what_the_parent_learned(parent, child):
    run, output = child
    held = {row["id"]: row["split"] for row in map(json.loads, (parent / "rows.jsonl").read_text().splitlines())}
    replayed = [json.loads(line)["id"] for line in (run / "replay.jsonl").read_text().splitlines()]
    assert len(replayed) == 32  # two for three of the 48 training rows
    assert {held[name.removeprefix("replay/animals/")] for name in replayed} == {"train"}
    assert "what its parents learned" in output


def test_lineage_is_a_chain_of_digests_to_the_first_run(parent, child, new, tmp_path):
    run, _ = child
    grandchild = tmp_path / "more"
    went_on(run, new, grandchild, "train.lr=0")
    chain = json.loads((grandchild / "run.json").read_text())
    for folder, file in ((grandchild, new), (run, new), (parent, None)):
        assert chain["run"] == str(folder)
        assert chain["recipe"] == sha256((folder / "recipe.yaml").read_bytes()).hexdigest()
        manifest = (folder / "best").resolve() / "manifest.json"
        assert chain["checkpoint"] == {
            "step": int(manifest.parent.name),
            "sha256": sha256(manifest.read_bytes()).hexdigest(),
        }
        if file is not None:
            assert chain["data"][0]["sha256"] == sha256(file.read_bytes()).hexdigest()
        chain = chain["parent"]
    assert chain is None
    told = json.loads((grandchild / "report.json").read_text())["lineage"]
    assert [one["run"] for one in told] == [str(run), str(parent)]
    assert "went on from" in (grandchild / "report.html").read_text()
    (listed,) = json.loads(luthier("models", grandchild, "--json").stdout)["runs"]
    assert listed["parent"] == str(run)


def test_full_tuning_goes_on_from_an_adapter_merged(parent, new, tmp_path):
    run = tmp_path / "whole"
    went_on(parent, new, run, "--method", "full", "train.lr=0")
    before, after = open_tuned(parent), open_tuned(run)
    torch.testing.assert_close(logits(after.network), logits(before.network), rtol=1e-4, atol=1e-4)
    again = tmp_path / "again"
    went_on(run, new, again, "train.lr=0")
    assert torch.equal(logits(open_tuned(again).network), logits(after.network))
    refused = luthier("train", "--from", run, "--add", new, "--method", "lora", "--run", tmp_path / "no")
    assert refused.exit_code == 2
    assert "holds a whole model and no adapter" in refused.output


def test_what_a_recipe_leaves_out_is_as_in_the_run_it_goes_on_from(parent, new, tmp_path):
    (tmp_path / "more.yaml").write_text(yaml.safe_dump({"from": str(parent), "data": {"train": str(new)}}))
    made = load_recipe(tmp_path / "more.yaml", ["train.lr=0.5"])
    theirs = load_recipe(parent / "recipe.yaml")
    assert (made.method, made.model) == (theirs.method, theirs.model)
    assert (made.train.lr, made.train.examples_per_step) == (0.5, 8)
    assert (made.data.train, made.run, made.parent) == (str(new), "runs/birds", str(parent))
    assert load_recipe(None, flags={"data.train": str(new)}).method.rank == 16  # without a run, the usual


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "PARENT", "--add", "NEW", "method.rank=8"], "rank=8 (there 4)"),
        (["--from", "PARENT", "--add", "NEW", "--model", "smollm2-135m"], "from: model.name is 'smollm2-135m'"),
        (["--from", "nowhere", "--add", "NEW"], "nowhere: no such run folder"),
        (["--add", "NEW"], "name it with --from RUN"),
        (["--from", "PARENT", "--add", "NEW", "--data", "NEW"], "both name the rows"),
        (["--data", "NEW", "mix.source=parent", "mix.replay=0.5"], "mix.source: parent replays"),
    ],
)
def test_what_does_not_fit_is_told(words, said, parent, new, tmp_path):
    named = {"PARENT": parent, "NEW": new}
    done = luthier("train", *(named.get(word, word) for word in words), "--run", tmp_path / "run", "--dry-run")
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_a_run_that_is_not_there_is_missed_before_its_rows_are_read(parent, tmp_path):
    """What the columns mean is the parent's to say, so without it the rows are not to blame."""
    (tmp_path / "new.csv").write_text("said,kind\nquack,duck\nhoot,owl\n")
    done = luthier("train", "--from", "nowhere", "--add", tmp_path / "new.csv", "--run", tmp_path / "run")
    assert done.exit_code == 2
    assert "nowhere: no such run folder" in " ".join(done.output.split())
    assert "--input" not in done.output
    there = luthier("train", "--from", parent, "--add", tmp_path / "new.csv", "--run", tmp_path / "run")
    assert "new.csv" in there.output, "control: with the run there the columns are told of"
