"""Replay for a run: the rows found or written by the model before it is tuned, proved, and kept in the run folder.

The bundled instructions are answered greedily, as the model answers when it is asked. What it samples itself, it
samples at temperature 1, question and answer: learning that asks nothing new of it on average, since what it was is
where the expected loss is lowest. An answer that met the token limit is learned without an end of turn.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import numpy as np

from luthier.checks.gate import prove
from luthier.data.ledger import LedgerRow, ledger
from luthier.data.mix import MixOptions, Replay, general_prompts, loss_share, weighed
from luthier.data.read import LeftOut, ReadOptions, read
from luthier.data.render import Rendered, prompt_tokens, render_all
from luthier.data.split import normalised
from luthier.data.template import Chat
from luthier.errors import DataError, RunError
from luthier.model.generate import generate
from luthier.model.load import Model
from luthier.recipe import Recipe
from luthier.run.parent import learned_before
from luthier.run.show import Show
from luthier.train.log import spoken
from luthier.types import Completion, Example, Json, Message, TokenSequence
from luthier.words import counted

NAME = "replay.jsonl"
"""Where a run folder keeps its replay rows."""
TOGETHER = 64
"""Rows that the model writes at once."""
TASTED = 8
"""Rows written for a dry run, which stand for all."""


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """One row as replay.jsonl keeps it: enough to learn it again."""

    example: Example
    finished: bool = True
    """Whether its answer ended by itself, so that the end is learned, too."""

    def line(self) -> str:
        """As JSON."""
        turns = {"prompt": self.example.prompt, "answer": self.example.completions[0].messages}
        held = {name: [_turn(turn) for turn in some] for name, some in turns.items()}
        tools = [dict(tool) for tool in self.example.tools]
        row = {"id": self.example.id, **held, "finished": self.finished, **({"tools": tools} if tools else {})}
        return json.dumps(row, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """The replay of a run."""

    rows: tuple[ReplayRow, ...]
    replay: Replay
    ledger: tuple[LedgerRow, ...]
    said: str
    """What it is, for people."""
    seconds: float = 0.0
    """Time the model took to write it."""


def replayed(
    recipe: Recipe,
    model: Model,
    asked: Mapping[str, Sequence[Example]],
    task: Sequence[TokenSequence],
    show: Show,
    *,
    folder: Path | None = None,
    taste: bool = False,
) -> Replayed | None:
    """The replay that a recipe asks for; None where it asks for none. The model must not be tuned yet.

    asked: the rows that judge the run, by what they are called; no prompt of theirs is replayed.
    folder: a run that goes on; its rows are read, not written anew. taste: a few generated rows stand for all.
    Raises DataError where no row is left, and what reading, generating and the gate raise.
    """
    mix = recipe.mix
    examples = len({one.group for one in task})
    needed = min(math.ceil(recipe.train.epochs * examples * mix.each), mix.rows if mix.generated else 2**31)
    if not needed:
        return None
    began = monotonic()
    if folder is not None:
        found, left_out = _kept(folder / NAME), list[LeftOut]()
    elif mix.generated:
        found, left_out = _written(mix, model, min(needed, TASTED) if taste else needed, recipe.train.seed, show)
    elif mix.source == "parent":
        found, left_out = _drawn(list(learned_before(recipe.parent)), needed, recipe.train.seed), []
    else:
        found, left_out = _read(mix.source, needed, recipe)
    took = monotonic() - began if mix.generated and folder is None else 0.0
    found, held_out = _apart(found, asked)
    made = replace(_ready(recipe, model, task, found, [*left_out, *held_out]), seconds=took)
    if not (taste and mix.generated and needed > TASTED):
        return made
    more = f"the run will write {needed:,} rows, in {spoken(took * needed / TASTED)} at most; these are a taste"
    return replace(made, said=f"{made.said} ({more})")


def write_replay(rows: Iterable[ReplayRow], folder: Path) -> None:
    """Keeps the rows in the run folder, for a run that goes on and for people."""
    (folder / NAME).write_text("".join(row.line() for row in rows), encoding="utf-8")


def _ready(
    recipe: Recipe, model: Model, task: Sequence[TokenSequence], found: Sequence[ReplayRow], left_out: list[LeftOut]
) -> Replayed:
    """The rows rendered and proved as training rows are, and weighed against the task."""
    examples = [row.example for row in found]
    rendered = list(render_all(examples, model.tokenizer, max_length=model.max_length, learn=recipe.data.learn))
    fit = [i for i, row in enumerate(rendered) if not any(one.cut for one in row)]
    if not fit:
        first = f"; the first: {left_out[0].id}: {left_out[0].reason}" if left_out else ""
        raise DataError(f"mix.source: {recipe.mix.source!r} gives no row to replay{first}")
    prove(
        [examples[i] for i in fit],
        [rendered[i] for i in fit],
        model.tokenizer,
        stop=model.stop,
        learn=recipe.data.learn,
    )
    made = [without_end(one) if not found[i].finished else one.sequence for i in fit for one in rendered[i]]
    replay = Replay(weighed(made, task, recipe.mix.weight), recipe.mix.each)
    by_id = {example.id: row for example, row in zip(examples, rendered, strict=True)}
    rows = tuple(replace(row, split="replay") for row in ledger({"replay": examples}, by_id, left_out))
    return Replayed(tuple(found), replay, rows, _told(recipe.mix, replay, task, found, len(fit)))


def without_end(row: Rendered) -> TokenSequence:
    """An answer that was broken off, without the end that it does not have."""
    one, end = row.sequence, len(row.sequence) - 1
    return replace(one, tokens=one.tokens[:end], weight=one.weight[:end])


def _told(mix: MixOptions, replay: Replay, task: Sequence[TokenSequence], found: Sequence[ReplayRow], fit: int) -> str:
    by = {"general": "bundled instructions", "sampled": "instructions it sampled itself"}.get(
        mix.source, "what its parents learned" if mix.source == "parent" else mix.source
    )
    broken = sum(not row.finished for row in found)
    answered = ", answered by the model before tuning" if mix.generated else ""
    cut = f"; {broken:,} of the answers met mix.max_new_tokens, and their end is not learned" if broken else ""
    return (
        f"replay: {counted(fit, 'row')} from {by}{answered}: {replay.each:.3g} beside each task row, "
        f"{mix.replay:.0%} of the examples and {loss_share(replay, task):.0%} of the loss{cut}"
    )


def _apart(found: Sequence[ReplayRow], asked: Mapping[str, Sequence[Example]]) -> tuple[list[ReplayRow], list[LeftOut]]:
    """The rows less those whose prompt is held out: what judges a run is not learned by a side door."""
    held = {normalised(one.prompt): part for part, rows in asked.items() for one in rows}
    parts = [held.get(normalised(row.example.prompt)) for row in found]
    lost = [
        LeftOut(row.example.id, f"its prompt stands in the {part} rows")
        for row, part in zip(found, parts, strict=True)
        if part is not None
    ]
    return [row for row, part in zip(found, parts, strict=True) if part is None], lost


def _read(path: str, needed: int, recipe: Recipe) -> tuple[list[ReplayRow], list[LeftOut]]:
    """As many rows of a file as the run can use."""
    options = ReadOptions(skip_bad_rows=recipe.data.skip_bad_rows)
    try:
        reading = read(path, options, name=f"replay/{Path(path).name}")
    except DataError as error:
        remedy = "replay wants prompts with answers or messages, which `luthier convert` writes"
        raise DataError(f"mix.source: {error} ({remedy})") from error
    return _drawn(reading.examples, needed, recipe.train.seed), list(reading.left_out)


def _drawn(examples: Sequence[Example], needed: int, seed: int) -> list[ReplayRow]:
    """At most so many of the examples that have a right answer, drawn by the seed, in their own order."""
    right = [one for one in examples if any(each.score > 0 for each in one.completions)]
    draw = np.random.default_rng([seed, len(right)])
    chosen = sorted(draw.permutation(len(right))[:needed].tolist())
    rows = [
        replace(right[i], completions=tuple(one for one in right[i].completions if one.score > 0)[:1]) for i in chosen
    ]
    return [ReplayRow(row) for row in rows]


def _written(mix: MixOptions, model: Model, count: int, seed: int, show: Show) -> tuple[list[ReplayRow], list[LeftOut]]:
    """Instructions, bundled or sampled, with the answers that the model samples to them."""
    with show.stages():
        if mix.source == "general":
            drawn = np.random.default_rng([seed, count]).permutation(len(general_prompts()))[:count]
            asked = [general_prompts()[i] for i in sorted(drawn.tolist())]
        else:
            opening, after = _opening(model)
            said = _said(model, [opening] * count, mix.max_new_tokens, "replay: instructions", show, seed=seed)
            asked = [text.split(after, 1)[0].strip() if after else text.strip() for text, _ in said]
        names = [f"replay/{mix.source}:{i + 1}" for i in range(len(asked))]
        rows = [Example(name, (Message("user", text),), ()) for name, text in zip(names, asked, strict=True) if text]
        prompts = [prompt_tokens(row, model.tokenizer) for row in rows]
        drawn_by = seed + 1 if mix.source == "sampled" else None
        answers = _said(model, prompts, mix.max_new_tokens, "replay: answers", show, seed=drawn_by)
    made = [
        ReplayRow(replace(row, completions=(Completion((Message("assistant", text.strip()),)),)), finished)
        for row, (text, finished) in zip(rows, answers, strict=True)
        if text.strip()
    ]
    kept = {row.example.id for row in made}
    return made, [LeftOut(name, "the model wrote nothing here") for name in names if name not in kept]


def _said(
    model: Model, prompts: Sequence[Sequence[int]], limit: int, title: str, show: Show, *, seed: int | None
) -> list[tuple[str, bool]]:
    """What the model says after each prompt, and whether it ended by itself; greedy without a seed."""
    said: list[tuple[str, bool]] = []
    for start in range(0, len(prompts), TOGETHER):
        some = prompts[start : start + TOGETHER]
        draw = (seed or 0) * len(prompts) + start
        for one in generate(model, some, max_new_tokens=limit, temperature=float(seed is not None), seed=draw):
            text = str(model.tokenizer.decode(one.tokens, skip_special_tokens=True))
            said.append((text.rstrip("\ufffd"), one.stopped))
        show.stage(title, len(said), len(prompts))
    return said


def _opening(model: Model) -> tuple[list[int], str]:
    """The tokens a user's turn begins with, from which a model writes an instruction itself, and what ends it in text.

    Source: Xu et al. 2024, "Magpie", arXiv:2406.08464. Raises DataError where the template puts nothing there.
    """
    mark = "luthier instruction"
    text = Chat(model.tokenizer, (), "replay").text((Message("user", mark),), generation=True)
    before, found, after = text.partition(mark)
    tokens = list(model.tokenizer(before, add_special_tokens=False)["input_ids"])
    if not found or not tokens:
        raise DataError("mix.source: sampled needs a chat template that opens the user's turn; use general, or a file")
    return tokens, after.strip()


def _kept(path: Path) -> list[ReplayRow]:
    """The rows a run was begun with. Raises RunError where they cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        return [_row(line) for line in lines if line]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: cannot be read ({error}); restore it from a copy, or train anew") from error


def _turn(turn: Message) -> dict[str, Json]:
    """A message with what is not usual of it."""
    more: dict[str, Json] = {"train": turn.train, "weight": turn.weight, "fields": dict(turn.fields)}
    usual: dict[str, Json] = {"train": None, "weight": 1.0, "fields": {}}
    shown = {name: value for name, value in more.items() if value != usual[name]}
    return {"role": turn.role, "content": turn.content, **shown}


def _row(line: str) -> ReplayRow:
    """A line of replay.jsonl."""
    held = json.loads(line)
    prompt, answer = (tuple(Message(**turn) for turn in held[name]) for name in ("prompt", "answer"))
    example = Example(held["id"], prompt, (Completion(answer),), tools=tuple(held.get("tools", ())))
    return ReplayRow(example, held["finished"])
