"""The frozen trunk of a run: kept where there is one, and told."""

from __future__ import annotations

from luthier.errors import ModelError
from luthier.model.cut import idle_layers
from luthier.model.layers import layer_list
from luthier.model.load import Model
from luthier.model.trunk import KeptTrunk, keep_trunk
from luthier.recipe import Recipe


def kept(model: Model, recipe: Recipe) -> str:
    """Keeps what lies below the cut, where the recipe wants it; for people, empty where no layer is frozen."""
    options, model.trunk = recipe.train, None
    if options.trunk is False:
        return ""
    cut = keep_trunk(model, exact=options.trunk == "exact", gigabytes=0 if options.neftune else options.trunk_gb)
    if options.neftune and _frozen(model):
        return "what the lowest layers compute is not kept: train.neftune puts noise below them"
    if cut.reason:
        return f"the lowest layers learn nothing, but what they compute is not kept: {cut.reason}"
    return _told(model)


def _frozen(model: Model) -> bool:
    """Whether the lowest layer learns nothing."""
    try:
        return idle_layers(list(layer_list(model.network))) > 0
    except ModelError:
        return False


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
