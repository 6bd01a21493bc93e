"""Generation and choice from one cache: prompts are a forest, and whatever follows them attends into it.

A beginning that several prompts share is computed and held once. A row that has ended leaves the batch. Models the
forest engine refused generate one prompt at a time through transformers. Not here: prompts from messages, and scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from luthier.batch import Batch, pack
from luthier.errors import ShapeError
from luthier.model.forward import computing, evaluating, head, states, trunk
from luthier.model.load import Model
from luthier.model.plan import Cache, Step, plan
from luthier.types import TokenSequence

Prompts = Sequence[Sequence[int]]

AT_ONCE = 128
"""Rows that go on together: enough for full matrix products; under a mask they would soon attend past one another."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What a model said after one prompt."""

    tokens: list[int]
    """New tokens without the one it stopped on."""
    stopped: bool
    """Whether it ended its turn itself, rather than meet the limit."""


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

    def __init__(self, model: Model, prompts: Prompts, *, room: int) -> None:
        """room: how many tokens may be decoded after the prompts, all paths together."""
        self.model, self.head = model, head(model.network)
        batch = _forest(prompts).to(model.device)
        forest = plan(batch)
        forest.cache = self.cache = Cache(batch.distinct + room)
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

    def _scored(self, hidden: Tensor) -> Tensor:
        with computing(self.model):
            return torch.log_softmax(self.head.logits(hidden.to(self.model.dtype)), dim=-1)


def generate(
    model: Model, prompts: Prompts, *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
) -> list[Generated]:
    """Continues every prompt until the model stops or the limit is met; greedy at temperature 0.

    The result does not depend on which prompts stand together. Sampling draws from a generator of each prompt's own.
    """
    with evaluating(model):
        if not model.shared:
            return [_alone(model, prompt, max_new_tokens, temperature, seed + i) for i, prompt in enumerate(prompts)]
        return _together(model, prompts, max_new_tokens, temperature, seed)


def _together(model: Model, prompts: Prompts, limit: int, temperature: float, seed: int) -> list[Generated]:
    if not prompts:
        return []
    said: list[list[int]] = [[] for _ in prompts]
    stopped = [False] * len(prompts)
    draws = [np.random.default_rng((seed, i)) for i in range(len(prompts))]
    live = list(range(len(prompts)))
    decoder = Decoder(model, prompts, room=len(prompts) * limit)
    rows = decoder.start
    for made in range(limit):
        chosen = _next(rows.logprobs, temperature, [draws[i] for i in live])
        for i, token in zip(live, chosen, strict=True):
            stopped[i] = token in model.stop
            said[i] += [] if stopped[i] else [token]
        keep = [row for row, i in enumerate(live) if not stopped[i]]
        live = [live[row] for row in keep]
        if not live or made + 1 == limit:
            break
        rows = decoder.step(rows.take(keep), [chosen[row] for row in keep])
    return [Generated(tokens, end) for tokens, end in zip(said, stopped, strict=True)]


def _next(logprobs: Tensor, temperature: float, draws: Sequence[np.random.Generator]) -> list[int]:
    """The next token of each row: the likeliest, or drawn by the Gumbel trick."""
    if temperature <= 0:
        return [int(token) for token in logprobs.argmax(dim=-1)]
    noise = torch.from_numpy(np.stack([draw.gumbel(size=logprobs.shape[1]) for draw in draws]))
    return [int(token) for token in (logprobs.double().cpu() / temperature + noise).argmax(dim=-1)]


def _alone(model: Model, prompt: Sequence[int], limit: int, temperature: float, seed: int) -> Generated:
    """One prompt through transformers' own generation."""
    tokens = torch.tensor([list(prompt)], device=model.device)
    stops = sorted(model.stop)
    torch.manual_seed(seed)
    with computing(model):
        out = model.network.generate(  # type: ignore[operator]
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=limit,
            eos_token_id=stops,
            pad_token_id=stops[0] if stops else 0,
            do_sample=temperature > 0,
            **({"temperature": temperature, "top_k": 0} if temperature > 0 else {}),
        )
    new = [int(token) for token in out[0, tokens.shape[1] :]]
    ended = bool(new) and new[-1] in model.stop
    return Generated(new[:-1] if ended else new, ended)


def _forest(prompts: Prompts) -> Batch:
    if not all(len(prompt) for prompt in prompts):
        raise ShapeError("an empty prompt has nothing to go on from")
    return pack([scored_tail(prompt) for prompt in prompts])


def scored_tail(tokens: Sequence[int], learned: int = 0, *, group: int = 0, score: float = 0.0) -> TokenSequence:
    """Tokens of which the last `learned` are scored."""
    weight = np.zeros(len(tokens), np.float32)
    weight[len(tokens) - learned :] = 1
    return TokenSequence(np.asarray(tokens, np.int64), weight, "prompt", group=group, score=score)
