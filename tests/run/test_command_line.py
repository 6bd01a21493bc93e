"""The command line as a newcomer meets it: a labelled file in, a judged model out, and what goes wrong said plainly."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from typer.testing import CliRunner

from luthier.cli import app
from luthier.stats import holm


def luthier(*words: object, stdin: str | None = None):
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


def settings(base: Path, rows: Path, run: Path) -> list[object]:
    quick = ["train.epochs=6", "train.lr=0.01", "train.examples_per_step=8", "train.evaluations_per_epoch=1"]
    own = ["model.max_length=128", "model.dtype=float32", "forgetting.measure=false"]
    return ["--data", rows, "--model", base, "--run", run, *own, *quick]


@pytest.fixture(scope="module")
def run(base, rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "animals"
    done = luthier("train", *settings(base, rows, folder), "method=full", "--verify")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def adapted(base, rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "adapted"
    done = luthier("train", *settings(base, rows, folder), "method.rank=8", "train.epochs=1", "--json")
    assert done.exit_code == 0, done.output
    return folder


def test_a_labelled_file_becomes_a_model_that_does_the_job(run):
    report = json.loads((run / "report.json").read_text())
    assert report["verdict"]["word"] == "better", report["verdict"]["sentence"]
    assert report["metrics"]["accuracy"]["tuned"]["value"] > 0.9
    assert (run / "report.html").stat().st_size > 10_000


def test_a_run_ends_with_the_verdict_its_cost_and_lines_that_load_it(base, rows, tmp_path):
    done = luthier("train", *settings(base, rows, tmp_path / "r"), "train.epochs=1")
    for said in ("accuracy", "took ", "report.html", "from transformers import", f"luthier chat {tmp_path / 'r'}"):
        assert said in done.output
    assert done.output.index("took ") < done.output.index("in all ")
    assert "in all " not in luthier("train", "--resume", tmp_path / "r").output, "a sitting is not all of it"


def test_the_first_step_was_proved_before_it_was_taken(run):
    found = json.loads((run / "report.json").read_text())["verified"]
    assert found["gap"] <= found["allowed"] == 1e-3
    assert found["distinct"] < found["logical"]


def test_the_run_folder_holds_what_was_promised(run):
    for name in ("recipe.yaml", "environment.json", "data.json", "rows.jsonl", "issues.jsonl", "metrics.jsonl"):
        assert (run / name).is_file(), name
    ledger = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in ledger}) == len(ledger) == 120
    assert {row["split"] for row in ledger} == {"train", "validation", "test"}
    predictions = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    assert {p["id"] for p in predictions} == {row["id"] for row in ledger if row["split"] == "test"}
    assert (run / "best").is_symlink()
    assert yaml.safe_load((run / "recipe.yaml").read_text())["train"]["lr"] == 0.01


def test_json_is_all_that_stdout_holds(adapted, base, rows, tmp_path):
    done = luthier("train", *settings(base, rows, tmp_path / "r"), "--json", "--dry-run")
    told = json.loads(done.stdout)
    assert told["rows"] == {"kept": 120, "cut": 0, "left out": 0}
    assert told["sharing"] > 1
    assert not (tmp_path / "r").exists()


def test_a_dry_run_shows_rows_and_writes_nothing(base, rows, tmp_path):
    done = luthier("train", *settings(base, rows, tmp_path / "r"), "--dry-run")
    assert done.exit_code == 0
    assert done.output.count("learned\n") == 3
    assert "estimate:" in done.output
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("kind", ["run", "adapted"])
def test_evaluate_gives_the_figures_of_the_report(kind, request):
    folder = request.getfixturevalue(kind)
    done = luthier("evaluate", folder, "--json")
    assert done.exit_code == 0, done.output
    told, report = json.loads(done.stdout), json.loads((folder / "report.json").read_text())
    assert told["verdicts"][str(folder)] == report["verdict"]
    mine = told["models"][str(folder)]["metrics"]
    assert {name: mine[name]["value"] for name in mine} == pytest.approx(
        {name: report["metrics"][name]["tuned"]["value"] for name in mine}, rel=1e-6
    )


def test_evaluate_takes_a_base_model_and_a_file(base, rows):
    done = luthier("evaluate", base, "--data", rows)
    assert done.exit_code == 0, done.output
    assert "accuracy" in done.output


def test_report_is_written_again(run):
    (run / "report.html").unlink()
    done = luthier("report", run)
    assert done.exit_code == 0
    assert (run / "report.html").is_file()
    assert "better" in done.output


def test_chat_answers_as_trained(run):
    done = luthier("chat", run, stdin="it says moo 7\n\nit says woof 9\n")
    assert done.exit_code == 0, done.output
    assert "cow" in done.output
    assert "dog" in done.output


def test_chat_speaks_json_to_machines(run):
    done = luthier("chat", run, "--json", "--no-base", stdin="it says moo 7\n")
    assert json.loads(done.stdout) == {"question": "it says moo 7", "base": None, "tuned": "cow"}


@pytest.mark.parametrize(("kind", "format"), [("run", "merged"), ("adapted", "adapter"), ("adapted", "merged")])
def test_an_export_is_written_and_proved(kind, format, request, tmp_path):
    done = luthier("export", request.getfixturevalue(kind), "--format", format, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert list((tmp_path / "out").glob("*.safetensors"))


def test_loading_in_python_answers_too(run):
    import luthier as package

    assistant = package.load(run)
    assert assistant.answer("it says miaow 3") == "cat"
    assert assistant.before("it says miaow 3") in ("cat", "cow", "dog")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--data", "missing.csv"], "missing.csv"),
        (["train"], "data.train"),
        (["train", "--data", "{rows}", "train.lrr=1"], "did you mean 'train.lr'"),
        (["train", "--data", "{rows}", "--model", "no-such-model"], "no-such-model"),
        (["train", "--data", "{rows}", "--input", "txt", "--output", "label"], "txt"),
        (["train", "--data", "{run}"], "is a folder"),
        (["train", "--data", "{rows}", "--model", "{base}", "--run", "{run}"], "already holds a run"),
        (["train", "--resume", "{base}"], "holds no run"),
        (["evaluate", "{base}"], "--data"),
        (["report", "{base}"], "{base}"),
        (["chat", "nowhere"], "nowhere"),
        (["export", "{run}", "--format", "gguff"], "merged"),
        (["train", "no-such-recipe.yaml"], "no-such-recipe.yaml"),
    ],
)
def test_bad_input_is_said_in_a_sentence_with_exit_2(words, said, run, base, rows):
    done = luthier(*(word.format(rows=rows, run=run, base=base) for word in words))
    assert done.exit_code == 2, done.output
    assert said.format(base=base) in done.output
    assert "Traceback" not in done.output


def test_a_bad_row_is_named_and_left_out_only_when_asked(base, rows, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text(rows.read_text() + "only one field\n")
    done = luthier("train", *settings(base, bad, tmp_path / "r"), "--dry-run")
    assert done.exit_code == 2
    assert "bad.csv:122" in done.output
    done = luthier("train", *settings(base, bad, tmp_path / "r"), "--dry-run", "--skip-bad-rows", "--json")
    assert json.loads(done.stdout)["rows"]["left out"] == 1


def test_an_interrupted_run_says_how_to_go_on_and_ends_as_one_never_stopped(base, rows, tmp_path, adapted):
    words = ["train", *settings(base, rows, tmp_path / "r"), "method.rank=8", "train.epochs=1"]
    code = (
        "import os, signal\nfrom luthier.train import loop\n"
        "step = loop._Run.step\n"
        "def once(self, at, batches):\n"
        "    step(self, at, batches)\n"
        "    if at == 4: os.kill(os.getpid(), signal.SIGINT)\n"
        "loop._Run.step = once\n"
        f"import sys; sys.argv = ['luthier', *{[str(word) for word in words]!r}]\n"
        "from luthier.cli import main; main()"
    )
    stopped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert stopped.returncode == 128 + signal.SIGINT, stopped.stderr
    assert f"luthier train --resume {tmp_path / 'r'}" in stopped.stderr
    done = luthier("train", "--resume", tmp_path / "r", "--json")
    assert done.exit_code == 0, done.output
    ends = [(folder / "last" / "adapter_model.safetensors").read_bytes() for folder in (tmp_path / "r", adapted)]
    assert ends[0] == ends[1]


def test_a_chat_file_trains_to_text(base, tmp_path):
    path = tmp_path / "chat.jsonl"
    turns = [
        [
            {"role": "user", "content": f"say {word} {i}"},
            {"role": "assistant", "content": f"{word} it is then, my friend, as it always was, number {i}"},
        ]
        for i, word in enumerate(["yes", "no", "perhaps"] * 12)
    ]
    path.write_text("".join(json.dumps({"messages": one}) + "\n" for one in turns))
    words = [*settings(base, path, tmp_path / "r"), "train.epochs=1", "evaluate.max_new_tokens=8", "--json"]
    done = luthier("train", *words)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["task"]["kind"] == "text"
    assert {"chrf", "rougeL", "bleu", "loss"} <= report["metrics"].keys()


def test_a_run_without_held_out_rows_claims_nothing_and_still_chats_and_exports(base, rows, tmp_path):
    words = [*settings(base, rows, tmp_path / "r"), "data.validation=0", "data.test=0", "train.epochs=1", "--json"]
    done = luthier("train", *words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["verdict"]["word"] == "not enough rows to tell"
    assert luthier("chat", tmp_path / "r", stdin="it says moo 7\n").exit_code == 0
    assert luthier("report", tmp_path / "r").exit_code == 0


def test_of_a_preference_pair_only_the_chosen_answer_is_learned(base, tmp_path):
    path = tmp_path / "pairs.jsonl"
    lines = [{"prompt": f"question {i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(40)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = luthier("train", *settings(base, path, tmp_path / "r"), "--dry-run")
    assert done.exit_code == 0, done.output
    assert "preference pairs: their chosen answers are learned" in done.output
    assert "good" in done.output
    assert "bad" not in done.output


def test_a_test_row_too_long_to_ask_is_left_out_by_name_before_anything_is_computed(base, rows, tmp_path):
    long = tmp_path / "long.csv"
    long.write_text("text,label\nit says moo 1,cow\n" + "it says " + "moo " * 60 + ",cow\n")
    words = [*settings(base, rows, tmp_path / "r"), "--test", long, "--dry-run", "--json"]
    told = json.loads(luthier("train", *words).stdout)
    assert told["rows"]["left out"] == 1
    (issue,) = [issue for issue in told["issues"] if issue["check"] == "too_long"]
    assert issue["examples"] == ["long.csv:3"]


def test_a_finished_run_is_left_as_it_is_when_resumed(adapted):
    before = (adapted / "report.json").read_bytes()
    done = luthier("train", "--resume", adapted)
    assert done.exit_code == 0, done.output
    assert "is finished" in done.output
    assert (adapted / "report.json").read_bytes() == before


def test_data_that_changed_under_a_run_is_refused(base, rows, tmp_path):
    own = tmp_path / "own.csv"
    own.write_text(rows.read_text())
    words = [*settings(base, own, tmp_path / "r"), "train.epochs=1", "--json"]
    assert luthier("train", *words).exit_code == 0
    own.write_text(rows.read_text() + "it says woof 999,dog\n")
    done = luthier("evaluate", tmp_path / "r")
    assert done.exit_code == 2
    assert "has changed since" in done.output
    assert luthier("evaluate", tmp_path / "r", "--data", own).exit_code == 0


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_computed(base, rows, tmp_path):
    (tmp_path / "file").write_text("")
    done = luthier("train", *settings(base, rows, tmp_path / "file" / "r"))
    assert done.exit_code == 2
    assert "no writable folder" in done.output


def test_runs_bases_and_adapters_stand_in_one_table_with_differences_from_the_first(base, run, adapted, rows, tmp_path):
    task = tmp_path / "task.yaml"
    task.write_text(f"mode: choice\ndata: {rows}\nslices: [length, class]\n")
    checkpoint = f"{base}+{adapted / 'best'}"
    done = luthier("evaluate", base, run, adapted, checkpoint, "--task", task, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert list(told["models"]) == [str(base), str(run), str(adapted), checkpoint]
    assert told["models"][checkpoint]["metrics"] == told["models"][str(adapted)]["metrics"]
    assert list(told["differences"]["accuracy"]) == [str(run), str(adapted), checkpoint]
    gain = told["differences"]["accuracy"][str(run)]
    values = {name: one["metrics"]["accuracy"]["value"] for name, one in told["models"].items()}
    assert gain["value"] == pytest.approx(values[str(run)] - values[str(base)])
    assert gain["low"] > 0
    first, *others = told["differences"].values()
    for together in (first.values(), [one for metric in others for one in metric.values()]):
        assert [one["p_family"] for one in together] == pytest.approx(holm([one["p"] for one in together]))
    cuts = [one for cut in told["slices"] for one in cut["differences"].values()]
    assert [one["p_family"] for one in cuts] == pytest.approx(holm([one["p"] for one in cuts]))
    assert [one["before"] for one in told["reads"].values()] == sorted(one["before"] for one in told["reads"].values())
    assert {one["by"] for one in told["slices"]} == {"length", "class"}
    assert sum(one["n"] for one in told["slices"] if one["by"] == "class") == 120
    assert told["models"][str(run)]["calibration"]["ece"]["value"] >= 0
    shown = luthier("evaluate", base, run, "--task", task)
    assert f"{run} against {base}: better." in " ".join(shown.output.split())


def test_an_adapter_that_names_no_base_says_how_to_name_one(adapted, rows, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    done = luthier("evaluate", tmp_path, "--data", rows)
    assert done.exit_code == 2
    assert "BASE+" in done.output


def test_the_confidence_of_a_run_is_in_its_report(run):
    told = json.loads((run / "report.json").read_text())["calibration"]
    assert told["tuned"]["ece"]["low"] <= told["tuned"]["ece"]["value"] <= told["tuned"]["ece"]["high"]
    assert told["temperature"]["fitted_on"] == len((run / "validation.jsonl").read_text().splitlines())
    lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    assert all(0 < line["tuned"]["confidence"] <= 1 for line in lines)


def test_without_the_harness_its_tasks_say_what_to_install(base, monkeypatch):
    monkeypatch.setattr("luthier.run.harness.find_spec", lambda name: None)
    done = luthier("evaluate", base, "--lm-eval", "hellaswag")
    assert done.exit_code == 2
    assert "pip install 'luthier[lm-eval]'" in done.output


def test_the_harness_is_not_begun_without_a_task(base):
    done = luthier("evaluate", base, "--lm-eval", " , ")
    assert done.exit_code == 2
    assert "names no task" in done.output


@pytest.fixture
def harness(monkeypatch):
    """A stand-in that prints on its way, as harnesses do, and says which tasks and which model it was given."""

    def simple_evaluate(*, model, tasks):
        print("downloading ...")
        width = model["pretrained"].config.hidden_size
        return {"results": {task: {"width": width} for task in tasks}}

    made = {name: ModuleType(name) for name in ("lm_eval", "lm_eval.models.huggingface", "lm_eval.utils")}
    made["lm_eval"].simple_evaluate = simple_evaluate
    made["lm_eval.models.huggingface"].HFLM = dict
    made["lm_eval.utils"].make_table = lambda found: "|" + "|".join(found["results"]) + "|"
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("luthier.run.harness.find_spec", lambda name: object())


def test_the_harness_gives_machines_its_results_alone_and_people_its_table(base, adapted, harness):
    done = luthier("evaluate", base, adapted, "--lm-eval", "one, two", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert list(told) == [str(base), str(adapted)]
    assert all(list(results) == ["one", "two"] and results["one"]["width"] > 0 for results in told.values())
    shown = luthier("evaluate", base, "--lm-eval", "one")
    assert f"{base}\n|one|" in shown.stdout
    assert "downloading" in shown.stdout, "control: the stand-in did print"


def test_rows_of_one_question_are_said_to_be_asked_once(base, tmp_path):
    def written(name: str, rows: list[tuple[str, str]]) -> Path:
        (tmp_path / name).write_text("q,a\n" + "".join(f"{q},{a}\n" for q, a in rows))
        return tmp_path / name

    train = written("train.csv", [(f"say word{n}", f"the word is word{n}") for n in range(40)])
    alike = written("alike.csv", [(f"tell me name{n // 2}", f"it is said to be name{n}") for n in range(12)])
    apart = written("apart.csv", [(f"tell me name{n}", f"it is said to be name{n}") for n in range(12)])
    words = ["train", *settings(base, train, tmp_path / "run"), "--input", "q", "--output", "a", "--dry-run"]
    assert "12 test (the test rows are 6 questions, each asked once)" in luthier(*words, f"data.test={alike}").output
    assert "asked once" not in luthier(*words, f"data.test={apart}").output
