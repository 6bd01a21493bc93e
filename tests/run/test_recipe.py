"""A recipe says the same in YAML, in words and in Python; everything wrong with one is told at once."""

from pathlib import Path

import pytest
import yaml

import luthier
from luthier.errors import RecipeError
from luthier.evaluate import EvaluateOptions
from luthier.methods import Freeze, LoRA
from luthier.model.load import ModelOptions
from luthier.recipe import DataOptions, load_recipe, make_recipe, to_tree, to_yaml

ROOT = Path(__file__).parents[2]


def test_yaml_words_and_python_make_the_same_recipe(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("data: {train: x.csv, input: a}\nmethod: {name: lora, rank: 4}\ntrain: {lr: 1e-4}\n")
    words = load_recipe(None, ["data.train=x.csv", "data.input=a", "method.rank=4", "train.lr=1e-4"])
    python = luthier.recipe(data={"train": "x.csv", "input": "a"}, method={"rank": 4}, train={"lr": 1e-4})
    assert load_recipe(file) == words == python
    assert python.method == LoRA(rank=4)
    assert python.train.lr == 1e-4


def test_words_are_laid_over_the_file(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("data: {train: x.csv}\nmethod: lora\ntrain: {epochs: 2}\n")
    made = load_recipe(file, ["train.epochs=5", "method=freeze", "method.layers=3", "data.validation=0.2"])
    assert (made.train.epochs, made.method, made.data.validation) == (5, Freeze(layers=3), 0.2)


def test_a_recipe_survives_its_file():
    made = luthier.recipe(data={"train": "x.csv", "test": "y.csv"}, method={"name": "full"}, run="runs/x")
    assert make_recipe(yaml.safe_load(to_yaml(made))) == made
    assert to_tree(made)["method"] == {"name": "full", "decay": 1.0, "unfreeze": 0.0}


def test_every_problem_is_told_at_once():
    words = ["data.train=x", "train.lrr=3", "train.epochs=-1", "method=lorra", "evaluate.task=guess", "nonsense"]
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, words)
    told = str(caught.value)
    for said in ("did you mean 'train.lr'", "epochs is -1", "did you mean 'lora'", "evaluate.task", "'nonsense'"):
        assert said in told


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("method=dora", "method: 'dora' is none; it is written method=lora method.dora=true"),
        ("method=QLoRA", "it is written method=lora model.quantize=nf4"),
        ("method=lorra", "did you mean 'lora'?"),
        ("method.rank=0", "method.rank is 0; it must be at least 1"),
        ("train.epochs=-1", "train.epochs is -1.0; it must be above 0"),
        ("train.optimizer=adafactr", "train.optimizer: 'adafactr' is none; there are 'adamw',"),
        ("train.optimizer=adafactr", "did you mean 'adafactor'?"),
        ("model.quantize=nf5", "did you mean 'nf4'?"),
        ("train.ema=high", "train.ema: takes a number, not 'high'"),
        ("train.examples_per_step=2.5", "train.examples_per_step: takes a whole number, not 2.5"),
        ("method.dora=perhaps", "method.dora: is true or false, not 'perhaps'"),
    ],
)
def test_a_setting_that_is_wrong_is_named_in_full_with_what_was_meant(word, told):
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, ["data.train=x", word])
    assert told in str(caught.value)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").rglob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_is_one(path):
    assert load_recipe(path).data.train


def test_a_strangers_plug_in_is_named_by_module_and_class():
    made = luthier.recipe(data={"train": "x"}, method={"name": "luthier.methods.lora:LoRA", "rank": 2})
    assert made.method == LoRA(rank=2)
    with pytest.raises(RecipeError, match="cannot be imported"):
        luthier.recipe(data={"train": "x"}, method="nowhere:Thing")


@pytest.mark.parametrize(
    "text", ["no", "Use ticket #5", "Answer: yes #5 😀", "[1, 2]", "{labels}", "1e5", "- a", "'", "~"]
)
def test_a_words_text_is_kept_where_its_field_is_text(text):
    made = load_recipe(None, ["data.train=x", f"data.input={text}", f"data.instruction={text}"])
    assert made.data.input == made.data.instruction == text


@pytest.mark.parametrize("text", ["", "null"])
def test_nothing_is_none_where_a_field_may_be_none(text):
    assert load_recipe(None, ["data.train=x", f"data.input={text}", f"train.patience={text}"]).data.input is None
    assert load_recipe(None, ["data.train=x", f"train.patience={text}"]).train.patience is None


def test_a_words_text_is_read_where_its_field_is_not_text():
    words = [
        "data.train=x",
        "method.targets=[q_proj, v_proj]",
        "model.shared=no",
        "train.betas=[0.8, 0.9]",
        "data.limit=5",
    ]
    made = load_recipe(None, words)
    assert made.method == LoRA(targets=("q_proj", "v_proj"))
    assert (made.model.shared, made.train.betas, made.data.limit) == (False, (0.8, 0.9), 5)
    with pytest.raises(RecipeError, match=r"data\.limit"):
        load_recipe(None, ["data.train=x", "data.limit=2024-13-45"])


def test_a_numeric_text_is_a_share_and_any_other_a_file(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("data: {train: x, validation: '0.2', test: 0.3}\n")
    data = load_recipe(file).data
    assert (data.validation, data.test) == (0.2, 0.3)
    assert load_recipe(None, ["data.train=x", "data.test=no"]).data.test == "no"
    assert load_recipe(None, ["data.train=x"], flags={"data.test": "0.2"}).data.test == 0.2


def test_flags_are_values_and_lie_over_words():
    words = ["data.train=x", "train.lr=1e-3", "method.rank=8"]
    flags = {"train.lr": 0.5, "data.instruction": "null", "method": "lora", "run": "no"}
    made = load_recipe(None, words, flags=flags)
    assert (made.train.lr, made.data.instruction, made.method, made.run) == (0.5, "null", LoRA(rank=8), "no")


def test_naming_a_method_keeps_the_fields_given_for_it(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("data: {train: x}\nmethod: {rank: 32}\n")
    assert load_recipe(file, ["method=lora"]).method == LoRA(rank=32)
    assert load_recipe(file, flags={"method": "lora"}).method == LoRA(rank=32)
    assert load_recipe(None, ["data.train=x", "method.layers=3", "method=freeze"]).method == Freeze(layers=3)
    with pytest.raises(RecipeError, match=r"method\.rank: is no setting; there are method\.decay"):
        load_recipe(file, ["method=full"])


def test_a_word_takes_effect_in_a_section_left_empty(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("data: {train: x}\ntrain:\nmethod:\n")
    made = load_recipe(file, ["train.lr=1e-4", "method.rank=8"])
    assert (made.train.lr, made.method) == (1e-4, LoRA(rank=8))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method: 5", "method: holds 5"),
        ("method: [lora]", r"method: holds \['lora'\]"),
        ("train: fast", "train: holds 'fast'"),
        ("5: {a: 1}", "5: is no setting"),
        ("null: 1", "None: is no setting"),
        ("train: {1: 2}", r"train\.1: is no setting"),
        ("run: [a]", "run: holds"),
        ("seed: 2024-13-45", "is not YAML"),
    ],
)
def test_odd_yaml_is_a_problem_told(tmp_path, text, said):
    file = tmp_path / "r.yaml"
    file.write_text(f"data: {{train: x}}\n{text}\n")
    with pytest.raises(RecipeError, match=said):
        load_recipe(file, ["train.lr=1", "method.rank=8"])


@pytest.mark.parametrize("tree", [None, [], "x", 5])
def test_what_holds_no_sections_is_no_recipe(tree):
    with pytest.raises(RecipeError, match="sections"):
        make_recipe(tree)


@pytest.mark.parametrize(
    ("shape", "wrong"),
    [
        (
            EvaluateOptions,
            {"resamples": 0, "seed": -1, "validation_rows": 0, "base_rows": 0, "token_budget": 0, "max_new_tokens": 0},
        ),
        (ModelOptions, {"max_length": 1, "dropout": 1.0}),
        (LoRA, {"rank": 0, "alpha": 0.0, "dropout": float("nan")}),
        (DataOptions, {"validation": 1.0, "test": -0.1, "limit": 0, "seed": -1}),
        (DataOptions, {"validation": "", "test": float("nan")}),
    ],
)
def test_values_out_of_bounds_are_refused_all_at_once(shape, wrong):
    with pytest.raises(RecipeError) as caught:
        shape(**wrong)
    assert str(caught.value).count("must be") == len(wrong)
    assert all(f"{name} is {value!r}" in str(caught.value) for name, value in wrong.items())


def test_bounds_are_told_with_the_other_problems():
    words = ["data.limit=0", "evaluate.resamples=0", "model.max_length=1", "method.rank=0", "train.epochs=0"]
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, words)
    assert str(caught.value).count("must be") == 5
    assert "data.train" in str(caught.value)


def test_a_section_may_be_given_as_the_one_value_that_matters_in_it(tmp_path):
    """In a file and as a word, beside its other settings."""
    path = tmp_path / "r.yaml"
    path.write_text("data: {train: t.csv}\nmodel: models/mine\nforgetting: [old.csv]\n")
    filed = load_recipe(path, ["model.max_length=64"])
    assert filed.model == ModelOptions(name="models/mine", max_length=64)
    assert filed.forgetting.files == ("old.csv",)
    worded = load_recipe(None, ["data.train=t.csv", "model.max_length=64", "model=models/mine", "forgetting=[old.csv]"])
    assert worded == filed
    with pytest.raises(RecipeError, match=r"section\.key=value"):
        load_recipe(path, ["train=3"])
