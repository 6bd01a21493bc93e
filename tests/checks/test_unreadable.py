"""A file in another encoding is one finding with its remedy whole; a broken row is one of its own."""

from __future__ import annotations

from pathlib import Path

from luthier.checks.unreadable import unreadable
from luthier.data.read import FileFacts, LeftOut, Reading, ReadOptions, read
from luthier.report.texts import sentence

OPTIONS = ReadOptions(input="text", output="label", skip_bad_rows=True)


def table(folder: Path, encoding: str, *more: str) -> Path:
    texts = [f"Bestellung {n} ist {'verspätet, bitte Adresse ändern' if n % 3 else 'da'}" for n in range(30)]
    lines = ["text,label", *(f'"{text}",{"ab"[n % 2]}' for n, text in enumerate(texts)), *more]
    path = folder / "t.csv"
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return path


def test_a_file_in_another_encoding_is_one_finding_that_counts_its_rows(tmp_path: Path) -> None:
    (issue,) = unreadable(read(str(table(tmp_path, "cp1252")), OPTIONS))
    assert len(issue.examples) == 20
    assert "20 rows of 30 cannot be read (lines 3, 4, 6 and 17 more)" in issue.why
    assert "the other 10" in issue.why
    assert issue.remedy.startswith("check again with data.encoding=cp1252 (if ")
    assert "data.encoding=cp1252" in sentence(issue.why, 150)


def test_a_file_in_utf8_has_none_and_a_broken_row_is_told_by_itself(tmp_path: Path) -> None:
    assert not list(unreadable(read(str(table(tmp_path, "utf-8")), OPTIONS)))
    (issue,) = unreadable(read(str(table(tmp_path, "utf-8", '"x\0y",a')), OPTIONS))
    assert issue.examples == ("t.csv:32",)
    assert "skip-bad-rows" in issue.remedy


def test_what_is_told_of_a_broken_row_shows_no_personal_data() -> None:
    bad = LeftOut("t.jsonl:2", "'label' is 'ann.smith@mail.de'; write true or false")
    reading = Reading((), (bad,), FileFacts("t.jsonl", "", 1, 1), None)
    (issue,) = unreadable(reading)
    assert "ann.smith@mail.de" not in issue.why
    assert "[EMAIL ann.…]" in issue.why


def test_a_sentence_gives_up_its_quotations_before_its_own_words() -> None:
    said = "Where is my parcel, which I have been waiting for since the beginning of the long month of May?"
    long = f"t.csv:4 and t.csv:9 of train have the same prompt, {said!r}, and the same answer; set data.x=y"
    short = sentence(long, 130)
    assert len(short) <= 130
    assert "data.x=y" in short
    assert sentence("It is short.", 130) == "It is short."
    assert sentence("never cut within a word " * 20, 60).endswith(
        (" word …", " a …", " cut …", " never …", " within …")
    )
