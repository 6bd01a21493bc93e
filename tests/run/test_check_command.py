"""`luthier check` as a newcomer meets it: planted defects found and mended, files left alone, clean rows let by."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from luthier.checks import Check, checks
from luthier.cli import app
from luthier.types import Issue


def luthier(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def table(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.fixture
def clean() -> list[tuple[str, str]]:
    sounds = [("woof", "dog"), ("miaow", "cat"), ("moo", "cow")]
    places = ["yard", "barn", "kitchen", "garden", "street", "field", "attic", "cellar", "roof", "porch"]
    days = ["monday", "tuesday", "wednesday", "thursday"]
    return [
        (f"in the {place} on {day} something said {sounds[i % 3][0]} to me", sounds[i % 3][1])
        for i, (place, day) in enumerate((place, day) for place in places for day in days)
    ]


def test_a_planted_leak_ends_with_exit_1_and_is_named(clean, tmp_path):
    train = table(tmp_path / "train.csv", clean)
    test = table(
        tmp_path / "test.csv", [("In the YARD on monday, something said woof to me!", "dog"), ("moo moo", "cow")]
    )
    done = luthier("check", train, "--test", test, "--out", tmp_path / "audit", "--fast")
    assert done.exit_code == 1, done.output
    assert "test.csv:2" in done.output
    issues = [json.loads(line) for line in (tmp_path / "audit" / "issues.jsonl").read_text().splitlines()]
    assert ["test.csv:2", "train.csv:2"] in [issue["examples"] for issue in issues if issue["check"] == "leak"]
    assert "test.csv:2" in (tmp_path / "audit" / "audit.html").read_text()


def test_clean_rows_pass_and_the_same_rows_give_the_same_bytes(clean, tmp_path):
    train = table(tmp_path / "train.csv", clean)
    for name in ("one", "two"):
        done = luthier("check", train, "--out", tmp_path / name, "--fast")
        assert done.exit_code == 0, done.output
    for name in ("issues.jsonl", "audit.json", "audit.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_an_evaluation_file_is_read_by_its_own_shape_and_one_of_none_is_refused_with_its_columns(clean, tmp_path):
    train = table(tmp_path / "train.csv", clean)
    exam = tmp_path / "exam.jsonl"
    words = ["check", train, "--input", "text", "--output", "label", "--against", exam, "--fast", "--out"]
    leaked = clean[0][0]
    for row in (
        {"question": leaked, "answer": "dog"},
        {"instruction": leaked, "output": "dog"},
        {"messages": [{"role": "user", "content": leaked}, {"role": "assistant", "content": "dog"}]},
    ):
        exam.write_text(json.dumps(row) + "\n")
        done = luthier(*words, tmp_path / "audit")
        issues = [json.loads(line) for line in (tmp_path / "audit" / "issues.jsonl").read_text().splitlines()]
        assert "contamination" in {issue["check"] for issue in issues}, done.output
    exam.write_text(json.dumps({"passage": leaked, "verdict": "dog"}) + "\n")
    done = luthier(*words, tmp_path / "other")
    assert done.exit_code == 2
    assert "exam.jsonl: no known shape of record in the columns passage, verdict" in " ".join(done.output.split())
    exam.write_text(json.dumps({"text": "", "label": "dog", "question": leaked, "answer": "dog"}) + "\n")
    done = luthier(*words, tmp_path / "broken")
    assert "'text' is empty" in " ".join(done.output.split()), "columns that are there are never passed over"


def test_an_unreadable_row_is_a_finding_and_the_others_are_still_checked(clean, tmp_path):
    train = table(tmp_path / "train.csv", clean)
    with train.open("a") as file:
        file.write("one,two,three\n")
    done = luthier("check", train, "--out", tmp_path / "audit", "--fast", "--json")
    facts = json.loads(done.stdout)
    assert done.exit_code == 1
    assert facts["failed"] == ["unreadable"]
    assert facts["rows"]["train"] == len(clean)


def test_any_check_can_be_made_a_gate_or_silenced(clean, tmp_path):
    train = table(tmp_path / "train.csv", [*clean, ("it said woof", "Dog")])
    plain = luthier("check", train, "--out", tmp_path / "a", "--fast", "--silent", "rare_label")
    assert plain.exit_code == 0, plain.output
    assert luthier("check", train, "--out", tmp_path / "b", "--fast", "--gate", "labels_alike").exit_code == 1
    silent = luthier("check", train, "--out", tmp_path / "c", "--fast", "--silent", "labels_alike", "--json")
    assert "labels_alike" not in json.loads(silent.stdout)["flagged"]
    wrong = luthier("check", train, "--out", tmp_path / "d", "--gate", "labels_alik")
    assert wrong.exit_code == 2
    assert "did you mean 'labels_alike'" in wrong.output


def test_mending_writes_new_files_leaves_the_old_and_says_what_it_did(clean, tmp_path):
    rows = [*clean, ("In the yard on monday something said woof to me", "dog")]
    train = table(tmp_path / "train.csv", rows)
    test = table(tmp_path / "test.csv", [("in the barn on monday something said miaow to me", "cat")])
    before = train.read_bytes(), test.read_bytes()
    fixed = tmp_path / "fixed"
    assert luthier("check", train, "--test", test, "--out", tmp_path / "a", "--fast").exit_code == 1
    done = luthier("check", train, "--test", test, "--out", tmp_path / "a", "--fast", "--fix", fixed)
    assert done.exit_code == 0, done.output
    assert "mend before training: leak" in done.output
    assert "the mended rows pass every gate" in done.output
    assert (train.read_bytes(), test.read_bytes()) == before
    fixes = [json.loads(line) for line in (fixed / "fixes.jsonl").read_text().splitlines()]
    assert {fix["check"] for fix in fixes} == {"duplicate", "leak"}
    with (fixed / "train.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows) - 2
    again = luthier("check", fixed / "train.csv", "--test", fixed / "test.csv", "--out", tmp_path / "b", "--fast")
    assert again.exit_code == 0, again.output


def test_a_gate_that_nothing_mends_still_ends_with_exit_1(clean, tmp_path):
    train = table(tmp_path / "train.csv", [*clean, ("it said woof", "Dog")])
    words = ("check", train, "--out", tmp_path / "a", "--fast", "--gate", "labels_alike", "--fix", tmp_path / "fixed")
    done = luthier(*words)
    assert done.exit_code == 1
    assert "a gate fails on the mended rows, too: labels alike 1" in " ".join(done.output.split())
    facts = json.loads(luthier(*words, "--json").stdout)
    assert (facts["failed"], facts["mended"]["failed"]) == (["labels_alike"], ["labels_alike"])


def test_mending_into_the_folder_of_the_files_is_refused(clean, tmp_path):
    train = table(tmp_path / "train.csv", clean)
    done = luthier("check", train, "--out", tmp_path / "a", "--fast", "--fix", tmp_path)
    assert done.exit_code == 2
    assert "nothing is lost" in " ".join(done.output.split())
    assert len(train.read_text().splitlines()) == len(clean) + 1


def test_redacting_replaces_the_same_value_by_the_same_name(clean, tmp_path):
    rows = [*clean, ("write to ann.lee@firm.org", "cow"), ("ann.lee@firm.org said miaow", "cat")]
    train = table(tmp_path / "train.csv", rows)
    luthier("check", train, "--out", tmp_path / "a", "--fast", "--fix", tmp_path / "fixed", "--redact")
    text = (tmp_path / "fixed" / "train.csv").read_text()
    assert "ann.lee" not in text + (tmp_path / "fixed" / "fixes.jsonl").read_text()
    assert text.count("[EMAIL_1]") == 2
    assert luthier("check", train, "--redact").exit_code == 2


def test_ctrl_c_keeps_what_was_found(clean, tmp_path, monkeypatch):
    def stop(corpus):
        yield Issue("stopped", (corpus.rows[0].id,), 0.5, True, "found before the stop", "")
        raise KeyboardInterrupt

    monkeypatch.setitem(checks, "stopped", Check(stop, "stops"))
    train = table(tmp_path / "train.csv", [*clean, ("it said woof", "Dog")])
    done = luthier("check", train, "--out", tmp_path / "a", "--fast")
    assert done.exit_code == 130
    assert "Stopped before every check was run" in " ".join(done.output.split())
    found = {json.loads(line)["check"] for line in (tmp_path / "a" / "issues.jsonl").read_text().splitlines()}
    assert {"labels_alike", "stopped"} <= found


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium here")
def test_nasty_text_stays_text_on_the_page(clean, tmp_path):
    nasty = "<script>document.title='owned'</script>\u202eevil\x00 {{ 7*7 }}"
    train = table(
        tmp_path / "train.csv", [*clean, (nasty.replace("\x00", ""), "dog"), (nasty.replace("\x00", ""), "cat")]
    )
    luthier("check", train, "--out", tmp_path / "a", "--fast")
    page = (tmp_path / "a" / "audit.html").read_text()
    assert "<script>document.title" not in page
    assert "{{ 7*7 }}" in page or "49" not in page


def test_the_proofs_of_training_are_asked_of_every_split_where_the_model_is_named(clean, tmp_path):
    """A text with the model's own beginning of sequence; without a model the audit says what it lacks."""
    train = table(tmp_path / "train.csv", clean)
    test = table(tmp_path / "test.csv", [("a goat <|im_start|> said woof", "dog")])
    words = ("check", train, "--test", test, "--fast", "--json")
    done = luthier(*words, "--out", tmp_path / "a", "--model", "smollm2-135m")
    facts = json.loads(done.stdout)
    lines = [json.loads(line) for line in (tmp_path / "a" / "issues.jsonl").read_text().splitlines()]
    found = [line for line in lines if line["check"].startswith("gate-")]
    assert [line["examples"] for line in found] == [["test.csv:2"]] * len(found)
    assert found
    assert done.exit_code == 1
    assert {line["check"] for line in found} <= set(facts["failed"])
    plain = json.loads(luthier(*words, "--out", tmp_path / "b").stdout)
    assert "--model" in plain["skipped"]["gate-beginning"]


@pytest.mark.parametrize("words", [("--fast", "--gate", "label_error"), ("--silent", "leak", "--gate", "leak")])
def test_a_named_gate_that_is_not_run_is_an_error(words, clean, tmp_path):
    done = luthier("check", table(tmp_path / "train.csv", clean), "--out", tmp_path / "a", *words)
    assert done.exit_code == 2
    assert "not run, and so no gate" in " ".join(done.output.split())


def test_an_audit_is_not_written_over_by_that_of_another_file(clean, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two", "one"):
        (tmp_path / name).mkdir(exist_ok=True)
        luthier("check", table(tmp_path / name / "train.csv", clean), "--fast")
    assert sorted(path.name for path in (tmp_path / "audits").iterdir()) == ["train", "train-2"]


def test_an_output_folder_that_is_a_file_is_refused_before_the_audit(clean, tmp_path):
    file = tmp_path / "taken"
    file.touch()
    done = luthier("check", table(tmp_path / "train.csv", clean), "--out", file, "--fast")
    assert done.exit_code == 2
    assert "name another folder with --out" in " ".join(done.output.split())


def test_rows_lost_to_a_wrong_encoding_are_not_left_out_by_a_fix(tmp_path):
    train = tmp_path / "train.csv"
    rows = "".join(
        f"parcel number {n} {'für Köln' if n % 9 == 4 else 'for Rome'},{'ja' if n % 2 else 'nein'}\n" for n in range(90)
    )
    train.write_bytes(("text,label\n" + rows).encode("cp1252"))
    done = luthier("check", train, "--out", tmp_path / "a", "--fast", "--fix", tmp_path / "m")
    assert done.exit_code == 2, done.output
    assert "would be lost to a wrong encoding" in " ".join(done.output.split())
    assert not (tmp_path / "m").exists()


def test_words_between_colons_stay_words(tmp_path):
    done = luthier("check", tmp_path / "no:train:here.csv", "--out", tmp_path / "a")
    assert "no:train:here" in done.output.replace("\n", "")


def test_a_terminal_says_how_to_go_on_and_what_to_beat_until_rows_are_mended(clean, tmp_path):
    train = table(tmp_path / "train.csv", [*clean, clean[0]])
    words = ("check", train, "--out", tmp_path / "a", "--silent", "near_duplicate")
    told = " ".join(luthier(*words).output.split())
    facts = json.loads(luthier(*words, "--json").stdout)
    ((way, metric, value, low, high, _),) = (
        row
        for one in facts["tables"]
        if one["title"] == "Baselines"
        for row in one["rows"]
        if row[:2] == ["TF-IDF + linear SVM", "accuracy"]
    )
    fix = "next: add --fix FOLDER to mend what needs no person; audit.html shows each finding with its remedy"
    bar = f"the bar without a language model: {way}, {metric} {value:.3f} [{low:.3f}, {high:.3f}]"
    assert f"{fix} {bar} audit " in told
    mended = " ".join(luthier(*words, "--fix", tmp_path / "f").output.split())
    assert "next: add" not in mended
    assert "the bar without" not in " ".join(luthier(*words, "--fast").output.split())


def test_nothing_is_offered_for_mending_where_only_a_person_can_mend(clean, tmp_path):
    train = table(tmp_path / "train.csv", [*clean, ("it said woof", "Dog")])
    told = " ".join(luthier("check", train, "--out", tmp_path / "a", "--fast").output.split())
    assert "next: audit.html shows each finding" in told
    assert "--fix" not in told
