"""Metrics: how right an answer is. One file a family; a name in recipes is a key of `metrics` or `module:function`."""

from __future__ import annotations

from importlib import import_module

from luthier.errors import RecipeError
from luthier.metrics.label import ClassScore, Confusion, MacroF1, accuracy, classes, confusions
from luthier.metrics.match import exact, token_f1
from luthier.metrics.metric import Mean, Metric, RowMetric
from luthier.metrics.numeric import numeric
from luthier.metrics.rouge import rouge1, rouge2, rouge_l
from luthier.metrics.translation import Bleu, ChrF
from luthier.words import closest

metrics: dict[str, Metric] = {
    "accuracy": Mean(accuracy),
    "macro_f1": MacroF1(),
    "exact": Mean(exact),
    "token_f1": Mean(token_f1),
    "numeric": Mean(numeric),
    "rouge1": Mean(rouge1),
    "rouge2": Mean(rouge2),
    "rougeL": Mean(rouge_l),
    "bleu": Bleu(),
    "bleu_char": Bleu(tokenize="char"),
    "chrf": ChrF(),
}


def named(name: str) -> Metric:
    """The metric a recipe names: a key of `metrics`, or `module:function` for a row metric of one's own.

    Raises RecipeError with the nearest name, or with why the module or function cannot be had.
    """
    if name in metrics:
        return metrics[name]
    if ":" in name:
        return Mean(_imported(name))
    hint = closest(name, metrics) or f"; choose from {', '.join(metrics)}, or name module:function"
    raise RecipeError(f"{name!r} is not a metric{hint}")


def _imported(name: str) -> RowMetric:
    module, _, function = name.partition(":")
    try:
        found: object = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise RecipeError(f"metric {name!r} cannot be imported: {error}; check the module and function") from error
    if not callable(found):
        raise RecipeError(f"metric {name!r} is not callable; name a function (prediction, references) -> float")
    return found


__all__ = [
    "Bleu",
    "ChrF",
    "ClassScore",
    "Confusion",
    "MacroF1",
    "Mean",
    "Metric",
    "RowMetric",
    "accuracy",
    "classes",
    "confusions",
    "exact",
    "metrics",
    "named",
    "numeric",
    "rouge1",
    "rouge2",
    "rouge_l",
    "token_f1",
]
