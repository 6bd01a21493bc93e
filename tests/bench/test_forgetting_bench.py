"""The page of the two tasks in a row: what it claims follows from its figures; it measures nothing here."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import forgetting
import forgetting_page as page
import pytest
from environment import Machine
from forgetting_page import Away, Change, Way

from luthier.recipe import make_recipe

MACHINE = Machine("a processor", 2, ("avx2",), 16.0, "Linux", 0.0)


def made(said: str, lost: Change, gained: Change) -> Way:
    text = Change(1.2, 1.3, 0.1, 0.05, 0.15, 11)
    away = Away(0.2, 0.1, 0.3, 60)
    learned, loss = Change(0.2, 0.7, 0.5, 0.4, 0.6, 300), Change(2.0, 1.0, -1.0, -1.2, -0.8, 60)
    return Way(said, 100.0, 114, 5_000_000, 2_000_000_000, learned, "chrf", gained, loss, lost, lost, {"prose": text},
               (away, away))  # fmt: skip


MUCH = made("much & more", Change(0.7, 0.4, -0.3, -0.4, -0.2, 300), Change(20, 50, 30.0, 25.0, 35.0, 60))
NONE = made("none", Change(0.7, 0.69, -0.01, -0.04, 0.02, 300), Change(20, 21, 1.0, -1.0, 3.0, 60))


def test_a_loss_and_a_gain_are_said_of_those_whose_interval_excludes_nought() -> None:
    said = list(page.reading([MUCH, NONE]))
    assert said[0].endswith(": much & more.")
    assert said[1].endswith(": none.")
    assert said[3] == "Gained on the second task, the interval excluding 0: much & more."
    assert "Most of the first task was kept by *none* (0.690), least by *much & more* (0.400)" in said[4]


def test_every_line_of_a_table_has_as_many_cells_as_its_head() -> None:
    tables = [line for line in page.lines(MACHINE, [MUCH, NONE], "command") if line.startswith("|")]
    cells = [line.count("|") for line in tables]
    heads = [i for i, line in enumerate(tables) if set(line) <= {"|", "-"}]
    assert len(heads) == 3
    for i in heads:
        assert cells[i - 1] == cells[i] == cells[i + 1] == cells[i + 2]


def test_the_plot_is_well_formed_and_holds_two_points_and_a_name_a_way() -> None:
    root = ElementTree.fromstring(page.plot([MUCH, NONE]))
    circles = [one for one in root.iter() if one.tag.endswith("circle")]
    assert len(circles) == 2 * 3
    assert "much & more" in [one.text for one in root.iter() if one.tag.endswith("text")]
    at = {one.get("fill"): float(one.get("cx")) for one in circles if one.get("cx") != "80"}
    assert at[page.COLOURS[0]] < at[page.COLOURS[1]]  # less was kept


def test_the_figures_stand_between_the_marks_and_nowhere_else(tmp_path) -> None:
    file = tmp_path / "forgetting.md"
    file.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    page.write(file, MACHINE, [MUCH, NONE], command="command")
    text = file.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    file.write_text("no marks")
    with pytest.raises(SystemExit, match="no place"):
        page.write(file, MACHINE, [MUCH], command="command")


def test_every_arms_settings_are_a_recipe_and_its_first_run_is_there() -> None:
    names = {arm.name for arm in forgetting.ARMS}
    for arm in forgetting.ARMS:
        tree: dict[str, dict] = {"data": {"train": "x.csv"}}
        for key, value in {**arm.settings, **arm.later}.items():
            section, _, name = key.partition(".")
            tree.setdefault(section, {})[name or "name"] = value
        assert make_recipe(tree).data.train == "x.csv"
        assert arm.first is None or arm.first in names


def test_a_page_of_one_way_is_a_page() -> None:
    assert "much" in "\n".join(page.lines(MACHINE, [replace(MUCH, said="much")], "command"))


@pytest.mark.parametrize(("low", "high"), [(0.31, 0.83), (41.2, 68.9), (-0.004, 0.003), (0.0, 100.0)])
def test_an_axis_has_a_few_round_places_within_its_ends(low: float, high: float) -> None:
    places = page.ticks(low, high)
    assert 3 <= len(places) <= 12
    assert all(low <= place <= high for place in places)
    assert all(len(f"{place:g}") <= 6 for place in places)
