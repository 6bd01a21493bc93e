"""report.json: what came of a run, each number traceable to a line of the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from luthier.checks.baselines import baselines
from luthier.data.render import pieces
from luthier.evaluate import (
    Evaluation,
    calibration_json,
    classes_json,
    compare,
    confusions_json,
    evaluation,
    metrics_json,
    task_json,
    verdict_json,
)
from luthier.evaluate.reads import Read
from luthier.evaluate.tables import interval_json
from luthier.export import use_lines
from luthier.recipe import to_tree
from luthier.run.estimate import Expected
from luthier.run.looks import reads_json
from luthier.run.prepare import Prepared
from luthier.train.meter import Cost
from luthier.train.result import TrainResult
from luthier.types import Json

SHOWN = 3
"""Training rows whose learned tokens the report colours."""


def report(
    prepared: Prepared,
    folder: Path,
    base: Evaluation | None,
    tuned: Evaluation | None,
    result: TrainResult,
    expected: Expected,
    took: Cost,
    before: Sequence[Read],
    validation: Evaluation | None = None,
) -> dict[str, Json]:
    """The whole of report.json; `before` are earlier readings of the same test rows."""
    recipe, model = prepared.recipe, prepared.model
    return {
        "title": folder.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": task_json(prepared.task, tuned),
        **_judged(base, tuned, validation),
        "mixture": _mixture(prepared),
        "replay": _replay(prepared),
        "reads": reads_json(before) if tuned is not None else None,
        "cost": {"estimate": _plain(expected.cost), "took": _plain(took)},
        "speed": {
            "distinct_per_s": result.distinct / max(result.seconds, 1e-9),
            "logical_per_s": result.logical / max(result.seconds, 1e-9),
            "sharing": result.logical / max(1, result.distinct),
        },
        "model": {
            "name": model.name,
            "parameters": expected.parameters,
            "trainable": expected.trainable,
            "dtype": str(model.dtype).removeprefix("torch."),
            "device": model.device.type,
            "shared": model.shared,
            "reason": model.reason,
        },
        "method": to_tree(recipe)["method"],
        "steps": result.steps,
        "best_step": result.best_step,
        "averaged": list(result.averaged),
        "stopped_early": result.stopped_early,
        "refused": result.refused,
        "shown": _shown(prepared),
        "use": use_lines(folder),
        "baselines": [dict(asdict(one)) for one in baselines(prepared.corpus)],
        "issues": {"flagged": sum(issue.flagged for issue in prepared.issues), "total": len(prepared.issues)},
    }


def _judged(base: Evaluation | None, tuned: Evaluation | None, validation: Evaluation | None) -> dict[str, Json]:
    """Verdict and metrics; a run without test rows says that it has none."""
    if base is None or tuned is None:
        word = "not enough rows to tell"
        why = "There are no test rows, so nothing is claimed." if tuned is None else "The base was not measured."
        return {"verdict": {"word": word, "metric": "none", "n": 0, "rows_needed": None, "sentence": why}}
    paired = _among(tuned, base)
    whole: dict[str, Json] = {name: interval_json(one) for name, one in tuned.metrics.items()}
    return {
        "verdict": verdict_json(compare(base, paired)),
        "metrics": metrics_json(base, paired),
        "tuned_on_all": {"n": len(tuned.rows), "metrics": whole},
        "classes": classes_json(base, paired),
        "confusions": confusions_json(base, paired),
        "calibration": calibration_json(base, paired, validation),
    }


def _among(tuned: Evaluation, base: Evaluation) -> Evaluation:
    """The tuned model on the rows the base was asked, too."""
    asked = {row.id for row in base.rows}
    rows = [row for row in tuned.rows if row.id in asked]
    return evaluation(rows, tuned.task, unfinished=tuned.unfinished, resamples=tuned.resamples, seed=tuned.seed)


def _mixture(prepared: Prepared) -> list[Json]:
    """How often an epoch drew from each file, the main one first; empty where there is only that."""
    if (made := prepared.mixture) is None:
        return []
    each = zip(made.names, made.sizes, made.drawn, strict=True)
    return [{"name": name, "rows": size, "drawn": drawn} for name, size, drawn in each]


def _replay(prepared: Prepared) -> Json:
    """What was learned beside the task; null where nothing was."""
    made, mix = prepared.replayed, prepared.recipe.mix
    if made is None:
        return None
    rows = sum(row.fate == "kept" for row in made.ledger)
    return {"source": mix.source, "share": mix.replay, "rows": rows, "seconds": round(made.seconds, 1)}


def _shown(prepared: Prepared) -> list[Json]:
    shown: list[Json] = []
    for sequence in prepared.sequences[:: max(1, len(prepared.sequences) // SHOWN)][:SHOWN]:
        parts: list[Json] = [
            {"text": text, "learned": learned} for text, learned in pieces(sequence, prepared.model.tokenizer)
        ]
        shown.append({"id": sequence.example, "pieces": parts})
    return shown


def _plain(cost: object) -> dict[str, Json]:
    found: dict[str, Json] = asdict(cost)  # type: ignore[call-overload]
    return found
