"""Metrics: known answers, laws every metric keeps, and controls that must fail."""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sklearn.metrics import f1_score, matthews_corrcoef, precision_recall_fscore_support, r2_score

from luthier.errors import RecipeError
from luthier.metrics import (
    Mean,
    accuracy,
    classes,
    confusions,
    exact,
    metrics,
    named,
    numeric,
    rouge1,
    rouge2,
    rouge_l,
    token_f1,
)
from luthier.metrics.contract import Known, check, overall
from luthier.metrics.match import normalise
from luthier.metrics.numeric import answer_number
from luthier.metrics.rouge import longest_common
from luthier.metrics.words import words, written_without_spaces

# Rows of sacreBLEU's README: three sentences, two reference streams.
SYSTEM = ("The dog bit the man.", "It wasn't surprising.", "The man had just bitten him.")
REFERENCES = (
    ("The dog bit the man.", "The dog had bit the man."),
    ("It was not unexpected.", "No one was surprised."),
    ("The man bit him first.", "The man had bitten the dog."),
)


def one(prediction: str, reference: str, score: float) -> Known:
    return Known((prediction,), ((reference,),), score)


KNOWN = {
    "accuracy": [one("card", "card", 1), one("Card", "card", 0)],
    # yes: 1 right, 2 given, 1 had -> 2/3; no: 1 right, 1 given, 2 had -> 2/3
    "macro_f1": [Known(("yes", "yes", "no"), (("yes",), ("no",), ("no",)), 2 / 3)],
    "exact": [one("The Cat.", "cat", 1), one("3.5", "35", 0), one("-5", "5", 0), one("A", "a", 1), one("the", "A", 0)],
    "token_f1": [one("the cat sat", "a cat ran off", 2 * 1 / (2 + 3))],
    "numeric": [one("so 9 * 2 = 18", "... #### 18", 1), one("#### 1,000", "#### 1000.0", 1), one("none", "#### 1", 0)],
    # the|cat|sat|on|the|mat against the|cat|is|on|the|mat: 5 words, 3 pairs, 5 in order
    "rouge1": [one("the cat sat on the mat", "The cat is on the mat!", 10 / 12)],
    "rouge2": [one("the cat sat on the mat", "The cat is on the mat!", 6 / 10)],
    "rougeL": [one("police killed the gunman", "the gunman killed police", 2 * 2 / 8)],
    "bleu": [Known(SYSTEM, REFERENCES, 48.530827, within=5e-7)],
    "bleu_char": [one("我的卡在哪里呢", "我的卡在哪里呢", 100.0)],
    "weighted_f1": [Known(("yes", "yes", "no", "no"), (("yes",), ("no",), ("no",), ("no",)), (2 / 3 + 3 * 0.8) / 4)],
    "mae": [Known(("2.5", "about 7", "nothing"), (("2",), ("10",), ("3",)), (0.5 + 3 + 3) / 3)],
    "rmse": [Known(("1", "5"), (("4",), ("1",)), 12.5**0.5)],
    "r2": [
        Known(("1", "2", "6"), (("1",), ("2",), ("3",)), 1 - 9 / 2),
        Known(("1", "2.5"), (("1",), ("3",)), 0.875),
        Known(("0", "0", "0"), (("0.1",), ("0.1",), ("0.1",)), 0.0),
    ],
    "mcc": [Known(("a", "b", "a"), (("a",), ("b",), ("b",)), 0.5)],
    # two lines, either order: the union holds all of each line
    "rougeLsum": [one("c d\na b", "a b\nc d", 1), one("a b c", "a x\nb y", 2 * 2 / 7)],
    "ter": [one("the cat", "the cat sat down", 50.0), one("b a", "a b", 50.0), one("", "a b", 100.0)],
    "json_valid": [one('{"a": 1}', "{}", 1), one("{'a': 1}", "{}", 0), one("NaN", "{}", 0)],
    "json_equal": [one('{"a": 1, "b": [2]}', '{"b":[2],"a":1}', 1), one('{"a": 1}', '{"a": 2}', 0)],
    # name and one of two tags are shared: 2 of 2 said, 2 of 3 wanted
    "json_f1": [one('{"name": "x", "tags": ["q"]}', '{"name": "x", "tags": ["p", "q"]}', 2 * 2 / 5)],
    "length_ratio": [Known(("a b c", "a"), (("a b", "a b c d"), ("a b c",)), 4 / 5)],
    "repetition": [one("a b c d a b c d", "x", 1 / 5)],
    "distinct1": [one("a a b b", "x", 0.5)],
    "distinct2": [one("a a a b", "x", 2 / 3)],
    "chrf": [one("hello", "hello", 100.0), one("abc", "xyz", 0.0)],
}


@pytest.mark.parametrize("name", metrics)
def test_every_metric_keeps_the_contract(name: str) -> None:
    check(metrics[name], KNOWN[name])


def test_a_lower_metric_that_skips_empty_answers_breaks_the_contract() -> None:
    skips = Mean(lambda text, right: float(bool(text.strip()) and text != right[0]), better="lower")
    with pytest.raises(AssertionError, match="skipped"):
        check(skips, [one("card", "card", 0)])


def test_a_metric_that_skips_empty_answers_breaks_the_contract() -> None:
    def skips(prediction: str, references: Sequence[str]) -> float:
        return accuracy(prediction, references) if prediction.strip() else 1.0

    with pytest.raises(AssertionError, match="empty answer"):
        check(Mean(skips), KNOWN["accuracy"])


def test_a_metric_out_of_bounds_breaks_the_contract() -> None:
    with pytest.raises(AssertionError, match="scored"):
        check(Mean(lambda text, right: float(len(text.strip()))), [one("card", "card", 4)])


def test_best_of_several_references_counts() -> None:
    for metric in (exact, token_f1, rouge1, rouge_l, accuracy):
        assert metric("blue car", ("red car", "blue car")) == 1


def test_corpus_scores_from_summed_rows_equal_sacrebleu() -> None:
    predictions = [*SYSTEM, "", "x"]
    references = [*REFERENCES, ("one reference",), ("a", "b", "x")]
    streams: list[Any] = [[right[at] if at < len(right) else None for right in references] for at in range(3)]
    for name, oracle in (("bleu", BLEU()), ("chrf", CHRF()), ("ter", TER())):
        assert overall(metrics[name], predictions, references) == oracle.corpus_score(predictions, streams).score
        assert metrics[name].signature(references) == str(oracle.get_signature())


def test_macro_f1_and_the_class_table_equal_scikit_learn() -> None:
    rng = random.Random(0)
    gold = [rng.choice("abcd") for _ in range(300)]
    given = [rng.choice("abcde") for _ in range(300)]
    kept = sorted(set(gold))
    expected = f1_score(gold, given, labels=kept, average="macro", zero_division=0)
    assert overall(metrics["macro_f1"], given, [(label,) for label in gold]) == pytest.approx(expected, abs=1e-12)
    expected = f1_score(gold, given, labels=kept, average="weighted", zero_division=0)
    assert overall(metrics["weighted_f1"], given, [(label,) for label in gold]) == pytest.approx(expected, abs=1e-12)
    expected = matthews_corrcoef(gold, given)
    assert overall(metrics["mcc"], given, [(label,) for label in gold]) == pytest.approx(expected, abs=1e-12)
    precision, recall, f1, support = precision_recall_fscore_support(gold, given, labels=kept, zero_division=0)
    for at, row in enumerate(classes(given, gold)):
        found = (row.label, row.support, row.precision, row.recall, row.f1)
        assert found == (kept[at], support[at], *(pytest.approx(x[at]) for x in (precision, recall, f1)))


def test_confusions_come_most_frequent_first() -> None:
    found = confusions(["b", "b", "a", "c"], ["a", "a", "a", "b"])
    assert [(mistake.gold, mistake.predicted, mistake.count) for mistake in found] == [("a", "b", 2), ("b", "c", 1)]


def test_bit_parallel_subsequence_equals_the_table() -> None:
    def table(left: Sequence[str], right: Sequence[str]) -> int:
        cells = np.zeros((len(left) + 1, len(right) + 1), dtype=int)
        for i, x in enumerate(left):
            for j, y in enumerate(right):
                cells[i + 1, j + 1] = cells[i, j] + 1 if x == y else max(cells[i, j + 1], cells[i + 1, j])
        return int(cells[-1, -1])

    rng = random.Random(1)
    for _ in range(200):
        left = rng.choices("abcde", k=rng.randrange(12))
        right = rng.choices("abcde", k=rng.randrange(12))
        assert longest_common(left, right) == longest_common(right, left) == table(left, right)


def test_words_of_ascii_are_those_of_the_rouge_reference() -> None:
    assert words("It's 3.5-fold: GREAT_stuff") == ["it", "s", "3", "5", "fold", "great", "stuff"]


def test_words_of_other_scripts_are_kept_whole() -> None:
    assert words("Карта не пришла!") == ["карта", "не", "пришла"]
    assert words("हिन्दी में") == ["हिन्दी", "में"]
    assert words("我的卡 card") == ["我", "的", "卡", "card"]
    assert words("café") == words("cafe\N{COMBINING ACUTE ACCENT}") == ["café"]
    assert written_without_spaces("私のカードはどこ")
    assert not written_without_spaces("where is my カード today")


def test_rouge_sees_no_difference_in_a_script_the_reference_drops() -> None:
    assert rouge1("我的卡在哪里", ("我的卡没有到",)) == pytest.approx(6 / 12)
    assert rouge2("одно", ("одно",)) == 0


def test_normalising_keeps_numbers_and_short_answers() -> None:
    assert normalise("The $1,000.50!") == "1000.50"
    assert normalise("-5") == "-5"
    assert normalise(" A ") == "a"
    assert normalise("«Привет», мир…") == "привет мир"
    assert normalise(" \n") == ""


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("she pays $1,234.50 in all.", "1234.50"),
        ("10-5", "5"),
        ("it is -$5", "-5"),
        ("\N{MINUS SIGN}7", "-7"),
        ("1,0000 x", "0000"),
        ("#### 12 (or 13)", "12"),
        ("#### 12\n#### .5", ".5"),
        ("It is forty-two.", "42"),
        ("a hundred and five", "105"),
        ("two thousand three hundred and eleven dollars", "2311"),
        ("minus three point one four", "-3.14"),
        ("one, two and three", "3"),
        ("#### seven hundred", "700"),
        ("a million", "1000000"),
        ("There are 5 in this one", "5"),
    ],
)
def test_the_number_of_an_answer(text: str, number: str) -> None:
    assert answer_number(text) == Decimal(number)


def test_a_marker_without_a_number_scores_zero() -> None:
    assert numeric("12 ####", ("#### 12",)) == 0


def test_a_mistyped_metric_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'accuracy'"):
        named("acuracy")
    with pytest.raises(RecipeError, match="cannot be imported"):
        named("luthier.metrics:nothing")
    assert overall(named("luthier.metrics.match:exact"), ["Yes."], [("yes",)]) == 1


def test_a_text_without_a_number_has_none() -> None:
    assert answer_number("someone and often, hundreds of thousandths") is None


def test_rouge_is_that_of_the_reference_on_random_pairs() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is not installed (test-only oracle)")
    kinds = {"rouge1": "rouge1", "rouge2": "rouge2", "rougeL": "rougeL", "rougeLsum": "rougeLsum"}
    oracle = scorer.RougeScorer(list(kinds), use_stemmer=False)
    rng = random.Random(0)

    def text() -> str:
        return "".join(rng.choice("abcde") + rng.choice([" ", " ", ", ", ".\n"]) for _ in range(rng.randrange(25)))

    for _ in range(1000):
        given, right = text(), [text() for _ in range(rng.randrange(1, 4))]
        for name in kinds:
            expected = max(oracle.score(one, given)[name].fmeasure for one in right)
            found = overall(metrics[name], [given], [right])
            assert found == pytest.approx(expected, abs=1e-12), (name, given, right)


def test_a_schema_is_followed_or_not(tmp_path: Path) -> None:
    pytest.importorskip("jsonschema", reason="jsonschema is not installed (extra `schema`)")
    schema = tmp_path / "person.json"
    schema.write_text('{"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}')
    metric = named(f"json_schema={schema}")
    answers = ['{"name": "x"}', '{"name": 3}', "{}", "name: x", ""]
    assert [overall(metric, [answer], [("",)]) for answer in answers] == [1, 0, 0, 0, 0]
    schema.with_name("bad.json").write_text('{"type": "objekt"}')
    with pytest.raises(RecipeError, match=r"bad\.json: is no JSON Schema .*objekt"):
        named(f"json_schema={schema.with_name('bad.json')}")


def test_without_the_package_a_schema_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.metrics.structured.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"pip install 'luthier\[schema\]'"):
        named(f"json_schema={tmp_path / 'any.json'}")


def test_r2_is_negative_where_the_mean_does_better_and_equals_scikit_learn() -> None:
    rng = random.Random(1)
    right = [rng.gauss(40, 5) for _ in range(50)]
    for said in ([0.0] * 50, [one + rng.gauss(0, 2) for one in right]):
        got = overall(metrics["r2"], [f"{one:.9f}" for one in said], [(f"{one:.9f}",) for one in right])
        assert got == pytest.approx(r2_score(right, said), rel=1e-6)
    assert r2_score(right, [0.0] * 50) < -10


def test_a_number_is_read_in_whatever_way_it_is_written() -> None:
    assert overall(metrics["mae"], ["1000", "0.002", "1,000"], [("1e3",), ("2e-3",), ("1000.0",)]) == 0
