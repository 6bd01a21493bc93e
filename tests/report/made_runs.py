"""Run folders whose answers are known: the fake choice run with other predictions in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fake_runs import lines, write_run

TASK = {
    "kind": "choice",
    "labels": ["cat", "dog"],
    "metrics": ["accuracy", "macro_f1"],
    "primary": "accuracy",
    "max_new_tokens": 16,
    "signatures": {},
}


def made(
    folder: Path,
    right: Sequence[bool],
    *,
    task: dict[str, object] | None = None,
    ids: Sequence[int] | None = None,
    question: str = "which animal",
    recipe: str | None = None,
) -> Path:
    """A finished run that answered these test rows rightly or wrongly."""
    write_run(folder, task="choice")
    report = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_text(json.dumps({**report, "task": {**TASK, **(task or {})}}))
    rows = zip(ids if ids is not None else range(len(right)), right, strict=True)
    lines(folder / "predictions.jsonl", [row(number, good, question) for number, good in rows])
    lines(folder / "rows.jsonl", [{"id": f"train.csv:{at}", "split": "train", "fate": "kept"} for at in range(9)])
    if recipe is not None:
        (folder / "recipe.yaml").write_text(recipe)
    return folder


def row(number: int, right: bool, question: str) -> dict[str, object]:
    """A line of predictions.jsonl."""
    gold = ("cat", "dog")[number % 2]
    said = gold if right else ("dog", "cat")[number % 2]
    scores = {"accuracy": float(right), "loss": 0.1 if right else 2.0}
    answer = {"text": said, "logprob": -0.1, "scores": scores}
    return {"id": f"test.csv:{number}", "split": "test", "question": f"{question} {number}", "reference": [gold],
            "label": gold, "group": None, "tokens": 2.0, "base": None, "tuned": answer}  # fmt: skip
