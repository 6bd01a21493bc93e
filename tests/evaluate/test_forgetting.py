"""Marking, reading and comparing: what counts as right, what as lost, and when a budget is overdrawn."""

import numpy as np
import pytest
import tiny_chat
import torch

from luthier.batch import Batch
from luthier.errors import RecipeError
from luthier.evaluate.forgetting import ForgettingOptions, compare, distance, measure, tell, texts
from luthier.evaluate.forgetting.compare import Measure
from luthier.evaluate.forgetting.marking import right
from luthier.evaluate.forgetting.measure import Reading
from luthier.evaluate.forgetting.texts import Question
from luthier.model.divergence import Reference, reference
from luthier.model.load import Model
from luthier.stats import Difference, Interval


def silent(stage: str, done: int, total: int) -> None:
    """Nobody watches."""


def question(start: str) -> Question:
    (found,) = [one for one in texts.questions() if one.question.startswith(start)]
    return found


ANSWERS = [
    (
        "What is 2 + 2?",
        ["4", "2 + 2 = 4", "The answer is four.", "2 plus 2 equals 4, as 4 is"],
        ["5", "2 + 2", "-4", ""],
    ),
    ("What is 7 - 7?", ["0", "7 - 7 = 0", "zero"], ["7", "7 - 7 is 1."]),
    ("What is 7 times 1?", ["7", "7 times 1 is 7."], ["7 times 1 is 71", "8"]),
    ("What is 100 - 1?", ["99", "100 - 1 = 99"], ["100 - 1 = 9", "1,099"]),
    ("How many legs does a spider", ["8", "A spider has eight legs."], ["six", "18", "80"]),
    ("How many letters", ["26", "twenty-six", "There are twenty six letters"], ["twenty", "six", "27"]),
    ("How many cents", ["100", "one hundred", "A hundred cents"], ["10", "one"]),
    ("What is the capital of France", ["Paris", "PARIS.", "The capital of France is Paris."], ["Lyon", "Parish", " "]),
    ('What is the opposite of "hot"', ["cold", 'The opposite of "hot" is "cold"'], ["hot", "coldest"]),
    ("Is the sun hot?", ["Yes.", "yes, it is, no doubt"], ["No.", "No, the sun is not. Yes", "It is hot."]),
    ("Is snow black?", ["No", "no, it is white"], ["Yes", "It is not known"]),
    (
        "Repeat this exactly: the cat sat down",
        ["the cat sat down", "The cat sat down."],
        ["the cat sat", "cat the sat down"],
    ),
    (
        "Write these numbers from smallest to largest: 8",
        ["1, 4, 8", "8, 1, 4 sorted: 1, 4, 8", "one, four, eight"],
        ["8, 1, 4", "The numbers 8, 1, 4 are multiples of 8.", "1, 8, 4"],
    ),
    ("Count down", ["3, 2, 1", "Three, two, one"], ["1, 2, 3", "Three to one."]),
    ("Put these words in alphabetical order: dog", ["cow, dog", "Cow, then dog"], ["dog, cow"]),
    ('How do you say "water" in French', ["eau", "L'eau", "C'est l’eau."], ["beau", "agua"]),
    ("Which is larger, 3", ["8", "8 is larger than 3"], ["3", "3, 8"]),
    ("Write the word dog in capital", ["DOG", "It is DOG!"], ["dog", "Dog", "DOGS"]),
    ("What number comes next: 1, 2, 3, 4", ["5", "1, 2, 3, 4, 5, 6"], ["4", "6"]),
]


@pytest.mark.parametrize(("start", "good", "bad"), ANSWERS, ids=lambda one: one if isinstance(one, str) else "")
def test_an_answer_is_marked_as_a_person_would_mark_it(start: str, good: list[str], bad: list[str]) -> None:
    asked = question(start)
    assert [said for said in good if not right(asked, said)] == []
    assert [said for said in bad if right(asked, said)] == []


def test_every_question_takes_its_own_answer_and_no_other_kinds() -> None:
    asked = texts.questions()
    assert len(asked) == len({one.question for one in asked}) == 200
    for one in asked:
        said = ", ".join(one.accept) if one.rule == "order" else one.accept[0]
        assert right(one, said), one
        assert not right(one, "I cannot help with that."), one
        assert not any(right(one, wrong) for wrong in one.wrong), one
    shuffled = np.random.default_rng(0).permutation(200)
    by_chance = sum(right(one, asked[at].accept[0]) for one, at in zip(asked, shuffled, strict=True))
    assert by_chance < 20


def test_the_bundled_texts_are_as_long_as_they_should_be() -> None:
    assert len(texts.prompts()) == len(set(texts.prompts())) == 60
    for kind in texts.TEXTS:
        parts = [one for one in texts.passages() if one.kind == kind]
        assert len(parts) >= 11
        assert 2500 < sum(len(one.text.encode()) for one in parts) < 4500


def test_bits_per_byte_are_those_of_the_passage_alone() -> None:
    model = tiny_chat.tiny_model(max_length=1024)
    found = measure.readings(model, budget=4096, progress=silent)
    at = 3
    part = texts.passages()[at]
    head, own = (model.tokenizer.encode(text, add_special_tokens=False) for text in (part.head, part.text))
    with torch.no_grad():
        model.network.set_attn_implementation("eager")
        logits = model.network(torch.tensor([head + own]), use_cache=False).logits[0, len(head) - 1 : -1]
    wanted = torch.nn.functional.cross_entropy(logits, torch.tensor(own), reduction="sum")
    assert found[at].nats == pytest.approx(float(wanted), rel=1e-4)
    assert found[at].bytes == len(part.text.encode()) == len(own)
    assert found[at].nats / np.log(2) / found[at].bytes == pytest.approx(8, abs=0.3)  # a random model knows nothing


def test_a_short_context_reads_what_it_holds_and_answers_what_it_can() -> None:
    model = tiny_chat.tiny_model(max_length=96)
    found = measure.readings(model, budget=4096, progress=silent)
    heads = {one.kind: len(one.head.encode()) for one in texts.passages()}
    assert all(one.bytes <= max(0, 96 - heads[one.kind]) for one in found)
    assert sum(one.bytes for one in found) > 200
    said = measure.answers(model, budget=4096, progress=silent)
    assert 0 < len(said) < 200


def moved(model: Model, by: float) -> Model:
    other = tiny_chat.tiny_model()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        for parameter in other.network.parameters():
            parameter += by * torch.randn_like(parameter)
    return other


def test_a_model_is_no_way_from_itself_and_further_the_more_it_moved() -> None:
    model = tiny_chat.tiny_model()
    sampled = distance.sample_base(model)
    assert sampled == distance.sample_base(model)
    assert set(sampled) == set(range(0, 60, 4))

    def base(batch: Batch) -> Reference:
        return reference(model, batch)

    far = [
        compare.drifted(
            distance.drift(moved(model, by), sampled, base, budget=2048, progress=silent), resamples=50, seed=0
        )
        for by in (0.0, 0.01, 0.1)
    ]
    assert all(one.tuned.value == 0 for one in far[0])
    assert all(a.tuned.value < b.tuned.value for a, b in zip(far[1], far[2], strict=True))
    assert [one.n for one in far[1]] == [60, 15]
    assert all(one.tuned.low < one.tuned.value < one.tuned.high for one in far[2])


def answered(count: int) -> dict[str, str]:
    """The first `count` questions right, the others wrong."""
    return {
        one.question: (", ".join(one.accept) if one.rule == "order" else one.accept[0]) if at < count else "hm"
        for at, one in enumerate(texts.questions())
    }


def asked(before: int, after: int) -> Measure:
    found = compare.probe(answered(before), answered(after), resamples=400, seed=0)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [(100, 100, "no loss seen"), (100, 97, "no loss seen"), (100, 80, "lost"), (80, 100, "gained")],
)
def test_a_loss_is_called_one_only_where_it_is_seen(before: int, after: int, word: str) -> None:
    found = asked(before, after)
    assert found.word == word
    assert found.base.value == pytest.approx(before / 200)
    assert found.drop == pytest.approx((before - after) / 200)


def test_a_difference_that_is_seen_but_tiny_is_not_called_a_loss() -> None:
    base = [Reading("prose", 100.0 + at, 100) for at in range(12)]
    for factor, word in ((1.0005, "no loss seen"), (1.05, "lost"), (0.95, "gained")):
        (found,) = compare.read(base, [Reading("prose", one.nats * factor, 100) for one in base], resamples=400, seed=0)
        assert found.difference is not None
        assert found.difference.seen
        assert found.word == word


def measured(p: float, name: str = "prose") -> Measure:
    lost = Difference(value=0.1, low=0.01, high=0.2, p=p, spread=0.05, differing=12)
    side = Interval(1.0, 0.9, 1.1)
    return Measure(name, "text", "bits_per_byte", 12, "passages", side, side, lost, 1.0, False)


def test_what_is_lost_is_claimed_for_all_measures_at_once() -> None:
    """0.03 alone is seen; among four it is not, unless the three before it are (Holm)."""
    assert measured(0.03).word == "lost"
    some = [measured(p) for p in (0.001, 0.03, 0.2, 0.5)]
    assert [one.word for one in compare.together(some)] == ["lost", *["no loss seen"] * 3]
    assert [one.p for one in compare.together(some)] == pytest.approx([0.004, 0.09, 0.4, 0.5])
    assert [one.word for one in compare.together([measured(p) for p in (0.001, 0.001, 0.001, 0.03)])] == ["lost"] * 4
    said = tell.as_json(compare.together(some), {}, None, seconds=1.0)
    assert said["measures"][1]["difference"]["p_family"] == pytest.approx(0.09)  # type: ignore[index,call-overload]
    assert said["measures"][1]["difference"]["seen"] is False  # type: ignore[index,call-overload]
    assert "p = 0.090 among all measures" in str(said["measures"][1]["sentence"])  # type: ignore[index,call-overload]


def test_a_divergence_is_no_claim_and_takes_no_part_in_the_family() -> None:
    far = Measure(
        "divergence", "divergence", "kl", 60, "texts", Interval(0, 0, 0), Interval(1, 1, 1), None, None, False
    )
    (lost, beside) = compare.together([measured(0.03), far])
    assert (lost.p_family, beside.p_family) == (0.03, None)


def test_true_nulls_are_called_a_loss_in_at_most_one_run_of_twenty() -> None:
    """2,000 runs of five measures whose p is uniform; measure by measure, 23 in 100 runs would claim one."""
    rng = np.random.default_rng(0)
    runs = [[measured(float(p)) for p in rng.random(5)] for _ in range(2000)]
    claimed = [
        sum(any(one.seen for one in found) for found in each) / 2000 for each in (runs, map(compare.together, runs))
    ]
    assert claimed[0] > 0.18
    assert 0.03 < claimed[1] < 0.065


@pytest.mark.parametrize(
    ("before", "after", "max_drop", "over"),
    [
        (100, 80, 0.05, True),
        (100, 80, 0.10, False),  # as large as allowed, not larger
        (100, 80, 0.15, False),
        (100, 80, None, False),
        (100, 97, 0.0, False),  # larger than allowed, but no more than chance would do
        (100, 80, 0.0, True),
        (80, 100, 0.0, False),
    ],
)
def test_a_budget_is_overdrawn_by_a_loss_that_is_larger_and_seen(
    before: int, after: int, max_drop: float | None, over: bool
) -> None:
    found = asked(before, after)
    assert found.over(max_drop) is over
    made = tell.as_json([found], {}, max_drop, seconds=1.0)
    assert made["over"] == (["general questions"] if over else [])
    assert ("overdrawn" in str(made["sentence"])) is over


def test_a_sentence_says_what_was_what_is_and_how_sure() -> None:
    said = tell.told(asked(100, 80))
    assert said.startswith("General questions: 50.0 % right before, 40.0 % after (-10.0 points [-14")
    assert said.endswith("200 questions): it forgot.")
    assert tell.told(asked(100, 99)).endswith("200 questions): no loss seen.")
    assert tell.summed([asked(100, 80)]).startswith("It forgot: general questions 50.0 %")
    assert tell.summed([asked(100, 99)]).startswith("No loss seen: general questions")


def test_kinds_of_questions_add_up_to_all() -> None:
    kinds = compare.by_kind(answered(100), answered(80))
    assert [sum(column) for column in zip(*kinds.values(), strict=True)] == [200, 100, 80]


def test_options_that_contradict_each_other_are_refused() -> None:
    for wrong in ({"max_drop": 1.0}, {"max_drop": -0.1}, {"rows": 0}, {"measure": False, "max_drop": 0.1}):
        with pytest.raises(RecipeError, match=r"must be"):
            ForgettingOptions(**wrong)
