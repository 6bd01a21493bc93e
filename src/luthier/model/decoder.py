"""Prompts computed once as a forest, from whose cache any number of paths go on.

A beginning that several prompts share is computed and held once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from luthier.batch import Batch, Ints, pack
from luthier.errors import ShapeError
from luthier.model.apart import listed
from luthier.model.cache import Cache
from luthier.model.forward import computing, head, states, trunk
from luthier.model.load import Model
from luthier.model.plan import Step, plan
from luthier.types import TokenSequence

Prompts: TypeAlias = Sequence[Sequence[int]] | Sequence[Ints]
"""Tokens, each prompt's own."""

AT_ONCE = 128
"""Rows that go on together: enough for full matrix products; under a mask they would soon attend past one another."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Where some paths stand: what each sees in the cache, and what it may say next."""

    seen: Tensor
    """(q, capacity) which cached keys are on the path."""
    depth: Tensor
    """(q,) of the last token."""
    logprobs: Tensor
    """(q, v) of the next token."""

    def take(self, rows: Sequence[int]) -> Rows:
        """Some of them, in this order."""
        index = torch.tensor(rows, device=self.seen.device)
        return Rows(self.seen[index], self.depth[index], self.logprobs[index])


class Decoder:
    """Prompts prefilled as a forest, from which any number of paths go on."""

    def __init__(self, model: Model, prompts: Prompts, *, room: int, ahead: int = 0) -> None:
        """room: how many tokens may be decoded after the prompts, all paths together; ahead: on one of them."""
        self.model, self.head = model, head(model.network)
        batch = _forest(prompts).to(model.device)
        forest = plan(batch)
        forest.cache = self.cache = Cache(batch.distinct + room, ahead)
        hidden = trunk(model, batch, forest)
        self.cache.length = batch.distinct
        self.key_depth = torch.zeros(self.cache.capacity, dtype=torch.int64, device=model.device)
        self.key_depth[: batch.distinct] = batch.depth
        seen = torch.zeros(len(prompts), self.cache.capacity, dtype=torch.bool, device=model.device)
        seen[:, : batch.distinct] = forest.allowed(None)[batch.leaf]
        self.start = Rows(seen, batch.depth[batch.leaf], self._scored(hidden[batch.leaf]))

    def after(self, prompts: Sequence[int], paths: Sequence[Sequence[int]]) -> Rows:
        """Rows, without scores, that stand after a prompt and the decoded tokens at these places of the cache."""
        index = torch.tensor(prompts, device=self.start.seen.device)
        seen, depth = self.start.seen[index], self.start.depth[index]
        row = [at for at, path in enumerate(paths) for _ in path]
        seen[row, [place for path in paths for place in path]] = True
        return Rows(seen, depth + torch.tensor([len(path) for path in paths], device=depth.device), seen[:, :0])

    def step(self, rows: Rows, tokens: Sequence[int]) -> Rows:
        """Every row goes on by one token; a few rows at a time, so that each attends to little but its own."""
        parts = [slice(a, a + AT_ONCE) for a in range(0, len(tokens), AT_ONCE)]
        made = [self._step(Rows(rows.seen[p], rows.depth[p], rows.logprobs[p]), tokens[p]) for p in parts]
        return Rows(*(torch.cat([getattr(part, name) for part in made]) for name in ("seen", "depth", "logprobs")))

    def _step(self, rows: Rows, tokens: Sequence[int]) -> Rows:
        new = slice(self.cache.length, self.cache.length + len(tokens))
        seen, depth = rows.seen.clone(), rows.depth + 1
        seen[:, new] = torch.eye(len(tokens), dtype=torch.bool, device=seen.device)
        self.key_depth[new] = depth
        taken = seen[:, : new.stop].any(dim=0).nonzero().flatten()
        step = Step(seen[:, taken], depth, self.key_depth[taken], int(depth.max()) + 1, self.cache, taken)
        hidden = states(self.model, torch.tensor(tokens, device=seen.device), depth, step)
        self.cache.length = new.stop
        return Rows(seen, depth, self._scored(hidden))

    def beyond(self, depth: int) -> tuple[Tensor, Tensor]:
        """Places in the cache of each prompt's tokens from a depth on: (q, l), of which (q,) are real."""
        held = self.cache.length
        own = self.start.seen[:, :held] & (self.key_depth[:held] >= depth)
        return listed(own, torch.arange(held, device=own.device))

    def before(self, depth: int) -> Tensor:
        """Places in the cache of the first prompt's tokens above a depth: (c,)."""
        held = self.cache.length
        return (self.start.seen[0, :held] & (self.key_depth[:held] < depth)).nonzero().flatten()

    def _scored(self, hidden: Tensor) -> Tensor:
        with computing(self.model):
            return torch.log_softmax(self.head.logits(hidden.to(self.model.dtype)), dim=-1)


def _forest(prompts: Prompts) -> Batch:
    if not all(len(prompt) for prompt in prompts):
        raise ShapeError("an empty prompt has nothing to go on from")
    return pack([scored_tail(prompt) for prompt in prompts])


def scored_tail(tokens: Sequence[int] | Ints, learned: int = 0, *, group: int = 0, score: float = 0.0) -> TokenSequence:
    """Tokens of which the last `learned` are scored."""
    weight = np.zeros(len(tokens), np.float32)
    weight[len(tokens) - learned :] = 1
    return TokenSequence(np.asarray(tokens, np.int64), weight, "prompt", group=group, score=score)
