"""A recipe says the same in YAML, in words and in Python; everything wrong with one is told at once."""

from pathlib import Path

import pytest
import yaml

import luthier
from luthier.errors import RecipeError
from luthier.methods import Freeze, LoRA
from luthier.recipe import load_recipe, make_recipe, to_tree, to_yaml

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
    assert to_tree(made)["method"] == {"name": "full"}


def test_every_problem_is_told_at_once():
    words = ["data.train=x", "train.lrr=3", "train.epochs=-1", "method=lorra", "evaluate.task=guess", "nonsense"]
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, words)
    told = str(caught.value)
    for said in ("did you mean 'train.lr'", "epochs is -1", "method=lora", "evaluate.task", "'nonsense'"):
        assert said in told


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_is_one(path):
    assert load_recipe(path).data.train


def test_a_strangers_plug_in_is_named_by_module_and_class():
    made = luthier.recipe(data={"train": "x"}, method={"name": "luthier.methods.lora:LoRA", "rank": 2})
    assert made.method == LoRA(rank=2)
    with pytest.raises(RecipeError, match="cannot be imported"):
        luthier.recipe(data={"train": "x"}, method="nowhere:Thing")
