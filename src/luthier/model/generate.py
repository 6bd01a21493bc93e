"""Generation: prompts are a forest that is computed once, and what is said after them attends into it.

Rows stand in seats of their own (`seats.py`), or under masks where a layer needs one. Models the forest engine refused
generate one prompt at a time through transformers. Not here: prompts from messages, and scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from luthier.batch import Ints, common, in_batches
from luthier.model.decoder import AT_ONCE, Decoder, Prompts
from luthier.model.forward import computing, evaluating, head, states
from luthier.model.laid import laid_out
from luthier.model.load import Model
from luthier.model.plan import Step
from luthier.model.seats import Seats

HELD = 16_384
"""Tokens for which those that are said at a time have room, all rows together; a few hundred MB of a small model."""
SEATED = 32_768
"""Tokens for which all seats together have room: long prompts of their own take fewer seats."""
PREFILLED = 8192
"""Distinct tokens of prompts that are computed at a time, where nothing else is asked for."""
PIECE = 2048
"""The same where rows have seats, which are filled whatever the group: what is computed should fit in the cache."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What a model said after one prompt."""

    tokens: list[int]
    """New tokens without the one it stopped on."""
    stopped: bool
    """Whether it ended its turn itself, rather than meet the limit."""


def generate(
    model: Model,
    prompts: Prompts,
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    budget: int = PREFILLED,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Generated]:
    """Continues every prompt until the model stops or the limit is met; greedy at temperature 0.

    The result does not depend on which prompts stand together. Sampling draws from a generator of each prompt's own.
    budget: distinct tokens of prompts computed at a time. progress: told how many prompts are done, now and then.
    """
    writing = Writing(model.stop, len(prompts), max_new_tokens, temperature, seed, progress)
    if max_new_tokens < 1:
        return writing.said()
    with evaluating(model):
        if not model.shared:
            said = []
            for i, prompt in enumerate(prompts):
                said.append(_alone(model, list(prompt), max_new_tokens, temperature, seed + i))
                progress(len(said))
            return said
        whole = [np.asarray(prompt, np.int64) for prompt in prompts]
        for some in _of_like_length(whole, max_new_tokens):
            _together(model, whole, some, writing, budget)
    return writing.said()


class Writing:
    """What has been said after each prompt."""

    def __init__(
        self,
        stop: frozenset[int],
        count: int,
        limit: int,
        temperature: float,
        seed: int,
        progress: Callable[[int], None],
    ) -> None:
        self.tokens: list[list[int]] = [[] for _ in range(count)]
        self.limit = limit
        self._stopped = [False] * count
        self._stop, self._temperature, self._progress, self._done = stop, temperature, progress, 0
        self._draws = [np.random.default_rng((seed, i)) for i in range(count)]

    def take(self, who: Sequence[int], scores: Tensor) -> list[int]:
        """One token more for each of these prompts, by its row's scores (q, v); the rows that go on."""
        chosen = _next(scores, self._temperature, [self._draws[i] for i in who])
        for i, token in zip(who, chosen, strict=True):
            self._stopped[i] = token in self._stop
            self.tokens[i] += [] if self._stopped[i] else [token]
        keep = [row for row, i in enumerate(who) if not self._stopped[i] and len(self.tokens[i]) < self.limit]
        if len(keep) < len(who):
            self._done += len(who) - len(keep)
            self._progress(self._done)
        return keep

    def said(self) -> list[Generated]:
        """All of it."""
        return [Generated(tokens, end) for tokens, end in zip(self.tokens, self._stopped, strict=True)]


Group: TypeAlias = tuple[list[int], Decoder]
"""Some prompts' places, and their prefill."""


def _of_like_length(prompts: list[Ints], limit: int) -> list[list[int]]:
    """Prompts' places, those together that fit seats of one room; the least room is what all seats can have."""
    found: dict[int, list[int]] = {}
    begun = _begun(prompts)
    for i, prompt in enumerate(prompts):
        room = len(prompt) - begun + limit
        found.setdefault(((room * AT_ONCE - 1) // SEATED).bit_length(), []).append(i)
    return [found[doubled] for doubled in sorted(found)]


def _begun(prompts: Sequence[Ints]) -> int:
    """How many tokens all of them begin with."""
    return min((common(prompts[0], prompt) for prompt in prompts), default=0)


def _together(model: Model, prompts: list[Ints], every: list[int], writing: Writing, budget: int) -> None:
    """Prefills a budget of some prompts at a time, which go on in seats if no layer of the first few needs a mask."""
    most, cpu = min(len(every), max(1, HELD // writing.limit)), model.device.type == "cpu"

    def prefilled(some: list[int], room: int) -> Group:
        return some, Decoder(model, [prompts[i] for i in some], room=room, ahead=writing.limit)

    def groups(of: list[int], budget: int) -> Iterator[list[int]]:
        for batch in in_batches([prompts[i] for i in of], extra=0, budget=budget):
            yield [of[at] for at in batch]

    pieces = groups(every, min(budget, PIECE) if cpu else budget)
    first = prefilled(next(pieces), most * writing.limit)
    with laid_out(model.network, len(every)):
        if first[1].cache.masked or not cpu:
            rest = groups(sorted(set(every) - set(first[0])), budget)
            others = (prefilled(some, most * writing.limit) for some in rest)
            for some, decoder in chain([first], others):
                _in_rows(decoder, some, writing, most)
        else:
            begun = _begun([prompts[i] for i in every])
            room = max(len(prompts[i]) for i in every) - begun + writing.limit
            seats = Seats(first[1].cache, first[1].before(begun), min(AT_ONCE, most, max(1, SEATED // room)), room)
            others = (prefilled(some, 0) for some in pieces)
            _in_seats(model, seats, Line(chain([first], others), begun, writing), prompts, writing)


def _in_rows(decoder: Decoder, prompts: list[int], writing: Writing, most: int) -> None:
    """So many of a group to their end, and then as many again; each step's keys are chosen from the cache."""
    prefilled = decoder.cache.length
    for first in range(0, len(prompts), most):
        decoder.cache.length = prefilled
        live = prompts[first : first + most]
        rows = decoder.start.take(range(len(prompts))[first : first + most])
        while keep := writing.take(live, rows.logprobs):
            live = [live[row] for row in keep]
            rows = decoder.step(rows.take(keep), [writing.tokens[i][-1] for i in live])


def _in_seats(model: Model, seats: Seats, line: Line, prompts: list[Ints], writing: Writing) -> None:
    """So many prompts at a time, whichever group they are of, each begun where another has ended."""
    count = len(seats.length)
    who: dict[int, int] = {}
    while True:
        free = [seat for seat in range(count) if seat not in who]
        who |= zip(free, line.seated(seats, free), strict=False)
        if not who:
            return
        order = _closed_up(seats, who)
        keep = writing.take(order, _stepped(model, seats, [(len(prompts[i]), writing.tokens[i]) for i in order]))
        who = {seat: order[seat] for seat in keep}


class Line:
    """Prompts that wait for a seat, a group of them prefilled when the one before has sat down."""

    def __init__(self, groups: Iterator[Group], begun: int, writing: Writing) -> None:
        """begun: tokens that every prompt begins with."""
        self._groups, self._begun, self._writing = groups, begun, writing
        self._rows: list[int] = []

    def seated(self, seats: Seats, free: Sequence[int]) -> list[int]:
        """Who took these seats, or the first of them where fewer are left; those with little of their own first."""
        found: list[int] = []
        while len(found) < len(free) and (self._rows or self._more()):
            rows = [self._rows.pop() for _ in range(min(len(self._rows), len(free) - len(found)))]
            taken = free[len(found) : len(found) + len(rows)]
            seats.sit(taken, self._decoder.cache, self._own[rows], self._count[rows])
            found += [self._prompts[row] for row in rows]
        return found

    def _more(self) -> bool:
        """Whether another group could be prefilled; those of it who stop at once need no seat."""
        for prompts, decoder in self._groups:
            self._prompts, self._decoder = prompts, decoder
            self._own, self._count = decoder.beyond(self._begun)
            self._rows = self._writing.take(prompts, decoder.start.logprobs)
            self._rows.sort(key=self._count.tolist().__getitem__, reverse=True)
            if self._rows:
                return True
        return False


def _closed_up(seats: Seats, who: dict[int, int]) -> list[int]:
    """Those in the last seats take what is free among the first: who sits there now, seat by seat."""
    last = [seat for seat in who if seat >= len(who)]
    free = [seat for seat in range(len(who)) if seat not in who]
    if last:
        seats.move(last, free)
    now = who | {new: who[old] for old, new in zip(last, free, strict=True)}
    return [now[seat] for seat in range(len(who))]


def _stepped(model: Model, seats: Seats, rows: Sequence[tuple[int, list[int]]]) -> Tensor:
    """The first seats go on by the last token that each has said: (q, v) what comes next, as logits.

    rows: the length of each prompt, and what was said after it.
    """
    seats.open(len(rows))
    depth = torch.tensor([length + len(said) - 1 for length, said in rows], device=model.device)
    tokens = torch.tensor([said[-1] for _, said in rows], device=model.device)
    hidden = states(model, tokens, depth, Step.seated(seats, depth))
    seats.close(len(rows))
    with computing(model):
        return head(model.network).logits(hidden.to(model.dtype))


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
