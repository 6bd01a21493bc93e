"""A missing or damaged file is named, with its line; what a run may lack is said on the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from page_reading import read_page

from luthier import report
from luthier.errors import RunError
from luthier.report.folder import read_run

REQUIRED = ["recipe.yaml", "data.json", "rows.jsonl", "metrics.jsonl"]
OPTIONAL = ["issues.jsonl", "predictions.jsonl", "environment.json"]
LINED = ["rows.jsonl", "metrics.jsonl", "issues.jsonl", "predictions.jsonl"]


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(RunError, match=rf"{name}: missing|no {name}"):
        report.write(run)
    with pytest.raises(RunError, match=rf"{name}: missing|no {name}"):
        report.summary(run)


def test_a_run_that_did_not_finish_says_what_finishes_it(run: Path) -> None:
    for name in ("report.json", "metrics.jsonl"):
        (run / name).unlink()
    with pytest.raises(RunError, match=rf"no report\.json yet; `luthier train --resume {run}` finishes the run"):
        report.write(run)


@pytest.mark.parametrize("name", OPTIONAL)
def test_what_a_run_may_lack_is_said_on_the_page(run: Path, name: str) -> None:
    (run / name).unlink()
    page = read_page(report.write(run))
    assert name in page.of("code")
    assert "The run holds no" in page.text
    report.summary(run)


@pytest.mark.parametrize("name", LINED)
def test_a_damaged_line_is_named_by_number(run: Path, name: str) -> None:
    whole = (run / name).read_bytes().split(b"\n")
    (run / name).write_bytes(b"\n".join([*whole[:2], whole[2][: len(whole[2]) // 2], *whole[3:]]))
    with pytest.raises(RunError, match=f"{name}:3: not JSON"):
        read_run(run)


@pytest.mark.parametrize("name", ["data.json", "report.json", "environment.json"])
def test_a_damaged_document_is_named(run: Path, name: str) -> None:
    (run / name).write_bytes((run / name).read_bytes()[:40])
    with pytest.raises(RunError, match=f"{name}: not JSON"):
        read_run(run)


def test_a_wrong_value_is_named_by_field(run: Path) -> None:
    line = {"id": "a:1", "fate": "lost"}
    (run / "rows.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(RunError, match=r"rows\.jsonl:1: field 'fate': .* found \"lost\""):
        read_run(run)


def test_a_recipe_that_is_not_yaml_is_named(run: Path) -> None:
    (run / "recipe.yaml").write_text("data: [1, 2\n")
    with pytest.raises(RunError, match=r"recipe\.yaml: not YAML"):
        read_run(run)
    (run / "recipe.yaml").write_bytes(b"data: \xff")
    with pytest.raises(RunError, match=r"recipe\.yaml: not UTF-8 at byte 6"):
        read_run(run)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        report.write(tmp_path / "nowhere")


def test_only_a_line_feed_ends_a_line(run: Path) -> None:
    line = '{"id": "a\u2028b\u0085c", "fate": "kept"}\n'
    (run / "rows.jsonl").write_text(line * 2, encoding="utf-8")
    assert [row.id for row in read_run(run).rows] == ["a\u2028b\u0085c"] * 2


def test_the_public_names_are_the_room() -> None:
    assert sorted(report.__all__) == ["summary", "write"]
