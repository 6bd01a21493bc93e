"""Replay as a user meets it: a share in the recipe, rows in the run folder, and none of them taken for the task's."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from luthier.cli import app
from luthier.data.render import Rendered
from luthier.run.replay import without_end
from luthier.types import TokenSequence


def luthier(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def settings(base: Path, rows: Path, run: Path) -> list[object]:
    quick = ["train.epochs=1", "train.lr=0.01", "train.examples_per_step=8", "train.evaluations_per_epoch=1"]
    small = ["model.max_length=400", "model.dtype=float32", "mix.max_new_tokens=6", "forgetting.measure=false"]
    return ["train", "--data", rows, "--model", base, "--run", run, *small, *quick]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A random base whose greedy answers are readable bytes, but for a few."""
    from transformers import AutoModelForCausalLM
    from tuned_runs import config, tokenizer

    folder = tmp_path_factory.mktemp("base") / "speaking"
    torch.manual_seed(7)
    network = AutoModelForCausalLM.from_config(config("llama"))
    with torch.no_grad():
        network.get_output_embeddings().weight[128:].zero_()  # bytes that are no letter by themselves
    network.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def mixed(base, rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mixed"
    done = luthier(*settings(base, rows, folder), "mix.replay=0.2")
    assert done.exit_code == 0, done.output
    return folder, done.output


def test_a_run_says_keeps_and_lists_what_it_replays(mixed):
    folder, output = mixed
    written, ledger = lines(folder / "replay.jsonl"), lines(folder / "rows.jsonl")
    listed = [row for row in ledger if row["split"] == "replay"]
    assert f"{len(written)} rows from bundled instructions" in output
    assert "20% of the examples and 20% of the loss" in output
    assert {row["id"] for row in written} == {row["id"] for row in listed if row["fate"] == "kept"}
    unwritten = [row for row in ledger if row["reason"] == "the model wrote nothing here"]
    assert len(written) + len(unwritten) == 24  # a quarter of the 96 training rows, in one epoch
    assert len(written) > 12


def test_no_row_of_replay_is_counted_as_one_of_the_task(mixed, base, rows):
    folder, _ = mixed
    assert json.loads((folder / "data.json").read_text())["splits"]["train"] == {"rows": 96}
    assert "120 rows were read" in (folder / "report.html").read_text()
    told = json.loads(luthier(*settings(base, rows, folder / "no"), "mix.replay=0.2", "--dry-run", "--json").stdout)
    assert told["rows"] == {"kept": 120, "cut": 0, "left out": 0}
    assert told["splits"]["train"] == 96
    asked = {row["id"] for row in lines(folder / "predictions.jsonl")}
    assert not [name for name in asked if name.startswith("replay")]


def test_replay_adds_tokens_and_no_step(mixed, base, rows):
    told = [
        json.loads(luthier(*settings(base, rows, "none"), *more, "--dry-run", "--json").stdout)
        for more in ([], ["mix.replay=0.2"])
    ]
    assert told[0]["steps"] == told[1]["steps"]
    assert told[1]["logical_tokens"] > told[0]["logical_tokens"]
    assert told[0]["replay"] is None
    assert "8 rows from bundled" in told[1]["replay"]


def test_an_answer_that_was_broken_off_is_learned_without_an_end(mixed):
    folder, output = mixed
    written = {row["id"]: row for row in lines(folder / "replay.jsonl")}
    broken = [row for row in written.values() if not row["finished"]]
    assert f"{len(broken)} of the answers met mix.max_new_tokens" in output
    assert broken
    row = Rendered(TokenSequence(np.arange(5), np.array([0, 0, 1, 1, 1], np.float32), "x"), 2, 0, 4)
    open_ended = without_end(row)
    assert open_ended.tokens.tolist() == [0, 1, 2, 3]
    assert open_ended.weight.tolist() == [0, 0, 1, 1]


def test_a_resumed_run_replays_what_it_was_begun_with(mixed, base, rows, tmp_path):
    folder, _ = mixed
    whole = load_file(next((folder / "last").glob("*.safetensors")))
    cut = tmp_path / "cut"
    words = [*settings(base, rows, cut), "mix.replay=0.2", "train.save_every=3"]
    assert luthier(*words).exit_code == 0
    before = (cut / "replay.jsonl").read_bytes()
    for name in ("report.json", "last", "best"):
        (cut / name).unlink()
    for step in (cut / "checkpoints").glob("[0-9]*"):
        if int(step.name) > 6:
            shutil.rmtree(step)
    assert luthier("train", "--resume", cut).exit_code == 0
    again = load_file(next((cut / "last").glob("*.safetensors")))
    assert (cut / "replay.jsonl").read_bytes() == before
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_sampled_rows_are_the_models_own(base, rows, tmp_path):
    done = luthier(*settings(base, rows, tmp_path / "r"), "mix.replay=0.1", "mix.source=sampled")
    assert done.exit_code == 0, done.output
    written = lines(tmp_path / "r" / "replay.jsonl")
    assert written
    assert all(row["prompt"][0]["role"] == "user" and row["answer"][0]["content"] for row in written)


def test_a_file_is_read_like_training_data_and_held_out_prompts_stay_out(base, rows, tmp_path):
    old = tmp_path / "old.jsonl"
    mine = [{"prompt": f"old question {i}", "completion": f"old answer {i}"} for i in range(20)]
    with rows.open() as stream:
        task = [{"prompt": row["text"], "completion": row["label"]} for row in csv.DictReader(stream)]
    old.write_text("".join(json.dumps(row) + "\n" for row in [*mine, *task]))
    folder = tmp_path / "r"
    done = luthier(*settings(base, rows, folder), "mix.replay=0.7", f"mix.source={old}")
    assert done.exit_code == 0, done.output
    ledger = {row["id"]: row for row in lines(folder / "rows.jsonl")}
    replay = [row for row in ledger.values() if row["split"] == "replay"]
    assert sum(row["fate"] == "kept" for row in replay) == 20 + 96
    out = [row for row in replay if row["fate"] == "left out"]
    assert len(out) == 24
    assert {row["reason"] for row in out} <= {
        "its prompt stands in the test rows", "its prompt stands in the validation rows"
    }  # fmt: skip


def test_what_forgetting_is_measured_on_is_not_replayed(base, rows, tmp_path):
    old, exam = tmp_path / "old.jsonl", tmp_path / "exam.jsonl"
    mine = [json.dumps({"prompt": f"old question {i}", "completion": f"old answer {i}"}) + "\n" for i in range(20)]
    old.write_text("".join(mine))
    exam.write_text("".join(mine[:3]))
    more = ["forgetting.measure=true", f"forgetting.files=[{exam}]", "mix.replay=0.5", f"mix.source={old}"]
    done = luthier(*settings(base, rows, tmp_path / "r"), *more, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    reasons = [row["reason"] for row in json.loads(done.stdout)["not_used"]]
    assert len(reasons) == 3
    assert all("its prompt stands in the forgetting.files" in reason for reason in reasons)


def test_a_file_that_cannot_be_replayed_is_refused_with_what_would_do(base, rows, tmp_path):
    done = luthier(*settings(base, rows, tmp_path / "r"), "mix.replay=0.1", f"mix.source={tmp_path / 'none.csv'}")
    assert done.exit_code == 2
    assert "mix.source" in done.output


def test_a_share_so_small_that_no_row_is_seen_is_no_replay(base, rows, tmp_path):
    done = luthier(*settings(base, rows, tmp_path / "r"), "mix.replay=0", "--dry-run", "--json")
    assert json.loads(done.stdout)["replay"] is None


def test_an_earlier_run_is_asked_to_choose_among_all_its_labels(base, tmp_path):
    """Its few test rows hold fewer labels than it learned; a choice among those alone would be an easier task."""
    from luthier.model.accept import open_model
    from luthier.model.load import ModelOptions
    from luthier.recipe import make_recipe
    from luthier.run.earlier import read_earlier

    for name, labels in (("train", "abcd"), ("test", "ab")):
        with (tmp_path / f"{name}.csv").open("w", newline="") as stream:
            write = csv.writer(stream)
            write.writerow(["text", "label"])
            write.writerows([f"{name} {letter} {i}", f"label {letter}"] for letter in labels for i in range(6))
    run = tmp_path / "run"
    run.mkdir()
    data = (
        f"data: {{train: {tmp_path}/train.csv, test: {tmp_path}/test.csv, validation: 0, input: text, output: label}}"
    )
    (run / "recipe.yaml").write_text(f"{data}\nmodel: {{name: {base}}}\n")
    recipe = make_recipe({"data": {"train": "x.csv"}, "forgetting": {"files": [str(run)]}})
    (earlier,) = read_earlier(recipe, open_model(ModelOptions(name=str(base), dtype="float32")))
    assert earlier.task.labels == ("label a", "label b", "label c", "label d")
