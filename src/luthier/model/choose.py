"""Which of several candidates a model finds likeliest after a prompt: an exact maximum without scoring them all.

The candidates are a tree of tokens. A path's log-probability only falls as it grows, so a branch that is already below
the best finished candidate can be left out. A model that knows the answer needs little more than one path a row. The
slow twin scores every candidate in one forest, and serves models that cannot share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from luthier.batch import cut, pack, sum_by_sequence
from luthier.errors import ShapeError
from luthier.model.forward import evaluating, forward
from luthier.model.generate import AT_ONCE, Decoder, Prompts, scored_tail
from luthier.model.load import Model

BEAM = 4
"""Branches of a row that grow at a time until a first candidate is finished; after it, all that may still win."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The likeliest candidate after one prompt."""

    best: int
    """Its index."""
    logprobs: list[float]
    """Of each candidate: exact for the best; for one that was left out, a bound below which it lies."""


@dataclass(slots=True)
class _Node:
    """A token of the candidates' tree."""

    children: dict[int, _Node] = field(default_factory=dict)
    ends: list[int] = field(default_factory=list)
    """Candidates whose last token it is."""
    below: list[int] = field(default_factory=list)
    """Candidates that pass through it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Branch:
    """A node of the tree after one prompt."""

    logprob: float
    """Of the path down to it."""
    token: int
    node: _Node
    path: tuple[int, ...]
    """Where the tokens before its own stand in the cache, after the prompt."""


@dataclass(slots=True)
class _Row:
    """What is known of one prompt's candidates."""

    bound: list[float]
    best: float = float("-inf")
    open: list[_Branch] = field(default_factory=list)
    """Branches that were scored, but not gone on from."""

    def growing(self) -> list[_Branch]:
        """Takes out the branches that grow next: none once no open one can beat the best candidate."""
        alive = sorted((one for one in self.open if one.logprob > self.best), key=lambda one: -one.logprob)
        chosen = alive if self.best > float("-inf") else alive[:BEAM]
        self.open = alive[len(chosen) :]
        return chosen


def choose(model: Model, prompts: Prompts, candidates: Sequence[Sequence[int]]) -> list[Choice]:
    """The candidate of highest log-probability after each prompt.

    Raises ShapeError if a candidate is empty. Of equal candidates the first is chosen.
    """
    if not candidates or not all(len(candidate) for candidate in candidates):
        raise ShapeError("every candidate needs at least one token")
    if not model.shared:
        return choose_by_all(model, prompts, candidates)
    with evaluating(model):
        return [_choice(row.bound) for row in _search(model, prompts, candidates)]


def choose_by_all(
    model: Model, prompts: Prompts, candidates: Sequence[Sequence[int]], *, budget: int = 4096
) -> list[Choice]:
    """The slow twin: every candidate's log-probability after every prompt, exactly, in micro-batches of one forest."""
    sequences = [
        scored_tail([*prompt, *candidate], len(candidate), group=i, score=at)
        for i, prompt in enumerate(prompts)
        for at, candidate in enumerate(candidates)
    ]
    found = [[0.0] * len(candidates) for _ in prompts]
    with evaluating(model):
        for members in cut(sequences, budget=budget):
            batch = pack(members).to(model.device)
            sums = sum_by_sequence(forward(model, batch).logprobs.double(), batch).tolist()
            for member, value in zip(members, sums, strict=True):
                found[member.group][int(member.score)] = value
    return [_choice(logprobs) for logprobs in found]


def _choice(logprobs: list[float]) -> Choice:
    return Choice(max(range(len(logprobs)), key=logprobs.__getitem__), logprobs)


def _search(model: Model, prompts: Prompts, candidates: Sequence[Sequence[int]]) -> list[_Row]:
    """Best-first search of all rows side by side, until no open branch can beat its row's best candidate."""
    root, size = _tree(candidates)
    decoder = Decoder(model, prompts, room=len(prompts) * size)
    found = [_Row([0.0] * len(candidates)) for _ in prompts]
    for row, logprobs in zip(found, decoder.start.logprobs, strict=True):
        _score(row, root, 0.0, logprobs, ())
    while grown := [(at, branch) for at, row in enumerate(found) for branch in row.growing()]:
        for first in range(0, len(grown), AT_ONCE):
            some = grown[first : first + AT_ONCE]
            place = decoder.cache.length
            rows = decoder.after([at for at, _ in some], [branch.path for _, branch in some])
            stepped = decoder.step(rows, [branch.token for _, branch in some])
            for number, (at, branch) in enumerate(some):
                path = (*branch.path, place + number)
                _score(found[at], branch.node, branch.logprob, stepped.logprobs[number], path)
    return found


def _score(row: _Row, node: _Node, logprob: float, logprobs: Tensor, path: tuple[int, ...]) -> None:
    """Scores the children of a node by the (v,) log-probabilities after its path."""
    tokens = list(node.children)
    for token, more in zip(tokens, logprobs[tokens].tolist(), strict=True):
        child, total = node.children[token], logprob + more
        for candidate in child.below:
            row.bound[candidate] = total
        if child.ends:
            row.best = max(row.best, total)
        if child.children:
            row.open.append(_Branch(total, token, child, path))


def _tree(candidates: Sequence[Sequence[int]]) -> tuple[_Node, int]:
    """The candidates as a tree, and how many tokens it holds."""
    root, size = _Node(), 0
    for i, candidate in enumerate(candidates):
        node = root
        for token in candidate:
            size += token not in node.children
            node = node.children.setdefault(token, _Node())
            node.below.append(i)
        node.ends.append(i)
    return root, size
