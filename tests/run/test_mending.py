"""`--fix` and `--undo`: planted defects go, nothing is lost on the way, and what was read comes back."""

import csv
import gzip
import json
import random
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from luthier.cli import app
from luthier.data.read import ReadOptions, read

MENDED = {"duplicate", "near_duplicate", "leak", "near_leak", "invisible", "mojibake", "unreadable", "empty"}
PLACES = ["yard", "barn", "kitchen", "garden", "street", "field", "attic", "cellar", "roof", "porch"]
SOUNDS = [("woof", "dog"), ("miaow", "cat"), ("moo", "cow")]
CLEAN = [
    (f"in the {place} on {day} something said {SOUNDS[n % 3][0]} to me", SOUNDS[n % 3][1])
    for n, (place, day) in enumerate((place, day) for place in PLACES for day in ("monday", "tuesday", "wednesday"))
]
COPY = (CLEAN[0][0].upper() + "!", "dog")
NEAR = ("a long story of how in the barn on tuesday a very small grey thing said miaow to me and to all of us", "cat")
PLANTED = [
    *CLEAN,
    COPY,
    (CLEAN[1][0], "cow"),
    (CLEAN[1][0] + "!", "cat"),
    ('it said\u200b, \nwith a "quote", woof', "dog"),
    ("one line\nand\u200b\nanother\rsaid moo", "cow"),
    ("the cafÃ© dog said woof to the whole cafÃ©", "dog"),
    NEAR,
    (NEAR[0] + " there", "cat"),
]


def luthier(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def table(path: Path, rows: list[tuple[str, str]], **kind: str) -> Path:
    with path.open("w", newline="", encoding=kind.pop("encoding", "utf-8")) as file:
        csv.writer(file, **kind).writerows([("text", "label"), *rows])
    return path


def mend(tmp: Path, train: Path, *words: object, into: str = "fixed") -> list[dict]:
    done = luthier("check", train, "--out", tmp / "audit", "--fast", "--fix", tmp / into, *words)
    assert done.exit_code in (0, 1), done.output
    return [json.loads(line) for line in (tmp / into / "fixes.jsonl").read_text(encoding="utf-8").splitlines()]


def flagged(output: str) -> set[str]:
    return {check for check, count in json.loads(output)["flagged"].items() if count}


def rows_of(path: Path) -> list[tuple[str, str]]:
    return [(row.question, row.answer) for row in read(str(path), ReadOptions()).examples]


def plainly(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without what tells two spellings of one prompt apart."""
    return sorted((" ".join(re.sub(r"\W", " ", text).casefold().split()), label) for text, label in rows)


def as_lines(rows: list[tuple[str, str]]) -> str:
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)


def written(path: Path, rows: list[tuple[str, str]]) -> Path:
    """The rows in the format that the name's ending tells, with that format's nastier ways."""
    objects = [{"text": text, "label": label} for text, label in rows]
    name = path.name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(as_lines(rows).encode()))
    elif name == "semicolons.csv":
        table(path, rows, delimiter=";", lineterminator="\r\n", encoding="utf-8-sig", quoting=csv.QUOTE_ALL)
    elif name == "sixteen.csv":
        path.write_bytes(table(path, rows).read_text(encoding="utf-8").encode("utf-16"))
    elif name.endswith(".tsv"):
        table(path, rows, delimiter="\t")
    elif name.endswith(".csv"):
        table(path, rows)
    elif name.endswith(".parquet"):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(objects), path)
    elif name == "array.json":
        path.write_text(json.dumps(objects))
    else:
        path.write_text("\n" + as_lines(rows) + "\n" + as_lines(rows[:1]).rstrip())
    return path


@pytest.mark.parametrize(
    ("name", "back"),
    [
        ("plain.csv", "bytes"),
        ("semicolons.csv", "bytes"),
        ("sixteen.csv", "bytes"),
        ("tabs.tsv", "bytes"),
        ("lines.jsonl", "bytes"),
        ("lines.json", "bytes"),
        ("zipped.jsonl.gz", "content"),
        ("array.json", "records"),
        ("columns.parquet", "records"),
    ],
)
def test_planted_defects_are_mended_and_undone(tmp_path, name, back):
    train = written(tmp_path / name, PLANTED)
    before, rows = train.read_bytes(), rows_of(train)
    log = mend(tmp_path, train)
    (mended,) = [path for path in (tmp_path / "fixed").iterdir() if not path.name.startswith("fixes")]
    kept = rows_of(mended)
    assert len(rows) == len(kept) + sum(entry["action"] == "left out" for entry in log)
    assert {entry["check"] for entry in log} >= {
        "duplicate",
        "near_duplicate",
        "contradiction",
        "invisible",
        "mojibake",
    }
    again = luthier("check", mended, "--out", tmp_path / "b", "--fast", "--json")
    assert not MENDED & flagged(again.stdout)
    train.rename(tmp_path / "elsewhere")
    done = luthier("check", "--undo", tmp_path / "fixed", "--json")
    (file,) = json.loads(done.stdout)["files"]
    assert file["how"] == back
    assert rows_of(Path(file["path"])) == rows
    if back == "bytes":
        assert Path(file["path"]).read_bytes() == before
    if back == "content":
        assert gzip.decompress(Path(file["path"]).read_bytes()) == gzip.decompress(before)


def test_what_is_not_mended_is_copied_to_the_byte(tmp_path):
    train = written(tmp_path / "semicolons.csv", [*CLEAN, COPY])
    mend(tmp_path, train)
    mended = (tmp_path / "fixed" / "semicolons.csv").read_bytes()
    assert train.read_bytes().startswith(mended)


def test_with_nothing_to_mend_it_says_so_and_the_file_is_the_same(tmp_path):
    train = table(tmp_path / "train.csv", CLEAN)
    done = luthier("check", train, "--out", tmp_path / "a", "--fast", "--fix", tmp_path / "fixed")
    assert "nothing to mend" in done.output
    assert (tmp_path / "fixed" / "train.csv").read_bytes() == train.read_bytes()


ROW = st.tuples(
    st.sampled_from([text for text, _ in CLEAN[:6]] + ["woof woof\u200b", 'moo, "moo"\n moo', "one two three four"]),
    st.sampled_from(["", "!", " ", "\u200b"]),
    st.sampled_from(["dog", "cat", "dog", "dog"]),
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(ROW, min_size=2, max_size=14), shuffle=st.randoms(use_true_random=False))
def test_laws_of_mending(tmp_path_factory, rows, shuffle):
    tmp = tmp_path_factory.mktemp("law")
    rows = [(text + mark, label) for text, mark, label in rows]
    train = table(tmp / "train.csv", rows)
    log = mend(tmp, train)
    kept = rows_of(tmp / "fixed" / "train.csv")
    assert len(rows) == len(kept) + sum(entry["action"] == "left out" for entry in log)
    mend(tmp, tmp / "fixed" / "train.csv", into="twice")
    assert (tmp / "twice" / "train.csv").read_bytes() == (tmp / "fixed" / "train.csv").read_bytes()
    mixed = table(tmp / "mixed.csv", shuffle.sample(rows, len(rows)))
    mend(tmp, mixed, into="mixed")
    assert plainly(rows_of(tmp / "mixed" / "mixed.csv")) == plainly(kept)
    assert luthier("check", "--undo", tmp / "fixed", "--out", tmp / "back").exit_code == 0
    assert (tmp / "back" / "train.csv").read_bytes() == train.read_bytes()


def test_of_copies_the_one_with_more_filled_in_stays_and_the_ledger_says_why(tmp_path):
    train = tmp_path / "train.jsonl"
    rows = [{"text": CLEAN[0][0], "label": "dog", "by": ""}, {"text": CLEAN[0][0], "label": "dog", "by": "ann"}]
    train.write_text("".join(json.dumps(row) + "\n" for row in rows) + as_lines(CLEAN[1:]))
    (entry,) = mend(tmp_path, train)
    assert (entry["id"], entry["kept"]) == ("train.jsonl:1", "train.jsonl:2")
    assert "has more columns filled in" in entry["why"]


@pytest.mark.parametrize(("votes", "gone"), [("dd", 0), ("ddc", 1), ("dc", 0), ("ddcc", 0), ("ddck", 0)])
def test_only_a_lone_voice_is_outvoted(tmp_path, votes, gone):
    labels = {"d": "dog", "c": "cat", "k": "cow"}
    extra = [("what is it", labels[vote]) for vote in votes]
    log = mend(tmp_path, table(tmp_path / "train.csv", [*CLEAN, *extra]))
    assert [entry["text"] for entry in log if entry["check"] == "contradiction"] == ["what is it,cat\r\n"] * gone


def test_a_held_out_row_stays_and_its_training_twins_leave(tmp_path):
    train = table(tmp_path / "train.csv", [*CLEAN, (CLEAN[0][0] + "?", "dog")])
    test = table(tmp_path / "test.csv", [COPY])
    log = mend(tmp_path, train, "--test", test)
    assert {entry["id"] for entry in log} == {"train.csv:2", "train.csv:32"}
    assert rows_of(tmp_path / "fixed" / "test.csv") == [COPY]


def test_two_files_of_one_name_and_rows_on_one_line_are_kept_apart(tmp_path):
    for part, rows in (("a", PLANTED), ("b", [("some other words that nobody said", "dog")] * 2)):
        (tmp_path / part).mkdir()
        written(tmp_path / part / "array.json", rows)
    mend(tmp_path, tmp_path / "a" / "array.json", "--test", tmp_path / "b" / "array.json")
    assert len(rows_of(tmp_path / "fixed" / "test-array.jsonl")) == 1
    done = luthier("check", "--undo", tmp_path / "fixed")
    assert done.exit_code == 0, done.output


def test_redacted_texts_are_nowhere_and_come_back_from_the_original_alone(tmp_path):
    secret = ("write to ann.lee@firm.org, it said woof", "dog")
    train = table(tmp_path / "train.csv", [*CLEAN, secret, secret, COPY, ("ann.l\u200bee@firm.org says moo", "cow")])
    mend(tmp_path, train, "--redact")
    assert not [p for p in (tmp_path / "fixed").iterdir() if "firm.org" in p.read_text()]
    done = luthier("check", "--undo", tmp_path / "fixed", "--out", tmp_path / "back")
    assert "copied from the original" in " ".join(done.output.split())
    assert (tmp_path / "back" / "train.csv").read_bytes() == train.read_bytes()
    train.write_text("text,label\n")
    gone = luthier("check", "--undo", tmp_path / "fixed", "--out", tmp_path / "again")
    assert gone.exit_code == 2
    assert "only a copy of it can bring them back" in " ".join(gone.output.split())


@pytest.mark.parametrize("name", ["train.csv", "fixes.jsonl"])
def test_a_changed_file_is_not_undone(tmp_path, name):
    mend(tmp_path, table(tmp_path / "train.csv", PLANTED))
    with (tmp_path / "fixed" / name).open("a") as file:
        file.write("\n")
    done = luthier("check", "--undo", tmp_path / "fixed")
    assert done.exit_code == 2
    assert f"{name} was changed since" in " ".join(done.output.split())


def test_nothing_is_written_over(tmp_path):
    train = table(tmp_path / "train.csv", PLANTED)
    mend(tmp_path, train)
    assert luthier("check", "--undo", tmp_path / "fixed", "--out", tmp_path).exit_code == 2
    other = table(tmp_path / "other.csv", CLEAN)
    done = luthier("check", other, "--out", tmp_path / "a", "--fast", "--fix", tmp_path / "fixed")
    assert done.exit_code == 2
    assert "of other files" in " ".join(done.output.split())
    assert luthier("check", "--undo", tmp_path / "nothing").exit_code == 2


@pytest.mark.parametrize("words", [(), ("--split",)])
def test_a_file_that_no_mending_wrote_is_not_replaced(tmp_path, words):
    train = table(tmp_path / "train.csv", PLANTED)
    own = tmp_path / "own" / "train.csv"
    own.parent.mkdir()
    own.write_text("my own work\n")
    done = luthier("check", train, "--out", tmp_path / "a", "--fast", "--fix", tmp_path / "own", *words)
    said = " ".join(done.output.split())
    assert done.exit_code == 2, said
    assert "train.csv: is there already" in said.replace("- ", "-")
    assert "name another folder" in said
    assert own.read_text() == "my own work\n"
    assert [path.name for path in own.parent.iterdir()] == ["train.csv"]
    own.rename(own.with_name("other.csv"))
    assert mend(tmp_path, train, *words, into="own")
    assert own.with_name("other.csv").read_text() == "my own work\n"


@pytest.mark.parametrize("edited", [None, "train.csv", "fixes.jsonl"])
def test_mended_files_are_written_again_unless_they_were_edited(tmp_path, edited):
    train = table(tmp_path / "train.csv", PLANTED)
    mend(tmp_path, train)
    fixed = tmp_path / "fixed"
    if edited is not None:
        with (fixed / edited).open("a") as file:
            file.write("by hand\n")
    before = {path.name: path.read_bytes() for path in fixed.iterdir()}
    words = ("--redact",) if edited else ()
    done = luthier("check", train, "--out", tmp_path / "b", "--fast", "--fix", fixed, *words)
    assert (done.exit_code == 2) == (edited is not None), done.output
    assert {path.name: path.read_bytes() for path in fixed.iterdir()} == before
    if edited is not None:
        said = " ".join(done.output.split())
        assert f"{edited}: changed since --fix wrote it; give what you changed to `luthier check` itself" in said


def test_a_cap_leaves_out_and_never_repeats(tmp_path):
    rows = [
        (f"row {n} says {SOUNDS[label][0]} and more {n * 7}", SOUNDS[label][1])
        for label, count in enumerate((3, 5, 20))
        for n in range(count)
    ]
    random.Random(0).shuffle(rows)
    train = table(tmp_path / "train.csv", rows)
    log = mend(tmp_path, train, "--balance", "cap=median", "--silent", "near_duplicate")
    kept = rows_of(tmp_path / "fixed" / "train.csv")
    assert sorted(label for _, label in kept) == ["cat"] * 5 + ["cow"] * 5 + ["dog"] * 3
    assert {entry["check"] for entry in log} == {"balance"}
    assert luthier("check", train, "--fix", tmp_path / "x", "--balance", "cap=0").exit_code == 2
    assert luthier("check", train, "--balance", "weight").exit_code == 2


@pytest.mark.parametrize(("asked", "loud"), [("cap=median", True), ("cap=4", True), ("cap=5", False)])
def test_a_cap_that_leaves_out_more_than_half_says_so_everywhere(tmp_path, asked, loud):
    labels = [*(f"rare {n}" for n in range(7)), *["dog"] * 12, *["cat"] * 15]
    draw = random.Random(2)
    rows = [(" ".join(f"word{draw.randrange(900)}" for _ in range(12)), label) for label in labels]
    train = table(tmp_path / "train.csv", rows)
    words = ("check", train, "--out", tmp_path / "a", "--fast", "--fix", tmp_path / "fixed", "--balance", asked)
    told = " ".join(luthier(*words).output.split())
    (*warned,) = json.loads(luthier(*words, "--json").stdout)["mended"]["warnings"]
    assert json.loads((tmp_path / "fixed" / "fixes.json").read_text())["warnings"] == warned
    assert len(warned) == ("warning: --balance" in told) == loud
    if asked == "cap=median":
        assert "cap=median (a cap of 1) leaves 9 of 34 training rows, at most 1 row of each of 9 labels" in warned[0]
        assert "cap=5 keeps 17, and weight keeps all" in warned[0]


@pytest.mark.parametrize("name", ["train.csv", "train.jsonl"])
def test_weights_are_written_read_and_undone(tmp_path, name):
    rows = [*CLEAN, *((f"only one more dog {n} said woof in place {n * n}", "dog") for n in range(6))]
    train = written(tmp_path / name, rows)
    mend(tmp_path, train, "--balance", "weight", "--silent", "near_duplicate")
    weighted = read(str(tmp_path / "fixed" / name), ReadOptions(weight="weight")).examples
    total = {
        label: sum(row.completions[0].messages[-1].weight for row in weighted if row.label == label)
        for _, label in SOUNDS
    }
    assert max(total.values()) - min(total.values()) < 1e-3
    assert abs(sum(total.values()) - len(weighted)) < 1e-2
    assert luthier("check", "--undo", tmp_path / "fixed", "--out", tmp_path / "back").exit_code == 0
    assert (tmp_path / "back" / name).read_bytes() == train.read_bytes()


def test_a_split_leaks_nothing_keeps_groups_and_is_undone(tmp_path):
    draw = random.Random(1)
    words = [f"word{n}" for n in range(400)]
    rows = [(" ".join(draw.sample(words, 12)), SOUNDS[n % 3][1], f"user {n // 4}") for n in range(120)]
    rows += [
        (text + " tail", "dog" if label != "dog" else "cow", f"twin {n}")
        for n, (text, label, _) in enumerate(rows[:30])
    ]
    train = tmp_path / "rows.csv"
    with train.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label", "user"), *rows])
    for into in ("one", "two"):
        mend(tmp_path, train, "--split", "--group", "user", "data.validation=0.2", "data.test=0.2", into=into)
    fixed = tmp_path / "one"
    for part in ("train", "validation", "test"):
        assert (fixed / f"{part}.csv").read_bytes() == (tmp_path / "two" / f"{part}.csv").read_bytes()
    files = [fixed / "train.csv", "--validation", fixed / "validation.csv", "--test", fixed / "test.csv"]
    again = luthier("check", *files, "--group", "user", "--out", tmp_path / "b", "--fast", "--json")
    facts = json.loads(again.stdout)
    assert not {"leak", "near_leak", "group_leak"} & flagged(again.stdout)
    assert sum(facts["rows"].values()) == len(rows)
    assert luthier("check", "--undo", fixed, "--out", tmp_path / "back").exit_code == 0
    assert (tmp_path / "back" / "rows.csv").read_bytes() == train.read_bytes()


def test_what_a_split_says_to_train_with_reads_what_it_wrote(tmp_path, base):
    draw = random.Random(3)
    train = tmp_path / "my rows.csv"
    with train.open("w", newline="", encoding="latin-1") as file:
        write = csv.writer(file)
        write.writerow(["said so", "by", "who"])
        for n in range(80):
            text = " ".join(f"wörd{draw.randrange(900)}" for _ in range(12))
            write.writerow([text, SOUNDS[n % 2][1], f"user {n // 2}"])
    columns = ("--input", "said so", "--output", "by", "--group", "who")
    asked = ("--split", "--balance", "weight", "data.encoding=latin-1", "data.learn=last", "data.instruction=Who's it?")
    words = ("check", train, "--out", tmp_path / "a", "--fast", "--fix", tmp_path / "the split", *columns, *asked)
    told = luthier(*words).output
    command = json.loads(luthier(*words, "--json").stdout)["mended"]["train"]
    shown = told[told.index("luthier train") :].split("\nledger:")[0].replace("\\\n", "")
    assert "".join(shown.split()) == "".join(command.split())
    named = shlex.split(command)[1:]
    settings = ("data.weight=weight", "data.encoding=iso8859-1", "data.learn=last", "data.instruction=Who's it?")
    assert {*columns, *settings} <= {*named}
    rest = (f"model.name={base}", "--dry-run", "--json")
    dry = luthier(*named, *rest)
    assert dry.exit_code == 0, dry.output
    plain = luthier(*(word for word in named if word not in settings), *rest)
    assert plain.exit_code == 2, plain.output


@pytest.mark.parametrize(
    ("rows", "words", "test"),
    [(200, (), 30), (200, ("data.test=0.15",), 30), (1000, (), 100), (40, (), 4), (200, ("data.test=0.2",), 40)],
    ids=["few", "nearly enough", "many", "far too few", "chosen"],
)
def test_a_drawn_split_holds_enough_rows_to_show_something(rows, words, test, tmp_path):
    """Ten per cent where that is enough or nobody can have enough; a share that someone chose is kept."""
    columns = "\n".join(f"message {n} of {n * 7919}: {n * 104729},{'yes' if n % 2 else 'no'}" for n in range(rows))
    train = tmp_path / "train.csv"
    train.write_text(f"text,label\n{columns}\n")
    done = luthier(
        *("check", train, "--out", tmp_path / "a", "--fast", "--fix", tmp_path / "m", "--split", "--json"), *words
    )
    facts = json.loads(done.stdout)["mended"]
    assert facts["files"]["test"]["rows"] == test
    assert any("30 are kept for" in told for told in facts["warnings"]) == (rows == 200)


def test_a_split_that_leaves_a_part_empty_is_refused(tmp_path):
    train = tmp_path / "train.csv"
    lines = "".join(f"message {n} of {n * 7919},{'yes' if n % 2 else 'no'},all\n" for n in range(60))
    train.write_text(f"text,label,user\n{lines}")
    words = ("check", train, "--group", "user", "--split", "--fix", tmp_path / "m", "--out", tmp_path / "a", "--fast")
    done = luthier(*words)
    assert done.exit_code == 2
    assert "no row is left for" in " ".join(done.output.split())
    assert not (tmp_path / "m").exists()
