"""The gate held to rows rendered wrongly: each proof must refuse what was broken, and the gate nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from random import Random

import numpy as np
from audit_plants import K, Plant, Planted, Rows
from audit_score import Score

from luthier.checks.gate import gate
from luthier.data.render import Rendered, render_all
from luthier.model.load import ModelOptions, load_tokenizer

Break = Callable[[Rendered], Rendered]


def unlearned(one: Rendered) -> Rendered:
    """No token is learned."""
    return replace(one, sequence=replace(one.sequence, weight=np.zeros_like(one.sequence.weight)))


def unended(one: Rendered) -> Rendered:
    """The token that ends the answer is not learned."""
    weight = one.sequence.weight.copy()
    weight[np.flatnonzero(weight)[-1]] = 0
    return replace(one, sequence=replace(one.sequence, weight=weight))


def otherwise_asked(one: Rendered) -> Rendered:
    """The last token of the prompt is another."""
    return _retold(one, one.prompt - 1)


def otherwise_answered(one: Rendered) -> Rendered:
    """The first token of the answer is another."""
    return _retold(one, one.prompt)


def _retold(one: Rendered, at: int) -> Rendered:
    tokens = one.sequence.tokens.copy()
    tokens[at] = tokens[at] + 1 if tokens[at] < 10_000 else tokens[at] - 1
    return replace(one, sequence=replace(one.sequence, tokens=tokens))


BREAKS: Mapping[str, tuple[str, Break]] = {
    "gate-supervised": ("no token learned", unlearned),
    "gate-end": ("an answer whose end is not learned", unended),
    "gate-serving": ("a prompt unlike the served one", otherwise_asked),
    "gate-answer": ("an answer with another token", otherwise_answered),
}


def gated(name: str, rows: Rows) -> Iterator[Score]:
    """K rows of a set broken in each way, among as many that are not."""
    tokenizer, _ = load_tokenizer(ModelOptions("smollm2-135m"))
    stop = frozenset({int(tokenizer.eos_token_id or 0)})
    some = Random(0).sample(rows.train, 2 * K)
    whole = list(render_all(some, tokenizer, max_length=None))
    before = len(list(gate(some, whole, tokenizer, stop=stop)))
    for check, (what, change) in BREAKS.items():
        broken = [tuple(map(change, row)) if at < K else row for at, row in enumerate(whole)]
        ids = {row.id for row in some[:K]}
        begun = time.process_time()
        issues = list(gate(some, broken, tokenizer, stop=stop))
        spent = time.process_time() - begun
        named = [issue.examples[0] for issue in issues]
        found = len({issue.examples[0] for issue in issues if issue.check == check} & ids)
        right = sum(row in ids for row in named)
        yield Score(Plant(check, what, name, _unused), False, found, K, right, len(named), before, len(some), spent)


def _unused(rows: Rows, rng: Random) -> Planted:
    raise AssertionError("rows are broken after they are rendered")
