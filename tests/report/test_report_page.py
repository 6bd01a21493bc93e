"""The page stands alone, says the verdict first, and no text in a run can change its structure."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from page_reading import Page, read_page

from luthier import report
from luthier.report.curves import FRAME
from luthier.report.texts import HEAD, LONGEST, excerpt, fold, prose

NASTY = {
    "script end": "</script><script>document.title='owned'</script>",
    "attribute": '" onmouseover="alert(1)" x=\'',
    "comment": "<!-- <style> ]]> {{ 7 * 7 }} {% endif %} &lt;b&gt;",
    "one long token": "W" * 90,
    "right to left": "\u202eשלום\u2066 مرحبا \u200f",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈 🇺🇦 zé́́́",
    "controls": "a\x00b\x1b[31mc\x07\x85d",
}
KEPT_WORDS = {"kind", "fate", "split", "word", "created", "energy_source"}
"""Fields whose text is a keyword of the contract rather than anyone's words."""


def with_text(value: object, text: str, key: str = "") -> object:
    """A record with every free text in it, and every metric's name, replaced."""
    if isinstance(value, dict):
        renamed = key in ("metrics", "scores")
        return {f"{text}{i}" if renamed else k: with_text(v, text, k) for i, (k, v) in enumerate(value.items())}
    if isinstance(value, list):
        return [with_text(each, text, key) for each in value]
    return text if isinstance(value, str) and key not in KEPT_WORDS else value


def rewrite(run: Path, text: str) -> Path:
    """Puts one text everywhere in a run."""
    for name in ("report.json", "data.json", "environment.json"):
        found = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(with_text(found, text)))
    for name in ("rows.jsonl", "issues.jsonl", "metrics.jsonl", "predictions.jsonl"):
        found = [json.loads(line) for line in (run / name).read_text().splitlines()[:200]]
        (run / name).write_text("".join(json.dumps(with_text(each, text)) + "\n" for each in found))
    (run / "recipe.yaml").write_text(json.dumps({"data": text}))
    return run


def structure(page: Page) -> list[tuple[str, tuple[str, ...]]]:
    """Tags with the names of their attributes."""
    return [(tag, tuple(attributes)) for tag, attributes in page.tags]


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_no_text_in_a_run_changes_the_structure_of_its_page(run: Path, text: str) -> None:
    plain = read_page(report.write(rewrite(run, "x" * len(text))))
    nasty = read_page(report.write(rewrite(run, text)))
    assert structure(nasty) == structure(plain)


def test_a_text_that_is_not_escaped_would_be_noticed(run: Path, tmp_path: Path) -> None:
    """The control of the test above: the same page with its escaping undone has another structure."""
    page = report.write(rewrite(run, "<i>nasty</i>"))
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text().replace("&lt;i&gt;", "<i>").replace("&lt;/i&gt;", "</i>"))
    assert structure(read_page(broken)) != structure(read_page(page))


@pytest.mark.parametrize("name", ["script end", "attribute", "comment", "right to left", "emoji"])
def test_a_nasty_text_is_shown_as_it_is(run: Path, name: str) -> None:
    page = read_page(report.write(rewrite(run, NASTY[name])))
    assert NASTY[name] in page.of("h1")[0]
    assert any(NASTY[name] in text for text in page.of("div"))


def test_control_characters_are_drawn_rather_than_sent(run: Path) -> None:
    written = report.write(rewrite(run, NASTY["controls"])).read_text()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", written)
    assert "a␀b␛[31mc␇�d" in written


def test_the_chart_data_survives_a_script_end_in_a_metric_name(run: Path) -> None:
    page = read_page(report.write(rewrite(run, NASTY["script end"])))
    data = next(text for text in page.of("script") if text.startswith("["))
    assert "<" not in data
    assert json.loads(data)[0]["series"]


def test_ten_thousand_characters_are_all_on_the_page_but_folded(run: Path) -> None:
    text = " ".join(f"word{index}" for index in range(1300))
    page = read_page(report.write(rewrite(run, text)))
    assert text in page.text.replace(f"… {len(text) - len(excerpt(text).head):,} more characters", "")


@pytest.mark.parametrize("task", ["choice", "text"])
def test_the_page_asks_the_network_for_nothing(kept: Path, task: str) -> None:
    written = report.write(kept / task)
    page = read_page(written)
    assert not [tag for tag, _ in page.tags if tag in ("link", "img", "iframe", "object", "base", "form", "a")]
    assert not [attributes for _, attributes in page.tags if {"src", "href", "srcset"} & set(attributes)]
    style = page.of("style")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_allows_exactly_the_one_script_and_the_one_style(choice_page: Page) -> None:
    policy = next(a["content"] for _, a in choice_page.tags if a.get("http-equiv") == "Content-Security-Policy")
    executed = [text for text in choice_page.of("script") if not text.startswith("[")]
    wanted = [sha256(text) for text in [*choice_page.of("style"), *executed]]
    assert re.findall(r"'sha256-[^']+'", policy) == wanted
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


def test_nothing_on_the_page_needs_what_the_policy_forbids(choice_page: Page) -> None:
    names = {name for _, attributes in choice_page.tags for name in attributes}
    assert not {name for name in names if name.startswith("on") or name == "style"}


def sha256(text: str) -> str:
    """As a security policy writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_verdict_comes_first_and_the_sections_in_order(choice_page: Page) -> None:
    assert choice_page.of("h1")[0].startswith("Tuning made the model better")
    assert choice_page.headings == [
        "Learning curves", "Metrics", "Classes", "How far its confidence can be trusted", "What changed, row by row",
        "What was trained on", "The data", "What it cost", "Use the model", "Recipe", "Environment",
    ]  # fmt: skip


def test_before_any_section_stand_what_got_worse_what_it_forgot_the_bar_the_cost_and_the_warnings(kept: Path) -> None:
    written = report.write(kept / "choice").read_text()
    first = written[written.index("<header>") : written.index("</header>")]
    assert re.findall(r"<dt>(.*?)</dt>", first) == ["got worse", "forgot", "no language model", "cost", "watch out"]


def test_a_chart_that_stands_alone_is_not_blown_up(kept: Path) -> None:
    (limit,) = re.findall(r"\.charts > :only-child { max-width: (\d+)px", report.write(kept / "choice").read_text())
    assert int(limit) <= 1.25 * FRAME.width, "its lettering is drawn in the picture and grows with it"


def test_a_text_task_has_no_classes(text_page: Page) -> None:
    assert "Classes" not in text_page.headings
    assert "Metrics" in text_page.headings


def test_learned_text_is_marked_and_the_rest_is_not(choice_page: Page) -> None:
    marked = choice_page.of("mark")
    assert marked == ["card arrival<|im_end|>"] * 3


def test_ten_mended_and_ten_broken_rows_are_shown(choice_page: Page) -> None:
    assert len([tag for tag, _ in choice_page.tags if tag == "article"]) == 20


def test_a_report_with_the_bare_minimum_still_makes_a_page(run: Path) -> None:
    (run / "report.json").write_text('{"title": "t", "verdict": {"word": "worse", "metric": "exact"}}')
    for name in ("rows.jsonl", "metrics.jsonl"):
        (run / name).write_text("")
    page = read_page(report.write(run))
    assert page.of("h1") == ["Worse: exact match – before tuning, – after."]
    assert "Learning curves" not in page.headings


def test_a_run_without_test_rows_shows_no_empty_table_and_rests_on_nothing(unmeasured: Path) -> None:
    page = read_page(report.write(unmeasured))
    assert page.of("h1") == ["There are no test rows, so nothing is claimed."]
    assert "Metrics" not in page.headings
    for words in ("rests on", "the same for both models", "judged above", "The run holds no"):
        assert words not in page.text
    assert "There were no test rows, so no answers were compared." in page.text


def test_numbers_that_are_not_finite_are_shown_as_unknown(run: Path) -> None:
    found = (run / "report.json").read_text()
    (run / "report.json").write_text(re.sub(r'("(low|high|seconds|f1)": )[-+0-9.e]+', r"\1NaN", found))
    written = report.write(run).read_text()
    assert "nan" not in re.sub(r"<style.*?</style>|<script.*?</script>", "", written, flags=re.S).lower()


def test_a_failed_write_leaves_the_older_page(run: Path) -> None:
    before = report.write(run).read_text()
    (run / "data.json").unlink()
    with pytest.raises(Exception, match=r"data\.json"):
        report.write(run)
    assert (run / "report.html").read_text() == before
    assert not list(run.glob("*unfinished*"))


def test_folding_loses_no_character() -> None:
    text = "\n".join(f"line {index}" for index in range(400))
    folded = fold(text)
    assert folded.tail.endswith("line 399")
    assert [*folded.head.split(), *folded.rest.split(), *folded.tail.split()] == text.split()
    assert fold("short").head == "short"
    assert fold("y" * 700).head == "y" * 700
    assert excerpt("z" * HEAD).rest == ""
    assert excerpt("z" * (LONGEST + 5)).dropped == 5


def test_backticks_become_code_and_nothing_else_becomes_markup() -> None:
    assert prose("set `a<b` & go") == "set <code>a&lt;b</code> &amp; go"
    assert prose("a ` alone <") == "a ` alone &lt;"
