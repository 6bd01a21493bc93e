"""What a search may try is read as it is written, and whatever cannot be read is told with its key and a remedy."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import luthier
from luthier.errors import RecipeError
from luthier.recipe import load_recipe, make_recipe, to_tree
from luthier.search.space import Among, Between, applied, own_settings, stated, usual_space

numbers = st.floats(1e-8, 1e8, allow_nan=False).map(lambda one: float(f"{one:g}"))


def recipe(search=None, **sections):
    return luthier.recipe(data={"train": "rows.csv"}, **({"search": search} if search else {}), **sections)


def space(search, **sections):
    return {one.key: one for one in stated(recipe(search, **sections)).space}


def problems(search, **sections):
    with pytest.raises(RecipeError) as caught:
        stated(recipe(search, **sections))
    return str(caught.value)


def read(text):
    """The range that a text is, or what is wrong with it."""
    try:
        return space({"lr": text})["train.lr"]
    except RecipeError as error:
        return str(error)


def test_the_short_forms_are_what_they_say():
    found = space(
        {"lr": "log(1e-5, 1e-2)", "rank": [8, 16, 32], "batch": "[8, 16]", "epochs": "1..5", "warmup": "0..0.2"}
    )
    assert found == {
        "train.lr": Between("train.lr", 1e-5, 1e-2, log=True),
        "method.rank": Among("method.rank", (8, 16, 32)),
        "train.examples_per_step": Among("train.examples_per_step", (8, 16)),
        "train.epochs": Between("train.epochs", 1, 5, whole=True),
        "train.warmup": Between("train.warmup", 0, 0.2),
    }


def test_a_setting_may_be_named_in_full_and_an_integer_stays_one():
    found = space({"method.rank": "log(4, 64)", "train.weight_decay": "uniform(0, 0.1)"})
    assert found["method.rank"] == Between("method.rank", 4, 64, log=True, whole=True)
    assert not found["train.weight_decay"].whole


@settings(max_examples=20)
@given(low=numbers, high=numbers, kind=st.sampled_from(["log", "uniform"]))
def test_a_range_reads_back_as_it_is_told(low, high, kind):
    assume(low < high)
    assume(f"{low:g}" != f"{high:g}")
    one = space({"lr": f" {kind}( {low!r} ,{high!r}) "})["train.lr"]
    assert (one.low, one.high, one.log) == (low, high, kind == "log")
    assert space({"lr": one.told()})["train.lr"] == one


@settings(max_examples=12)
@given(values=st.lists(st.integers(1, 512), min_size=2, max_size=4, unique=True))
def test_a_list_reads_back_as_it_is_told(values):
    one = space({"rank": values})["method.rank"]
    assert one.values == tuple(values)
    assert space({"rank": one.told()})["method.rank"] == one


@settings(max_examples=50)
@given(text=st.text(max_size=30))
def test_text_is_a_range_or_a_problem_and_never_run(text):
    one = read(text)
    if isinstance(one, str):
        assert "search.lr" in one
    else:
        assert isinstance(one, Among) or (math.isfinite(one.low) and one.low < one.high)


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"lr": "__import__('os').getcwd()"}, "write log("),
        ({"lr": "log(1e-2, 1e-5)"}, "does not rise"),
        ({"lr": "log(0, 1)"}, "above 0"),
        ({"lr": "log(nan, inf)"}, "no number"),
        ({"lr": 1e-4}, "no choice"),
        ({"rank": [8]}, "at least two"),
        ({"rank": [8, 8]}, "twice"),
        ({"rank": "uniform(1.5, 8)"}, "no whole number"),
        ({"rank": [0, 8]}, "at least 1"),
        ({"schedule": ["cosine", "steep"]}, "train.schedule"),
        ({"warmup": "0..2"}, "a share in [0, 1]"),
        ({"rnak": [8, 16]}, "did you mean"),
        ({"model.name": ["a", "b"]}, "once for all trials"),
        ({"method": ["lora", "full"]}, "one search for each"),
        ({"seed": "0..3"}, "search.seed"),
        ({"train.seed": "0..3"}, "set it in its own section"),
        ({"trials": 0}, "search.trials is 0"),
        ({"seeds": 2}, "search.seeds is 2"),
        ({"objectives": ["speed"]}, "search.objectives"),
        ({"lr": "log(1e-5, 1e-2)", "train.lr": [1e-4, 1e-3]}, "named twice"),
    ],
)
def test_what_cannot_be_tried_is_told_with_a_remedy(search, said):
    assert said in problems(search)


def test_control_a_method_without_a_rank_has_none_to_search():
    assert "rank" in problems({"rank": [8, 16]}, method={"name": "full"})


def test_a_run_that_goes_on_keeps_the_method_of_its_parent():
    assert "rank" in problems({"rank": [8, 16]}, **{"from": "runs/before"})


def test_all_problems_are_told_at_once():
    told = problems({"lr": "steep", "rank": [8], "rnak": [8, 16], "trials": -1})
    assert told.startswith("4 problems")
    assert all(said in told for said in ("search.lr", "search.rank", "search.rnak", "search.trials"))


def test_a_search_survives_the_recipe_file_and_the_command_line(tmp_path):
    (tmp_path / "r.yaml").write_text("data: {train: rows.csv}\nsearch:\n  lr: log(1e-5, 1e-2)\n  trials: 4\n")
    made = load_recipe(tmp_path / "r.yaml", ["search.rank=[8,16]", "search.method.alpha=[16, 32]", "search.trials=9"])
    read = stated(made)
    assert [one.key for one in read.space] == ["train.lr", "method.rank", "method.alpha"]
    assert read.options.trials == 9
    assert make_recipe(to_tree(made)) == made


def test_the_usual_space_is_the_learning_rate_around_the_recipes_own_and_its_batch():
    rate, batch = usual_space(recipe(), 1e-3)
    assert rate == Between("train.lr", 1e-4, 1e-2, log=True)
    assert batch.values == (8, 16, 32)
    assert usual_space(recipe(train={"lr": 2e-5}), 1e-3)[0].high == pytest.approx(2e-4)
    assert own_settings(recipe(), (rate, batch), 1e-3) == {"train.lr": 1e-3, "train.examples_per_step": 16}


def test_settings_are_laid_over_the_recipe_and_nothing_else_changes():
    made = applied(recipe(), {"train.lr": 3e-4, "method.rank": 4})
    assert (made.train.lr, made.method.rank) == (3e-4, 4)
    assert applied(made, {"train.lr": None, "method.rank": 16}) == recipe()
