"""What a tuned model in its run says of some rows: what an export of it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.batch import cut, pack
from luthier.data.render import Rendered, render
from luthier.errors import GateError
from luthier.evaluate.headed import outputs
from luthier.evaluate.question import Question
from luthier.evaluate.run import silent
from luthier.methods.method import adapted, switched_off
from luthier.model.forward import evaluating, forward
from luthier.model.generate import Generated, generate
from luthier.model.leaf import leaf_head
from luthier.model.load import Model
from luthier.types import Example

Floats: TypeAlias = NDArray[np.float64]

BUDGET = 4096
"""Distinct tokens computed at a time."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How much is asked of both sides."""

    rows: int = 32
    """Rows whose log-probabilities are compared."""
    answers: int = 8
    """How many of them are answered greedily as well."""
    max_new_tokens: int = 32
    """Length at which an answer is cut off."""


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What the tuned model says, computed in float32 by the engine."""

    examples: tuple[Example, ...]
    rendered: tuple[Rendered, ...]
    """One for each example."""
    logprobs: Floats
    """(m,) of every learned token, row by row."""
    base: Floats | None
    """(m,) the same from the base, where what was learned can be switched off."""
    head: Floats | None
    """(r, k) what a linear head says of each row; None where there is none."""
    answers: tuple[Generated, ...]
    """To the first of the rows, greedily; none where a head answers."""
    stop: frozenset[int]
    max_new_tokens: int


def ask(model: Model, examples: Sequence[Example], trial: Trial) -> Truth:
    """Asks a tuned model, opened in float32, the first completion of each example that it has room for.

    Raises GateError where it has room for none.
    """
    rows = [(one, render(one, model.tokenizer, max_length=None, example_index=0)[0]) for one in examples]
    fit = [(one, row) for one, row in rows if len(row.sequence) <= model.max_length and row.sequence.supervised]
    if not fit:
        raise GateError(f"none of {len(rows)} rows fits in {model.max_length} tokens; hand in shorter `examples`")
    kept, rendered = zip(*fit[: trial.rows], strict=True)
    prompts = [row.sequence.tokens[: row.prompt].tolist() for row in rendered[: trial.answers]]
    room = max(1, min(trial.max_new_tokens, model.max_length - max(map(len, prompts), default=0)))
    return Truth(
        examples=kept,
        rendered=rendered,
        logprobs=_logprobs(model, rendered),
        base=_base(model, rendered),
        head=_head(model, kept, rendered),
        answers=tuple(generate(model, prompts, max_new_tokens=room)) if leaf_head(model.network) is None else (),
        stop=model.stop,
        max_new_tokens=room,
    )


def _head(model: Model, examples: Sequence[Example], rendered: Sequence[Rendered]) -> Floats | None:
    if leaf_head(model.network) is None:
        return None
    asked = [Question(one, row.sequence.tokens[: row.prompt], ()) for one, row in zip(examples, rendered, strict=True)]
    with evaluating(model):
        return outputs(model, asked, budget=BUDGET, progress=silent)


def _base(model: Model, rendered: Sequence[Rendered]) -> Floats | None:
    if not adapted(model.network):
        return None
    with switched_off(model.network):
        return _logprobs(model, rendered)


def _logprobs(model: Model, rendered: Sequence[Rendered]) -> Floats:
    """Log-probability of every learned token, row by row: (m,)."""
    place = {id(row.sequence): at for at, row in enumerate(rendered)}
    found: list[Floats] = [np.empty(0)] * len(rendered)
    with evaluating(model):
        for members in cut([row.sequence for row in rendered], budget=BUDGET):
            batch = pack(members).to(model.device)
            logprobs = forward(model, batch).logprobs.double()
            for at, member in enumerate(members):
                found[place[id(member)]] = logprobs[batch.sequence == at].cpu().numpy()
    return np.concatenate(found)
