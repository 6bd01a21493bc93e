"""What every objective must pass, importable so that strangers run it on theirs: `check(MyObjective())`.

The laws are held over a toy model that needs no network: a table of logits by previous token. What a law cannot
say, whether the formula is the one meant, wants a value computed by hand beside it in the objective's own test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from luthier.batch import Batch, cut, pack
from luthier.objectives.objective import Objective
from luthier.types import TokenSequence

VOCABULARY = 7
LABELS = 3
"""Outputs of the leaf head; a sequence's score names one."""
TOLERANCE = 1e-5
"""Largest relative difference allowed between two ways of computing one gradient in float32."""


@dataclass(frozen=True, slots=True)
class ToyScores:
    """The scores of a batch under a table of logits, every need of an objective brought."""

    logprobs: Tensor
    uniform: Tensor | None
    divergence: Tensor | None = None
    head: Tensor | None = None
    twin: Tensor | None = None
    disagreement: Tensor | None = None


def check(objective: Objective) -> None:
    """Raises AssertionError, with the numbers, at the first law the objective breaks."""
    sequences, table = examples(), torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(1))
    whole = _gradient(objective, [sequences], table)
    _agree("packed and one group at a time", whole, _gradient(objective, _groups(sequences), table))
    for budget in (1, 9, 16):
        cuts = cut(sequences, budget=budget)
        _agree(f"whole and cut to {budget} tokens", whole, _gradient(objective, cuts, table))
    _agree("in order and reversed", whole, _gradient(objective, [sequences[::-1]], table))
    if objective.unit != "group":
        _agree("packed and one sequence at a time", whole, _gradient(objective, [[s] for s in sequences], table))
    silent = _gradient(objective, [[_silenced(s) for s in sequences]], table)
    assert not silent.any(), f"with all weights zero the gradient is {silent.abs().max():.3g}, not 0"
    for scale in (0.0, 1e4):
        extreme = _gradient(objective, [sequences], table * scale)
        assert extreme.isfinite().all(), f"with logits scaled by {scale:g} the gradient is not finite"


def examples() -> list[TokenSequence]:
    """Four prompts with two or three ranked completions each, sharing beginnings, of uneven lengths and weights."""
    draw = np.random.default_rng(0)
    made = []
    for group, completions in enumerate((2, 3, 2, 2)):
        prompt = np.concatenate(([1, 2, 3], draw.integers(0, VOCABULARY, group)))
        for rank in range(completions):
            answer = draw.integers(0, VOCABULARY, 1 + group + rank)
            weight = np.concatenate((np.zeros(len(prompt)), draw.choice([0.5, 1.0, 2.0], len(answer))))
            made.append(_sequence(np.concatenate((prompt, answer)), weight, group, 1.0 - rank))
    return made


def score(batch: Batch, table: Tensor) -> ToyScores:
    """Scores each target from the logits of its parent token: table (v, v) -> streams (m,); the base is one, too."""
    row = batch.tokens[batch.parent[batch.target]]
    logprobs = table[row].log_softmax(dim=-1)  # (m, v)
    before = torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(2))[row].log_softmax(dim=-1)
    chosen = logprobs.gather(1, batch.tokens[batch.target][:, None]).squeeze(1)
    said = table[row][:, :LABELS].log_softmax(dim=-1)
    again = (logprobs + 0.5 * before).log_softmax(dim=-1)
    return ToyScores(
        chosen,
        logprobs.mean(dim=-1),
        divergence=(before.exp() * (before - logprobs)).sum(dim=-1),
        head=said,
        twin=again.gather(1, batch.tokens[batch.target][:, None]).squeeze(1),
        disagreement=((logprobs.exp() - again.exp()) * (logprobs - again)).sum(dim=-1),
    )


def _sequence(tokens: np.ndarray, weight: np.ndarray, group: int, rank: float) -> TokenSequence:
    stream = np.linspace(-1, 1, len(tokens), dtype=np.float32)
    extra = {"sampled": stream - 2, "reference": stream - 2, "advantage": stream, "value": stream}
    return TokenSequence(tokens, weight.astype(np.float32), f"toy:{group}", group, max(rank, 0.0), 0, extra)


def _groups(sequences: Sequence[TokenSequence]) -> list[list[TokenSequence]]:
    return [[s for s in sequences if s.group == group] for group in sorted({s.group for s in sequences})]


def _silenced(sequence: TokenSequence) -> TokenSequence:
    return replace(sequence, weight=np.zeros_like(sequence.weight))


def _gradient(objective: Objective, cuts: Sequence[Sequence[TokenSequence]], table: Tensor) -> Tensor:
    """The gradient of one step as the engine takes it: sums over the cuts by the count over all of them."""
    batches = [pack(list(part)) for part in cuts]
    total = sum(batch.count(objective.unit) for batch in batches) or 1.0
    leaf = table.clone().requires_grad_()
    for batch in batches:
        loss, logged = objective(score(batch, leaf), batch)
        assert loss.ndim == 0, f"the loss is a sum, of shape (), not {tuple(loss.shape)}"
        assert not any(value.requires_grad for value in logged.values()), "what is logged must be detached"
        if loss.requires_grad:
            (loss / total).backward()
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _agree(what: str, one: Tensor, other: Tensor) -> None:
    scale = max(1e-6, float(one.abs().max()))
    apart = float((one - other).abs().max()) / scale
    assert apart <= TOLERANCE, f"{what}: the gradients differ by {apart:.2g} of the largest, above {TOLERANCE:.0e}"
