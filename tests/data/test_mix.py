"""What is learned beside the task: its settings, its weight, and the bundled instructions."""

import math
import re

import numpy as np
import pytest

from luthier.data.mix import MixOptions, Replay, general_prompts, loss_share, weighed
from luthier.data.split import normalised
from luthier.errors import RecipeError
from luthier.evaluate.forgetting.texts import prompts, questions
from luthier.types import Message, TokenSequence


def rows(count: int, learned: int, weight: float = 1.0) -> list[TokenSequence]:
    loss = np.array([0] + [weight] * learned, np.float32)
    return [TokenSequence(np.arange(learned + 1), loss, f"row:{i}", group=i) for i in range(count)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"replay": 1.0}, "replay"),
        ({"replay": -0.1}, "replay"),
        ({"replay": math.nan}, "replay"),
        ({"source": ""}, "source"),
        ({"weight": 0.0}, "weight"),
        ({"rows": 0}, "rows"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
    ],
)
def test_a_setting_out_of_its_range_is_refused_by_name(settings, said):
    with pytest.raises(RecipeError, match=said):
        MixOptions(**settings)


@pytest.mark.parametrize(("share", "each"), [(0.0, 0.0), (0.1, 1 / 9), (0.5, 1.0), (0.8, 4.0)])
def test_the_share_is_of_all_examples_and_not_of_the_tasks(share, each):
    made = MixOptions(replay=share)
    assert made.each == pytest.approx(each)
    assert made.each / (1 + made.each) == pytest.approx(share)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_left_alone_replay_has_of_the_loss_what_it_has_of_the_examples(share):
    task, replay = rows(30, 4), rows(7, 60, weight=0.5)
    made = Replay(weighed(replay, task, None), MixOptions(replay=share).each)
    assert loss_share(made, task) == pytest.approx(share)


def test_control_at_weight_1_long_replay_outweighs_a_task_of_short_answers():
    task, replay = rows(30, 4), rows(7, 60)
    made = Replay(weighed(replay, task, 1.0), MixOptions(replay=0.1).each)
    assert loss_share(made, task) == pytest.approx((60 / 9) / (60 / 9 + 4))


def test_a_weight_multiplies_what_the_rows_bring():
    (made,) = weighed(rows(1, 3, weight=2.0), [], 0.25)
    assert made.weight.tolist() == [0, 0.5, 0.5, 0.5]


def test_the_bundled_instructions_are_many_distinct_and_readable():
    prompts = general_prompts()
    assert len({normalised((Message("user", text),)) for text in prompts}) == len(prompts) == 150
    assert all(text == text.strip() and text.isprintable() and 8 < len(text) < 120 for text in prompts)


COMMON = frozenset(
    re.findall(
        r"\w+", "a an the of to is in what how do i for and me my that with you which why give write does it are"
    )
)


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z']+|\d+", text.lower())) - COMMON


def nearest(text: str) -> float:
    """The largest share of words in common with anything that forgetting is measured on."""
    measured = [*prompts(), *(one.question for one in questions())]
    return max(len(words(text) & words(other)) / len(words(text) | words(other)) for other in measured)


def test_nothing_that_is_replayed_is_what_forgetting_is_measured_on():
    assert max(nearest(text) for text in general_prompts()) < 0.4


def test_control_a_measured_prompt_in_other_words_is_seen():
    assert nearest("Why do the leaves change their colour in the autumn?") > 0.4
