"""`luthier settings`: what it lists is what a recipe takes, each with its meaning."""

import json

from typer.testing import CliRunner

from luthier.cli import app
from luthier.recipe import make_recipe, to_tree
from luthier.run.settings import settings


def test_every_setting_of_a_recipe_is_listed_with_a_meaning():
    listed = {one.name: one for one in settings()}
    tree = to_tree(make_recipe({"data": {"train": "x.csv"}}))
    names = {f"{section}.{key}" for section, held in tree.items() if isinstance(held, dict) for key in held}
    names -= {"method.name", "objective.name"}
    assert names <= listed.keys()
    assert [name for name, one in listed.items() if not one.meaning] == []


def test_the_listed_default_is_the_one_a_recipe_has():
    tree = to_tree(make_recipe({"data": {"train": "x.csv"}}))
    for one in settings():
        section, _, key = one.name.partition(".")
        if section in ("data", "train", "evaluate", "checks", "model") and one.name != "data.train":
            assert tree[section][key] == one.default, one.name


def test_words_narrow_the_list_and_nothing_found_says_so():
    found = CliRunner().invoke(app, ["settings", "encoding", "--json"])
    assert list(json.loads(found.stdout)) == ["data.encoding"]
    assert CliRunner().invoke(app, ["settings", "nosuchsetting"]).exit_code == 1
