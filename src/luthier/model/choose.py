"""Which of several candidates a model finds likeliest after a prompt: an exact maximum without scoring them all.

The candidates are a tree of tokens. A path's log-probability only falls as it grows, so a branch that is already below
the best finished candidate can be left out; with a margin, one that is further below than that, so that every candidate
near the best is scored exactly, too. What was left out is bounded: all candidates beyond a branch together are no
likelier than the branch. A model that knows the answer needs little more than one path a row. The slow twin scores
every candidate in one forest, and serves models that cannot share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import exp

from torch import Tensor

from luthier.batch import cut, pack, sum_by_sequence
from luthier.errors import ShapeError
from luthier.model.decoder import AT_ONCE, Decoder, Prompts, scored_tail
from luthier.model.forward import evaluating, forward
from luthier.model.laid import laid_out
from luthier.model.load import Model

BEAM = 4
"""Branches of a row that grow at a time until a first candidate is finished; after it, all that may still win."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The likeliest candidate after one prompt."""

    best: int
    """Its index."""
    logprobs: list[float]
    """Of each candidate: exact for the best and those within the margin of it; for another one, a bound below which it
    lies."""
    near: list[int]
    """Indexes of the candidates within the margin of the best, the likeliest first; the best is the first of them."""
    left_out: float
    """Probability that all other candidates together have at most."""


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
    margin: float
    best: float = float("-inf")
    open: list[_Branch] = field(default_factory=list)
    """Branches that were scored, but not gone on from."""
    finished: set[int] = field(default_factory=set)
    """Candidates scored to their last token."""
    shut: float = 0.0
    """Probability of the branches that were given up."""

    def growing(self) -> list[_Branch]:
        """Takes out the branches that grow next: none once no open one reaches within the margin of the best."""
        least = self.best - self.margin
        self.shut += sum(exp(one.logprob) for one in self.open if one.logprob <= least)
        alive = sorted((one for one in self.open if one.logprob > least), key=lambda one: -one.logprob)
        chosen = alive if self.best > float("-inf") else alive[:BEAM]
        self.open = alive[len(chosen) :]
        return chosen

    def choice(self) -> Choice:
        """What came of the search."""
        return _choice(self.bound, self.finished, self.margin, self.shut)


def choose(model: Model, prompts: Prompts, candidates: Sequence[Sequence[int]], *, margin: float = 0.0) -> list[Choice]:
    """The candidate of highest log-probability after each prompt, and those less than `margin` nats below it.

    Raises ShapeError if a candidate is empty. Of equal candidates the first is chosen.
    """
    if not candidates or not all(len(candidate) for candidate in candidates):
        raise ShapeError("every candidate needs at least one token")
    if not model.shared:
        return choose_by_all(model, prompts, candidates, margin=margin)
    with evaluating(model), laid_out(model.network, len(prompts)):
        return [row.choice() for row in _search(model, prompts, candidates, margin)]


def choose_by_all(
    model: Model, prompts: Prompts, candidates: Sequence[Sequence[int]], *, margin: float = 0.0, budget: int = 4096
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
    return [_choice(logprobs, range(len(candidates)), margin, 0.0) for logprobs in found]


def _choice(logprobs: list[float], finished: Iterable[int], margin: float, shut: float) -> Choice:
    """The best candidate and those near it; those that are finished beyond the margin are left out by the rule."""
    ranked = sorted(finished, key=lambda at: (-logprobs[at], at))
    least = logprobs[ranked[0]] - margin
    near = [at for at in ranked if at == ranked[0] or logprobs[at] > least]
    return Choice(ranked[0], logprobs, near, shut + sum(exp(logprobs[at]) for at in ranked[len(near) :]))


def _search(model: Model, prompts: Prompts, candidates: Sequence[Sequence[int]], margin: float) -> list[_Row]:
    """Best-first search of all rows side by side, until no open branch reaches within the margin of its row's best."""
    root, size = _tree(candidates)
    decoder = Decoder(model, prompts, room=len(prompts) * size)
    found = [_Row([0.0] * len(candidates), margin) for _ in prompts]
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
            row.finished.update(child.ends)
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
