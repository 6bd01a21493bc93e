"""What a run makes the model forget: the base measured before the first step, the tuned model after the last.

In the run folder's `forgetting/`: `base.json` (the base's side, kept for a resumed run), `questions.jsonl`,
`passages.jsonl` and `divergence.jsonl` (a line each, base beside tuned), and for each named file `file-N.jsonl`, with
`base-file-N.jsonl` until then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any, cast

from luthier.batch import Batch
from luthier.evaluate import Evaluation, evaluation, read_predictions, write_predictions
from luthier.evaluate.forgetting import (
    Drift,
    Measure,
    Reading,
    answers,
    as_json,
    by_kind,
    drift,
    drifted,
    of_file,
    probe,
    read,
    readings,
    sample_base,
    together,
)
from luthier.evaluate.forgetting.marking import right
from luthier.evaluate.forgetting.texts import passages, prompts, questions
from luthier.evaluate.question import Progress
from luthier.methods import switched_off
from luthier.model.divergence import Reference, reference
from luthier.model.load import Model
from luthier.run.assess import judge
from luthier.run.earlier import Earlier
from luthier.run.files import read_json, write_json, write_text
from luthier.run.lineage import ancestors
from luthier.run.parent import comes_off, opened_before
from luthier.run.prepare import Prepared
from luthier.run.show import Show
from luthier.types import Json

FOLDER = "forgetting"
KEPT = "base.json"


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """The base's side."""

    said: dict[str, str]
    """Answers to the general questions."""
    read: list[Reading]
    sampled: dict[int, list[int]]
    """Text of the base's own: prompt -> tokens."""
    earlier: tuple[Evaluation, ...]
    """One a named file."""
    seconds: float


def before(prepared: Prepared, folder: Path, show: Show) -> Before | None:
    """The base measured, or what a run that goes on had measured; None where the recipe measures nothing."""
    if not prepared.recipe.forgetting.measure:
        return None
    place = folder / FOLDER
    if (place / KEPT).exists():
        return _kept(prepared, place)
    place.mkdir(parents=True, exist_ok=True)
    started = monotonic()
    with base_of(prepared, trained=(folder / "last").exists()) as model:
        found = [_judged(prepared, model, one, "before tuning", show) for one in prepared.earlier]
        said, seen = _texts(prepared, model, "before tuning", show)
        sampled = sample_base(model)
    for at, one in enumerate(found, start=1):
        write_predictions(place / f"base-file-{at}.jsonl", one.rows)
    made = Before(said, seen, sampled, tuple(found), monotonic() - started)
    own: dict[str, Json] = {str(prompt): list(tokens) for prompt, tokens in sampled.items()}
    rows: list[Json] = [dict(asdict(one)) for one in seen]
    answered: dict[str, Json] = dict(said)
    write_json(place / KEPT, {"answers": answered, "readings": rows, "sampled": own, "seconds": made.seconds})
    return made


def after(prepared: Prepared, folder: Path, base: Before | None, show: Show) -> dict[str, Json] | None:
    """The tuned model measured beside its base: `forgetting` of report.json, and the lines it rests on."""
    if base is None:
        return None
    started, model, options = monotonic(), prepared.model, prepared.recipe.evaluate
    found = [_judged(prepared, model, one, "after tuning", show) for one in prepared.earlier]
    said, seen = _texts(prepared, model, "after tuning", show)
    with show.stages(), _base_side(prepared) as side:
        gone = drift(
            model, base.sampled, side, budget=options.token_budget, progress=_progress(show, "forgetting, after tuning")
        )
    measures = [
        *(one for one in [probe(base.said, said, resamples=options.resamples, seed=options.seed)] if one is not None),
        *(of_file(e.name, b, t) for e, b, t in zip(prepared.earlier, base.earlier, found, strict=True)),
        *read(base.read, seen, resamples=options.resamples, seed=options.seed),
        *drifted(gone, resamples=options.resamples, seed=options.seed),
    ]
    _write_lines(folder / FOLDER, base, said, seen, gone)
    for at, (tuned, was) in enumerate(zip(found, base.earlier, strict=True), start=1):
        write_predictions(folder / FOLDER / f"file-{at}.jsonl", tuned.rows, was.rows)
        (folder / FOLDER / f"base-file-{at}.jsonl").unlink(missing_ok=True)
    return _told(together(measures), base, said, prepared, seconds=base.seconds + monotonic() - started)


def overdrawn(report: Mapping[str, Json]) -> str | None:
    """What a finished run forgot beyond its recipe's budget, in a sentence."""
    made = cast(dict[str, Any], report.get("forgetting") or {})
    measures = [one for one in made.get("measures", []) if one["name"] in made["over"]]
    over = [f"{one['name']} lost {100 * one['drop']:.1f} points" for one in measures]
    if not over:
        return None
    allowed = f"forgetting.max_drop allows {100 * made['max_drop']:g}"
    remedies = "mix.replay=0.1, objective.kl=0.1, a lower train.lr or fewer epochs keep more"
    return f"{', '.join(over)}, and {allowed}; {remedies}"


def _told(
    measures: Sequence[Measure], base: Before, said: dict[str, str], prepared: Prepared, *, seconds: float
) -> dict[str, Json]:
    made = as_json(measures, by_kind(base.said, said), prepared.recipe.forgetting.max_drop, seconds=round(seconds, 1))
    return {**made, "sentence": f"{made['sentence']}{_at_first(prepared.recipe.parent, measures)}"}


def _at_first(parent: str, measures: Sequence[Measure]) -> str:
    """What the model before the first run of a chain could do: each run is held to the one before it alone."""
    reports = [run / "report.json" for run in ancestors(parent)]
    known = [(path.parent, cast(Any, read_json(path).get("forgetting"))) for path in reports if path.exists()]
    firsts = [(run, one) for run, found in known if found for one in found["measures"]]
    names = {one.name for one in measures if one.kind == "probe"}
    for run, one in reversed(firsts):
        if one["name"] in names and one["base"]["value"] is not None:
            share = 100 * one["base"]["value"]
            return (
                f" That is since {parent}; before {run}, the first of its line, {one['name']} were {share:.1f} % right."
            )
    return ""


def _texts(prepared: Prepared, model: Model, when: str, show: Show) -> tuple[dict[str, str], list[Reading]]:
    progress, budget = _progress(show, f"forgetting, {when}"), prepared.recipe.evaluate.token_budget
    with show.stages():
        return answers(model, budget=budget, progress=progress), readings(model, budget=budget, progress=progress)


def _judged(prepared: Prepared, model: Model, one: Earlier, when: str, show: Show) -> Evaluation:
    return judge(model, one.examples, one.task, prepared.recipe.evaluate, f"{one.name}, {when}", show)


def _progress(show: Show, title: str) -> Progress:
    names = {"answers": "general questions", "loss": "prose, code and dialogue"}
    return lambda stage, done, total: show.stage(f"{title}: {names.get(stage, stage)}", done, total)


def _kept(prepared: Prepared, place: Path) -> Before:
    made, options = read_json(place / KEPT), prepared.recipe.evaluate
    earlier = [
        evaluation(
            read_predictions(place / f"base-file-{at}.jsonl")[0],
            one.task,
            resamples=options.resamples,
            seed=options.seed,
        )
        for at, one in enumerate(prepared.earlier, start=1)
    ]
    return Before(
        said=made["answers"],
        read=[Reading(**one) for one in made["readings"]],
        sampled={int(prompt): tokens for prompt, tokens in made["sampled"].items()},
        earlier=tuple(earlier),
        seconds=made["seconds"],
    )


@contextmanager
def base_of(prepared: Prepared, *, trained: bool) -> Iterator[Model]:
    """The base as it computes: the same weights with the adapter off, else this model before, or one opened anew."""
    recipe = prepared.recipe
    if comes_off(recipe):
        with switched_off(prepared.model.network):
            yield prepared.model
    elif not trained and (recipe.parent or recipe.method.starts_as_base):
        yield prepared.model
    else:
        yield opened_before(recipe)


@contextmanager
def _base_side(prepared: Prepared) -> Iterator[Callable[[Batch], Reference]]:
    """The base's side of a batch, once the model is tuned."""
    if not comes_off(prepared.recipe):
        with base_of(prepared, trained=True) as opened:
            yield lambda batch: reference(opened, batch)
        return

    def off(batch: Batch) -> Reference:
        with switched_off(prepared.model.network):
            return reference(prepared.model, batch)

    yield off


def _write_lines(
    place: Path, base: Before, said: dict[str, str], seen: Sequence[Reading], gone: Sequence[Drift]
) -> None:
    """What every figure can be traced to."""
    asked: list[dict[str, Json]] = [
        {
            "kind": one.kind,
            "question": one.question,
            "accept": list(one.accept),
            "base": {"text": base.said[one.question], "right": right(one, base.said[one.question])},
            "tuned": {"text": said[one.question], "right": right(one, said[one.question])},
        }
        for one in questions()
        if one.question in said and one.question in base.said
    ]
    parts: list[dict[str, Json]] = [
        {"kind": part.kind, "text": part.text, "bytes": after.bytes, "base_nats": was.nats, "tuned_nats": after.nats}
        for part, was, after in zip(passages(), base.read, seen, strict=True)
    ]
    away: list[dict[str, Json]] = [{**asdict(one), "text": prompts()[one.prompt]} for one in gone]
    for name, lines in (("questions", asked), ("passages", parts), ("divergence", away)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_text(place / f"{name}.jsonl", text)
