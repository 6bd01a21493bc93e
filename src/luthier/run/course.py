"""How the training of a finished run went, for report.json: what looking took, and what its curves warn of."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from luthier.run.headed import loss_unit
from luthier.run.prepare import Prepared
from luthier.train.course import read_course
from luthier.train.optim import peak_rate
from luthier.train.result import TrainResult
from luthier.train.symptoms import symptoms
from luthier.types import Json


def course(prepared: Prepared, folder: Path, result: TrainResult) -> dict[str, Json]:
    """`warnings` and `looks` of report.json."""
    recipe = prepared.recipe
    found = symptoms(
        replace(read_course(folder / "metrics.jsonl"), unit=loss_unit(recipe)),
        lr=peak_rate(recipe.train, recipe.method.usual_lr(prepared.model.network)),
        best_step=result.best_step,
        stopped_early=result.stopped_early,
    )
    return {"warnings": [dict(asdict(one)) for one in found], "looks": _looks(recipe.train.evaluation_share, result)}


def _looks(share: float, result: TrainResult) -> dict[str, Json]:
    """How often the run looked, and the share of the time of training that took."""
    whole = result.seconds + result.looking
    return {
        "made": result.looks,
        "passed": result.passed,
        "seconds": result.looking,
        "share": result.looking / whole if whole else 0.0,
        "allowed": share,
    }
