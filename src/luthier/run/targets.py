"""What `luthier evaluate` can be pointed at: a run folder, an adapter with its base, or a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from luthier.errors import ModelError
from luthier.methods import switched_off
from luthier.methods.store import adapter_files
from luthier.methods.tuned import open_adapter, open_tuned
from luthier.model.accept import open_model
from luthier.model.find import find
from luthier.model.load import Model, ModelOptions
from luthier.recipe import Recipe
from luthier.run.assistant import recipe_of


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers."""

    name: str
    """As it was named."""
    run: Path | None = None
    recipe: Recipe | None = None
    """Of a run."""
    adapter: Path | None = None
    base: str = ""
    """The model, or what the adapter stands on."""

    def open(self, like: ModelOptions | None = None) -> Model:
        """Ready to be asked; a model that is no run computes `like` another. Raises RunError or ModelError."""
        if self.run is not None:
            return open_tuned(self.run)
        options = replace(like or ModelOptions(), name=self.base, revision=None)
        return open_adapter(self.adapter, options) if self.adapter is not None else open_model(options)

    @contextmanager
    def untuned(self, model: Model) -> Iterator[Model]:
        """The model before a run's tuning: the opened one without what it learned, where that comes off."""
        assert self.recipe is not None, f"{self.name} is no run"
        if not self.recipe.method.removable:
            yield open_model(self.recipe.model)
            return
        with switched_off(model.network):
            yield model


def target(name: str) -> Target:
    """What a name on the command line means. Raises ModelError where it leads nowhere, or an adapter names no base."""
    folder = Path(name)
    if (folder / "recipe.yaml").is_file():
        return Target(name, run=folder, recipe=recipe_of(folder))
    if adapter_files(folder) is not None:
        return Target(name, adapter=folder, base=_base(folder))
    base, plus, above = name.partition("+")
    if plus and adapter_files(Path(above)) is not None:
        find(base)
        return Target(name, adapter=Path(above), base=base)
    if "=" in name and not folder.exists():
        raise ModelError(f"{name!r} is no model, and settings of a recipe are not taken here: --help tells what is")
    find(name)
    return Target(name, base=name)


def _base(folder: Path) -> str:
    files = adapter_files(folder)
    assert files is not None, f"{folder} holds no adapter"
    base = files.described().get("base_model_name_or_path")
    if not base:
        raise ModelError(f"{folder}: {files.config.name} names no base; name it yourself: BASE+{folder}")
    return str(base)
