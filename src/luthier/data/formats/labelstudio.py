"""Label Studio tasks: `data`, `annotations` by people, `predictions` by models, which are kept and never learned.

Of an annotation the results `choices`, `textarea` and `pairwise` are read. A ground truth counts alone; where
annotators chose otherwise the majority counts; whatever they wrote is all right. `data.text`, a list of messages or
the column named with `--input` is the input, `from_name` is what `--output` names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from luthier.data.formats.format import Written, both, only, plain, said
from luthier.data.formats.nested import agreed, asked_about, gathered, inner, objects, question, spread
from luthier.data.row import Row, as_text
from luthier.data.shape import ending, ranked
from luthier.errors import DataError
from luthier.types import Completion, Example, Json, Message

TASK = frozenset(
    [
        "id",
        "annotations",
        "predictions",
        "drafts",
        "meta",
        "inner_id",
        "total_annotations",
        "cancelled_annotations",
        "total_predictions",
        "comment_count",
        "unresolved_comment_count",
        "last_comment_updated_at",
        "comment_authors",
        "project",
        "updated_by",
        "created_at",
        "updated_at",
        "file_upload",
    ]
)
"""A task's own fields, beside `data`."""
SIDES = (("left", "right"), ("text1", "text2"), ("answer1", "answer2"), ("response1", "response2"))
"""Names that the two columns of a comparison usually have."""


def columns(values: Mapping[str, Json]) -> Iterator[str]:
    """What `--input`, `--output` and `--group` can name in a task."""
    data = values.get("data")
    yield from (*(data if isinstance(data, dict) else ()), *(name for name in values if name != "data"))
    yield from (str(result.get("from_name")) for result in _results(values))


def labelstudio(row: Row) -> Example:
    """A task that someone has annotated."""
    data = inner(row.values, "data")
    done = _annotations(row.values)
    if not done:
        raise DataError("has no annotation, at most predictions or skips; annotate it, or leave it out")
    name = asked_about(dict.fromkeys(str(result.get("from_name")) for one in done for result in _held(one)), row)
    results = [result for one in done for result in _held(one) if str(result.get("from_name")) == name]
    found, used = _compared(results, data, row) if _kind(results) == "pairwise" else _answered(results, data, row)
    outer = {key: value for key, value in row.values.items() if key != "data"}
    if row.values.get("annotations") == _annotated(found):
        del outer["annotations"]
    return replace(
        found, meta=spread(outer, {key: value for key, value in data.items() if key not in used}, "data", TASK)
    )


def write_labelstudio(example: Example, texts: bool) -> Written:
    """The task that `labelstudio` reads, with the annotations it came with where it came from Label Studio."""
    bare = plain(example)
    outer, within = gathered(example.meta, "data", TASK)
    pair = len(example.completions) > 1
    core: Written = {"text" if bare else "messages": said(example.prompt, texts=bare)}
    if pair:
        only(replace(example, prompt=(Message("user", "-"),)))
        core |= dict(zip(SIDES[0], (one.text for one in both(example)), strict=True))
    elif len(example.completions[0].messages) > 1 or example.completions[0].score != 1:
        raise DataError("its answer has several turns or a score of its own, and an annotation holds one text")
    task: Written = {**outer, "data": within | core}
    if not _same(task, example):
        task["annotations"] = _annotated(example)
    return task


def _annotated(example: Example) -> Json:
    """One annotation with the answer and nothing else."""
    if len(example.completions) > 1:
        return [{"result": [_result("pairwise", "preference", list(SIDES[0]), {"selected": "left"})]}]
    if example.label is not None and not example.references:
        return [{"result": [_result("choices", "label", "text", {"choices": [example.label]})]}]
    answers: list[Json] = list(example.references or (example.answer,))
    return [{"result": [_result("textarea", "answer", "text", {"text": answers})]}]


def _result(kind: str, name: str, about: Json, value: Json) -> Json:
    return {"from_name": name, "to_name": about, "type": kind, "value": value}


def _same(task: Written, example: Example) -> bool:
    """Whether the annotations that a task holds already say what the example says."""
    if "annotations" not in task:
        return False
    try:
        found = labelstudio(Row(example.id, example.source, task))
    except DataError:
        return False
    return (found.completions, found.references) == (example.completions, example.references)


def _annotations(values: Mapping[str, Json]) -> list[dict[str, Json]]:
    """The annotations that count: ground truths where there are any, else all that were not skipped."""
    given = objects(values.get("annotations"), "annotations")
    done = [one for one in given if not one.get("was_cancelled") and _held(one)]
    return [one for one in done if one.get("ground_truth")] or done


def _held(annotation: Mapping[str, Json]) -> list[dict[str, Json]]:
    return objects(annotation.get("result"), "result")


def _results(values: Mapping[str, Json]) -> list[dict[str, Json]]:
    try:
        return [result for one in _annotations(values) for result in _held(one)]
    except DataError:
        return []


def _kind(results: list[dict[str, Json]]) -> str:
    kinds = {str(result.get("type")) for result in results}
    if len(kinds) > 1 or not kinds <= {"choices", "textarea", "pairwise"}:
        raise DataError(f"its result is of type {', '.join(sorted(kinds))}; choices, textarea or pairwise are read")
    return kinds.pop()


def _answered(results: list[dict[str, Json]], data: dict[str, Json], row: Row) -> tuple[Example, tuple[str, ...]]:
    """The example of a choice or of a written answer, and the columns of its data that were used."""
    name, asked = question(data, row)
    if _kind(results) == "choices":
        votes = [_choice(result) for result in results]
        return _made(row, asked, label=agreed(votes)), (name,)
    texts = list(dict.fromkeys(text for result in results for text in _texts(result, "text")))
    return _made(row, asked, answers=texts), (name,)


def _made(
    row: Row, asked: tuple[Message, ...], *, label: str | None = None, answers: list[str] | None = None
) -> Example:
    texts = answers or [label or ""]
    answer = ending((Message("assistant", texts[0]),), "annotations")
    references = tuple(texts) if len(texts) > 1 else ()
    return Example(row.id, asked, (Completion(answer),), label=label, source=row.source, references=references)


def _compared(results: list[dict[str, Json]], data: dict[str, Json], row: Row) -> tuple[Example, tuple[str, ...]]:
    """The example of a comparison, and the columns of its data that were used."""
    left, right = sides = _sides(results[0], data)
    rest = {name: value for name, value in data.items() if name not in sides}
    name, asked = question(rest, row)
    selected = agreed([str(_value(result).get("selected")) for result in results])
    if selected not in ("left", "right"):
        raise DataError(f"'selected' is {selected!r}; write left or right")
    own = Row(row.id, row.source, data)
    order = (left, right) if selected == "left" else (right, left)
    better, worse = ((Message("assistant", own.text(side)),) for side in order)
    return Example(row.id, asked, ranked(better, worse, order), source=row.source), (name, left, right)


def _sides(result: Mapping[str, Json], data: Mapping[str, Json]) -> tuple[str, str]:
    named = result.get("to_name")
    given = named.split(",") if isinstance(named, str) else named if isinstance(named, list) else []
    match [str(one).strip() for one in given]:
        case [left, right] if left in data and right in data:
            return left, right
    for left, right in SIDES:
        if left in data and right in data:
            return left, right
    raise DataError(f"compares two texts that are not in its data; name them {SIDES[0][0]!r} and {SIDES[0][1]!r}")


def _choice(result: Mapping[str, Json]) -> str:
    chosen = _texts(result, "choices")
    if len(chosen) > 1:
        raise DataError(f"has {len(chosen)} choices at once ({', '.join(chosen[:4])}); one label can be learned")
    return chosen[0].strip()


def _texts(result: Mapping[str, Json], column: str) -> list[str]:
    found = _value(result).get(column)
    texts = [found] if isinstance(found, str) else found
    if not isinstance(texts, list) or not texts:
        raise DataError(f"its result has no {column!r}; annotate it, or leave the row out")
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise DataError(f"its result holds something in {column!r} that is no text; write texts there")
    return [as_text(text, column) for text in texts]


def _value(result: Mapping[str, Json]) -> Mapping[str, Json]:
    return inner(result, "value")
