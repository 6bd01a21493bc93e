"""What `luthier evaluate` can be pointed at, refused before any of it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.errors import ModelError
from luthier.run.judged import Asked, compared
from luthier.run.show import Show
from luthier.run.targets import target


def test_a_setting_of_a_recipe_is_no_target_and_is_told_so() -> None:
    with pytest.raises(ModelError, match="settings of a recipe are not taken here"):
        target("evaluate.max_new_tokens=48")


def test_one_target_that_leads_nowhere_is_refused_before_another_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("luthier.run.judged.assess", lambda *_, **__: pytest.fail("a target was asked"))
    with pytest.raises(ModelError, match="'nope' is no model"):
        compared([str(tmp_path), "nope"], Asked(data="rows.csv"), Show(silent=True))


def test_a_folder_may_be_named_as_it_likes(tmp_path: Path) -> None:
    named = tmp_path / "rate=2"
    named.mkdir()
    assert target(str(named)).base == str(named)
