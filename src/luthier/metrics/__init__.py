"""Metrics: how right an answer is. One file a family.

A name in recipes is a key of `metrics`, `json_schema=FILE`, or `module:function` for a row metric of one's own.
"""

from __future__ import annotations

from importlib import import_module
from math import inf
from pathlib import Path

from luthier.errors import RecipeError
from luthier.metrics.label import ClassScore, Confusion, MacroF1, Matthews, accuracy, classes, confusions
from luthier.metrics.match import exact, token_f1
from luthier.metrics.metric import Better, Mean, Metric, RowMetric
from luthier.metrics.numeric import numeric
from luthier.metrics.regression import Regression, explained, mean_absolute_error, root_mean_squared_error
from luthier.metrics.rouge import rouge1, rouge2, rouge_l, rouge_lsum
from luthier.metrics.structured import follows, json_equal, json_f1, json_valid
from luthier.metrics.style import REPEATED, Distinct, LengthRatio
from luthier.metrics.translation import Bleu, ChrF, Ter
from luthier.words import closest

metrics: dict[str, Metric] = {
    "accuracy": Mean(accuracy),
    "macro_f1": MacroF1(),
    "weighted_f1": MacroF1(weighted=True),
    "mcc": Matthews(),
    "exact": Mean(exact),
    "token_f1": Mean(token_f1),
    "numeric": Mean(numeric),
    "mae": Regression(mean_absolute_error),
    "rmse": Regression(root_mean_squared_error),
    "r2": Regression(explained, top=1.0, bottom=-inf, better="higher"),
    "rouge1": Mean(rouge1),
    "rouge2": Mean(rouge2),
    "rougeL": Mean(rouge_l),
    "rougeLsum": Mean(rouge_lsum),
    "bleu": Bleu(),
    "bleu_char": Bleu(tokenize="char"),
    "chrf": ChrF(),
    "ter": Ter(),
    "json_valid": Mean(json_valid),
    "json_equal": Mean(json_equal),
    "json_f1": Mean(json_f1),
    "length_ratio": LengthRatio(),
    "repetition": Distinct(REPEATED, repeated=True),
    "distinct1": Distinct(1),
    "distinct2": Distinct(2),
}


SCHEMA = "json_schema="
"""What a JSON Schema file's name follows."""


def named(name: str) -> Metric:
    """The metric a recipe names: a key of `metrics`, `json_schema=FILE`, or `module:function`.

    Raises RecipeError with the nearest name, or with why the module or function cannot be had.
    """
    if name in metrics:
        return metrics[name]
    if name.startswith(SCHEMA):
        return Mean(follows(Path(name.removeprefix(SCHEMA))))
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
    "Better",
    "Bleu",
    "ChrF",
    "ClassScore",
    "Confusion",
    "Distinct",
    "LengthRatio",
    "MacroF1",
    "Matthews",
    "Mean",
    "Metric",
    "RowMetric",
    "Ter",
    "accuracy",
    "classes",
    "confusions",
    "exact",
    "json_equal",
    "json_f1",
    "json_valid",
    "metrics",
    "named",
    "numeric",
    "rouge1",
    "rouge2",
    "rouge_l",
    "rouge_lsum",
    "token_f1",
]
