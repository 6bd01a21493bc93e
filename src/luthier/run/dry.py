"""What a run would do: rows, tokens, cost, and three rows with their learned tokens coloured. Nothing is written."""

from __future__ import annotations

from dataclasses import asdict

from rich.text import Text

from luthier.data.render import pieces
from luthier.model.load import Model
from luthier.recipe import Recipe, to_tree
from luthier.run.audit import told
from luthier.run.estimate import expect
from luthier.run.prepare import Prepared, attach, prepare
from luthier.run.show import Show, coloured
from luthier.run.steps import verified
from luthier.run.visible import foreseen, told_visible
from luthier.types import Json

ROWS = 3
MOST = 10
"""Rows that are not used, told by name."""


def dry(recipe: Recipe, show: Show, *, model: Model | None = None) -> dict[str, Json]:
    """Prepares everything, tastes one micro-batch, tells, and stops. model: the recipe's, where it is open already."""
    prepared = prepare(recipe, show, taste=True, model=model)
    replay = prepared.replayed.replay.sequences if prepared.replayed else ()
    for sequence in (*prepared.sequences[:ROWS], *replay[:1]):
        show.say(
            Text.assemble((f"\n{sequence.example}", "bold"), f"  {len(sequence)} tokens, {sequence.supervised} learned")
        )
        show.say(coloured(pieces(sequence, prepared.model.tokenizer)))
    _say_issues(prepared, show)
    attach(prepared, show)
    expected = expect(prepared)
    show.say("\n" + expected.told())
    proof = verified(prepared, show)
    can_show = foreseen(prepared)
    show.say(told_visible(prepared, can_show))
    show.say("dry run: the gate holds on every row, and nothing was written")
    fates = [row.fate for row in prepared.rows if row.split != "replay"]
    return {
        "recipe": to_tree(recipe),
        "rows": {fate: fates.count(fate) for fate in ("kept", "cut", "left out")},
        "splits": {part: len(rows) for part, rows in prepared.splits.items()},
        "replay": None if prepared.replayed is None else prepared.replayed.said,
        "steps": expected.size.steps,
        "logical_tokens": expected.size.logical,
        "distinct_tokens": expected.size.distinct,
        "sharing": expected.size.sharing,
        "trainable": expected.trainable,
        "parameters": expected.parameters,
        "cost": dict(asdict(expected.cost)),
        "forgetting_s": expected.forgetting_s,
        "verified": proof,
        "visible": None if can_show is None else can_show.json(),
        "not_used": [dict(asdict(row)) for row in prepared.rows if row.fate != "kept"],
        "issues": [dict(asdict(issue)) for issue in prepared.issues],
    }


def _say_issues(prepared: Prepared, show: Show) -> None:
    lost = [row for row in prepared.rows if row.fate != "kept"]
    lines = [f"{row.fate}: {row.id}: {row.reason}" for row in lost[:MOST]]
    if len(lost) > MOST:
        lines.append(f"... and {len(lost) - MOST:,} more rows that are not used; --json has them all")
    lines += told([issue for issue in prepared.issues if issue.flagged and issue.check != "cut"])
    if lines:
        show.say("\n" + "\n".join(lines))
