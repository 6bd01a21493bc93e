"""A run that answers by a linear head: learned, judged beside its base, opened again, resumed and handed on."""

import csv
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

import luthier as library
from luthier.cli import app
from luthier.errors import GateError
from luthier.export import Merged, prove


def luthier(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def words(base: Path, rows: Path, run: Path, *more: str) -> list[str]:
    quick = ["train.epochs=4", "train.examples_per_step=8", "train.evaluations_per_epoch=1", "evaluate.resamples=200"]
    files = [f"data.train={rows}", "data.input=text", "data.output=label", f"model.name={base}", f"run={run}"]
    return [*files, "model.max_length=192", "model.dtype=float32", "forgetting.measure=false", *quick, *more]


@pytest.fixture(scope="module")
def run(base, rows, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "headed"
    done = luthier("train", *words(base, rows, folder, "objective=classify", "train.lr=0.01"))
    assert done.exit_code == 0, done.output
    return folder


def test_a_row_is_answered_by_the_head_and_the_base_writes_its_label(run):
    made = json.loads((run / "report.json").read_text())
    assert made["task"]["kind"] == "choice"
    lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    for line in lines:
        told = line["tuned"]["options"]
        assert sum(2.718281828459045**value for value in told.values()) == pytest.approx(1, abs=1e-3)
        assert line["base"]["text"] in {label for other in lines for label in [other["label"]]}
    assert made["verdict"]["tuned"]["value"] > 0.9, "three words that name the label are learned by any head"


def test_a_heads_loss_is_counted_by_the_row_and_set_beside_no_loss_of_text(run):
    made = json.loads((run / "report.json").read_text())
    assert not {"loss", "perplexity", "bits_per_byte"} & set(made["metrics"])
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps, looks = ([one for one in lines if one["kind"] == kind] for kind in ("step", "evaluation"))
    labels = len(made["task"]["labels"])
    assert steps[0]["loss"] == pytest.approx(math.log(labels), rel=0.2)
    assert looks[0]["step"] == 0
    for loss in (looks[0]["metrics"]["loss"], looks[0]["train"]["loss"]):
        assert loss == pytest.approx(math.log(labels), rel=0.2), "untrained, no label is likelier than another"
    assert {spent[1] for look in looks for part in look["losses"].values() for spent in part} == {1.0}
    assert all("perplexity" not in look["metrics"] for look in looks)
    assert made["validation"]["metrics"]["loss"]["value"] < math.log(labels) / 2
    again = luthier("evaluate", run, "--json")
    assert "perplexity" not in again.output


def test_opened_again_it_answers_as_it_was_judged(run):
    lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()][:5]
    assistant = library.load(run)
    assert [assistant.answer(line["question"]) for line in lines] == [line["tuned"]["text"] for line in lines]
    again = luthier("evaluate", run, "--json")
    assert again.exit_code == 0, again.output


@pytest.fixture(scope="module")
def bfloat16(base, tmp_path_factory) -> Path:
    """The base with its weights in bfloat16, as most are published."""
    folder = tmp_path_factory.mktemp("bases") / "bfloat16"
    shutil.copytree(base, folder)
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("format", ["merged", "adapter"])
def test_an_export_carries_the_head_and_lines_that_read_it_as_they_stand(bfloat16, rows, tmp_path, format):
    run = tmp_path / "run"
    trained = luthier("train", *words(bfloat16, rows, run, "objective=classify", "train.lr=0.01"))
    assert trained.exit_code == 0, trained.output
    done = luthier("export", run, "--format", format, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    head = load_file(tmp_path / "out" / "head.safetensors")
    assert {one.dtype for one in head.values()} == {torch.float32}
    kept = load_file(run / "best" / "head.safetensors")
    assert all(torch.equal(head[name], kept[name]) for name in kept)
    names: dict = {}
    exec(json.loads(done.stdout)["use"], names)
    lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    said = [names["answer"]([{"role": "user", "content": line["question"]}]) for line in lines]
    assert said == [line["tuned"]["text"] for line in lines]
    if format == "merged":
        assert "leaf_head" not in (tmp_path / "out" / "model.safetensors").read_bytes()[:200_000].decode("latin-1")


@pytest.fixture(scope="module")
def numbers(base, tmp_path_factory):
    """A run that says how many ticks there are, and what its training printed."""
    folder = tmp_path_factory.mktemp("numbers")
    table = folder / "lengths.csv"
    with table.open("w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["text", "label"])
        write.writerows([[" ".join(["tick"] * (1 + i % 9)) + f" {i}", 1 + i % 9] for i in range(60)])
    run, more = folder / "run", ("objective=regress", "train.lr=0.01", "evaluate.max_new_tokens=4")
    done = luthier("train", *words(base, table, run, *more))
    assert done.exit_code == 0, done.output
    return run, done


def test_numbers_are_learned_by_a_head_and_judged_by_their_distance(numbers):
    run, done = numbers
    made = json.loads((run / "report.json").read_text())
    assert made["task"]["kind"] == "number"
    assert list(made["metrics"]) == ["mae", "rmse", "r2"]
    assert made["metrics"]["r2"]["tuned"]["value"] > 0.5
    bars = [bar["name"] for bar in made["baselines"] if bar["metric"] == "mae"]
    assert bars == ["always the median", "TF-IDF + ridge"]
    assert "The bar without a language model" in " ".join(done.output.split())
    page = (run / "report.html").read_text()
    assert "rests on mean absolute error" in page
    assert "loss –" not in page
    assert not [word for word in ("perplexity", "nats a token") if word in done.output + page]


@pytest.mark.parametrize("which", ["labels", "numbers"])
def test_an_export_is_proved_by_what_its_head_answers(run, numbers, tmp_path, which):
    headed, out = (run if which == "labels" else numbers[0]), tmp_path / "out"
    done = luthier("export", headed, "--out", out)
    assert done.exit_code == 0, done.output
    assert "answers of its head are the same" in done.output
    told = prove(headed, out, format=Merged())
    assert (told.same, told.kind) == (told.rows, "answers of its head")
    head = load_file(out / "head.safetensors")
    changed = {name: -head[name] if name in ("weight", "bias") else head[name] for name in head}
    save_file(changed, out / "head.safetensors")  # what other tools read, and not what a run goes on with
    with pytest.raises(GateError, match="answers of its head part"):
        prove(headed, out, format=Merged())
    (out / "head.json").unlink()
    with pytest.raises(GateError, match="head that answers is not in it"):
        prove(headed, out, format=Merged())


def test_a_run_that_says_numbers_is_judged_with_no_other_and_on_nothing_else(numbers, run, rows):
    for names, told in (((run, numbers[0]), "evaluate them apart"), ((numbers[0],), "'dog' is no number")):
        done = luthier("evaluate", *names, "--data", rows, "--input", "text", "--output", "label")
        assert (done.exit_code, "answers:" in done.output) == (2, False)
        assert told in " ".join(done.output.split())
        assert "add rows of it to train" not in done.output


def test_that_a_head_does_not_go_on_is_said_once(numbers, rows, tmp_path):
    more = ["--from", numbers[0], "--add", rows, "--input", "text", "--output", "label", "--run", tmp_path / "next"]
    done = luthier("train", *more, "--dry-run")
    assert done.exit_code == 2
    assert done.output.count("does not go on to other rows") == 1


def test_a_test_row_that_is_no_number_is_refused_before_the_run(base, numbers, tmp_path):
    test = tmp_path / "test.csv"
    test.write_text("text,label\ntick,1\ntick tick,many\n")
    table = numbers[0].parent / "lengths.csv"
    done = luthier(
        "train", "--dry-run", *words(base, table, tmp_path / "run", "objective=regress", f"data.test={test}")
    )
    assert done.exit_code == 2
    assert "test.csv:3: 'many' is no number" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["objective=regress"], "is no number"),
        (["objective=classify", "mix.replay=0.1"], "a head learns one task"),
        (["objective=classify", "evaluate.task=text"], "use objective=sft"),
        (["objective=classify", "evaluate.metric=loss"], "no loss of text"),
    ],
)
def test_what_a_head_cannot_learn_is_refused_by_name(base, rows, tmp_path, more, told):
    done = luthier("train", "--dry-run", *words(base, rows, tmp_path / "run", *more))
    assert done.exit_code == 2
    assert told in " ".join(done.output.split())
