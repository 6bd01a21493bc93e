"""The frozen trunk of a run: kept where there is one, and told."""

from __future__ import annotations

from luthier.model.load import Model
from luthier.model.trunk import KeptTrunk, keep_trunk
from luthier.recipe import Recipe


def kept(model: Model, recipe: Recipe) -> str:
    """Keeps what lies below the cut, where the recipe wants it; for people, empty where no layer is frozen."""
    options, model.trunk = recipe.train, None
    if options.trunk is False:
        return ""
    if options.neftune:
        return "what the lowest layers compute is not kept: train.neftune puts noise below them"
    cut = keep_trunk(model, exact=options.trunk == "exact", gigabytes=options.trunk_gb)
    if cut.reason:
        return f"the lowest layers learn nothing, but what they compute is not kept: {cut.reason}"
    return _told(model)


def _told(model: Model) -> str:
    trunk = model.trunk
    if not isinstance(trunk, KeptTrunk):
        return ""
    return (
        f"the lowest {trunk.cut} of {trunk.layers} layers learn nothing: what they compute is kept in "
        f"{trunk.kept.folder} and computed once, so later epochs, and runs that share it, take less than estimated"
    )


def saved(model: Model) -> str:
    """What came of it, for people; empty where nothing is kept."""
    return model.trunk.told() if isinstance(model.trunk, KeptTrunk) else ""
