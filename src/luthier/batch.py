"""The packed forest: sequences laid flat so that each shared prefix is there once.

    prompt one  answer a                    tokens   o n e a b t w o c
                answer b      is laid out   parent  -1 0 1 2 2 -1 5 6 7
    prompt two  answer c                    end      5 5 5 4 5  9 9 9 9

Shape letters, used in every shape comment of the project:
    n distinct tokens, s sequences, m scored (sequence, token) pairs, g groups, d hidden width, v vocabulary.

Packing removes repeated computing, never repeated targets: a shared learned token is listed once for every sequence
that owns it. What a batch does not know: models, objectives, devices beyond `to`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luthier.errors import ShapeError
from luthier.types import TokenSequence

Unit: TypeAlias = Literal["token", "sequence", "group"]
"""What an objective sums over, and what its mean is taken of."""

Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Sequences as one prefix forest, depth first, so that the descendants of a token are one contiguous range."""

    tokens: Tensor
    """(n,) every distinct path token once."""
    parent: Tensor
    """(n,) index of the token before it, -1 at a root."""
    depth: Tensor
    """(n,) position in its own sequence: rotary position, window distance."""
    end: Tensor
    """(n,) one past its last descendant: a query sees a key when `key <= query < end[key]`."""
    adapter: Tensor
    """(n,) which adapter computes it; sequences of two adapters share no token."""
    leaf: Tensor
    """(s,) last token of each sequence."""
    group: Tensor
    """(s,) which example it came from."""
    score: Tensor
    """(s,) float32: the completion's score."""
    target: Tensor
    """(m,) packed index of each scored token, sequence by sequence."""
    sequence: Tensor
    """(m,) which sequence it belongs to, never decreasing."""
    weight: Tensor
    """(m,) float32 loss weight; zero is never stored."""
    extra: dict[str, Tensor]
    """name -> (m,) float32 stream beside the weight."""
    logical: int
    """Tokens before sharing: the sum of the sequences' lengths."""

    @property
    def distinct(self) -> int:
        """n: tokens that are computed."""
        return len(self.tokens)

    @property
    def longest(self) -> int:
        """Length of the longest path in tokens."""
        return int(self.depth.max()) + 1 if self.distinct else 0

    def count(self, unit: Unit) -> float:
        """What a sum over `unit` is divided by: the weight of the scored tokens, or how many sequences or groups."""
        if unit == "token":
            return float(self.weight.sum(dtype=torch.float64))
        return float(len(self.leaf) if unit == "sequence" else len(self.group.unique()))

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        streams = [name for name in self.__dataclass_fields__ if name not in ("extra", "logical")]
        moved: dict[str, Tensor] = {name: getattr(self, name).to(device, non_blocking=True) for name in streams}
        extra = {name: stream.to(device) for name, stream in self.extra.items()}
        return Batch(**moved, extra=extra, logical=self.logical)


WORTHWHILE = 16
"""Tokens a branch must save to be made: it costs every layer a call of its own, about as much as these do."""


def pack(sequences: Sequence[TokenSequence], *, worthwhile: int = WORTHWHILE) -> Batch:
    """Lays the sequences out as one forest; their order decides only the order of (s,) and (m,).

    worthwhile: tokens that a branch must save; a chance overlap of fewer is computed apart, with the same result.
    Raises ShapeError for an empty sequence, arrays of unequal length, or a learned first token (nothing predicts it).
    """
    for sequence in sequences:
        _check(sequence)
    forest, order = _Forest(sum(len(s) for s in sequences)), _order(sequences)
    shared = _shared([sequences[i] for i in order], worthwhile)
    paths: dict[int, Ints] = {i: forest.add(sequences[i], k) for i, k in zip(order, shared, strict=True)}
    return forest.batch(sequences, [paths[i] for i in range(len(sequences))])


def sum_by_sequence(values: Tensor, batch: Batch) -> Tensor:
    """Sums a stream over each sequence's scored tokens: (m,) -> (s,)."""
    return values.new_zeros(len(batch.leaf)).index_add(0, batch.sequence, values)


def cut(sequences: Sequence[TokenSequence], *, budget: int) -> list[list[TokenSequence]]:
    """Cuts one step's sequences into micro-batches of at most `budget` distinct tokens each, when all is shared.

    Groups stay whole, so a group that is larger than the budget stands alone. Neighbours in prefix order go together,
    which shares the most; the result of a step does not depend on the cut. Where a cut would compute a long beginning
    again, a micro-batch may hold more (`_fits`).
    """
    batches: list[list[TokenSequence]] = []
    used, last = 0, None
    for members in _groups(sequences):
        new, last_tokens = _distinct(members, last)
        again = _common(last, members[0]) if last is not None else 0
        if not batches or not _fits(used + new, again, len(members[0]), budget):
            batches.append([])
            used, (new, last_tokens) = 0, _distinct(members, None)
        batches[-1].extend(members)
        used, last = used + new, last_tokens
    return batches


def _fits(tokens: int, again: int, path: int, budget: int) -> bool:
    """Whether a batch may hold so many distinct tokens.

    again: those that a cut here would compute once more; if they are more than half of a budget, the batch may hold
    half a budget besides the path (its length), which has to be held anyway.
    """
    return tokens <= budget or (2 * again > budget and tokens <= path + budget // 2)


def in_batches(prompts: Sequence[Ints], *, extra: int, budget: int, most: int | None = None) -> Iterator[list[int]]:
    """Places of prompts, neighbours by their beginnings together, at most `budget` distinct tokens at a time.

    extra: tokens that each prompt is followed by. most: prompts at a time. One larger than the budget stands alone, or
    with those that share most of it (`_fits`).
    """
    batch: list[int] = []
    used = 0
    for at in sorted(range(len(prompts)), key=lambda at: prompts[at].astype(">u4").tobytes()):
        prompt = prompts[at]
        again = common(prompts[batch[-1]], prompt) if batch else 0
        new = len(prompt) + extra - again
        if batch and (not _fits(used + new, again, len(prompt) + extra, budget) or len(batch) == most):
            yield batch
            batch, used, new = [], 0, len(prompt) + extra
        batch.append(at)
        used += new
    if batch:
        yield batch


def _groups(sequences: Sequence[TokenSequence]) -> Iterator[list[TokenSequence]]:
    """The groups in the prefix order of their first member."""
    members: dict[int, list[TokenSequence]] = {}
    for i in _order(sequences):
        members.setdefault(sequences[i].group, []).append(sequences[i])
    yield from members.values()


def _distinct(members: Sequence[TokenSequence], last: TokenSequence | None) -> tuple[int, TokenSequence | None]:
    """How many tokens the members add behind `last` in prefix order, and the member that comes last."""
    total = 0
    for member in members:
        total += len(member) - (_common(last, member) if last is not None else 0)
        last = member
    return total, last


def _check(sequence: TokenSequence) -> None:
    lengths = {len(sequence.tokens), len(sequence.weight), *(len(v) for v in sequence.extra.values())}
    if len(lengths) != 1 or not len(sequence):
        raise ShapeError(f"{sequence.example}: tokens, weight and extra must be of one length, not {lengths}")
    if sequence.weight[0] != 0:
        raise ShapeError(f"{sequence.example}: its first token is learned, but nothing predicts a first token")


def _order(sequences: Sequence[TokenSequence]) -> list[int]:
    """Indexes of the sequences sorted by adapter, then tokens (big-endian bytes sort as the numbers do)."""
    keys = [(s.adapter, s.tokens.astype(">u4").tobytes(), i) for i, s in enumerate(sequences)]
    return [i for _, _, i in sorted(keys)]


def _common(a: TokenSequence, b: TokenSequence) -> int:
    """How many first tokens two sequences share."""
    return common(a.tokens, b.tokens) if a.adapter == b.adapter else 0


def common(a: Ints, b: Ints) -> int:
    """How many first tokens (a,) and (b,) share."""
    length = min(len(a), len(b))
    differs = a[:length] != b[:length]
    first = int(differs.argmax()) if length else 0
    return first if length and differs[first] else length


def _shared(ordered: Sequence[TokenSequence], worthwhile: int) -> list[int]:
    """How many first tokens each sequence takes over from the one before it.

    The longest beginning that a range of neighbours has in common is a branch if it saves enough beyond the branch
    around it; then each of the ranges that it divides is looked at in turn.
    """
    alike = [0, *(_common(a, b) for a, b in pairwise(ordered))]
    shared = [0] * len(ordered)
    ranges = [(0, len(ordered), 0)]
    while ranges:
        first, last, base = ranges.pop()
        if last - first < 2:
            continue
        depth = min(alike[first + 1 : last])
        base = depth if (depth - base) * (last - first - 1) >= worthwhile else base
        bounds = [first, *(i for i in range(first + 1, last) if alike[i] == depth), last]
        for i in bounds[1:-1]:
            shared[i] = base
        ranges += [(a, b, base) for a, b in pairwise(bounds)]
    return shared


class _Forest:
    """The forest while it grows: the current path is cut at the common prefix, and the rest appended."""

    def __init__(self, capacity: int) -> None:
        self.n = 0
        self.tokens, self.parent, self.depth, self.end, self.adapter = np.zeros((5, capacity), np.int64)
        self.path = np.zeros(0, np.int64)

    def add(self, sequence: TokenSequence, shared: int) -> Ints:
        """Appends what follows a sequence's first `shared` tokens; returns the packed index of each of its tokens."""
        new = np.arange(self.n, self.n + len(sequence) - shared)
        self.end[self.path[shared:]] = self.n
        self.tokens[new] = sequence.tokens[shared:]
        self.depth[new] = np.arange(shared, len(sequence))
        self.adapter[new] = sequence.adapter
        self.parent[new] = new - 1
        if len(new):
            self.parent[new[0]] = self.path[shared - 1] if shared else -1
        self.path = np.concatenate((self.path[:shared], new))
        self.n += len(new)
        return self.path

    def batch(self, sequences: Sequence[TokenSequence], paths: Sequence[Ints]) -> Batch:
        """Closes the last path and lists the scored pairs."""
        self.end[self.path] = self.n
        learned = [np.flatnonzero(s.weight) for s in sequences]
        names = sorted({name for s in sequences for name in s.extra})
        return Batch(
            tokens=torch.from_numpy(self.tokens[: self.n].copy()),
            parent=torch.from_numpy(self.parent[: self.n].copy()),
            depth=torch.from_numpy(self.depth[: self.n].copy()),
            end=torch.from_numpy(self.end[: self.n].copy()),
            adapter=torch.from_numpy(self.adapter[: self.n].copy()),
            leaf=torch.tensor([int(path[-1]) for path in paths], dtype=torch.int64),
            group=torch.tensor([s.group for s in sequences], dtype=torch.int64),
            score=torch.tensor([s.score for s in sequences], dtype=torch.float32),
            target=_joined([path[i] for path, i in zip(paths, learned, strict=True)], np.int64),
            sequence=_joined([np.full(len(i), k) for k, i in enumerate(learned)], np.int64),
            weight=_joined([s.weight[i] for s, i in zip(sequences, learned, strict=True)], np.float32),
            extra={
                name: _joined([s.extra[name][i] for s, i in zip(sequences, learned, strict=True)], np.float32)
                for name in names
            },
            logical=sum(len(s) for s in sequences),
        )


def _joined(parts: Sequence[NDArray[np.generic]], dtype: type[np.generic]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype))
