"""What flows between the rooms: messages, examples, issues, rendered sequences. No behaviour beyond small views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""What a JSON file can hold."""

NOTHING: Mapping[str, Json] = MappingProxyType({})
"""Shared by all that have no more fields: dicts of their own would be a sixth of a million rows' memory."""


def _nothing() -> Mapping[str, Json]:
    return NOTHING


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """`system`, `user`, `assistant` or `tool`."""
    content: str
    train: bool | None = None
    """Whether its tokens are learned; None follows the run's rule (assistant turns are)."""
    weight: float = 1.0
    """Loss weight of each of its learned tokens; 0 is the same as `train=False`."""
    fields: Mapping[str, Json] = field(default_factory=_nothing)
    """Anything else the record's message held (`name`, `tool_calls`, `tool_call_id`), handed to the template."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One way to go on after a prompt."""

    messages: tuple[Message, ...]
    score: float = 1.0
    """Weight, rank, reward or gold, as the objective reads it. Of a preference pair: chosen 1, rejected 0."""
    logprobs: tuple[float, ...] | None = None
    """Log-probability of each sampled token under the sampler, where there is one."""

    @property
    def text(self) -> str:
        """The last message's content: the answer."""
        return self.messages[-1].content


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt with some completions, and where it came from."""

    id: str
    """`file.csv:17`: the file's name and the line its record begins on (row number where a format has no lines)."""
    prompt: tuple[Message, ...]
    completions: tuple[Completion, ...]
    label: str | None = None
    """The answer, where answers are labels from a small set; splits are stratified by it."""
    group: str | None = None
    """Split unit (user, thread, document): rows of one group never straddle a split."""
    source: str = ""
    """The file or hub name it was read from."""
    references: tuple[str, ...] = ()
    """Every right answer to the prompt, where there are several; empty means the first completion's text."""
    tools: tuple[Mapping[str, Json], ...] = ()
    """Tool definitions, handed to the template."""
    meta: Mapping[str, Json] = field(default_factory=_nothing)
    """The record's other columns."""

    @property
    def answer(self) -> str:
        """The first completion's text."""
        return self.completions[0].text

    @property
    def question(self) -> str:
        """The last prompt message's content, for showing to people."""
        return self.prompt[-1].content if self.prompt else ""


@dataclass(frozen=True, slots=True)
class Issue:
    """Something a check found."""

    check: str
    """Name of the check, as recipes write it."""
    examples: tuple[str, ...]
    """Ids of the examples concerned."""
    severity: float
    """In [0, 1]; 1 makes a run meaningless."""
    flagged: bool
    """Whether it passed the check's threshold."""
    why: str
    """One sentence with the evidence in it."""
    remedy: str
    """What would mend it."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenSequence:
    """One prompt with one completion, rendered: what the packer takes.

    The three arrays have one entry a token; `weight[0]` is 0, since nothing predicts the first token.
    """

    tokens: NDArray[np.int64]
    """(l,) token ids."""
    weight: NDArray[np.float32]
    """(l,) loss weight; 0 means not learned."""
    example: str
    """Id of the example it came from."""
    group: int = 0
    """Index of the example within what is packed together; completions of one prompt share it."""
    score: float = 1.0
    """The completion's score."""
    adapter: int = 0
    """Which adapter computes it."""
    extra: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """(l,) streams beside the weight: sampled log-probabilities, advantages."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def supervised(self) -> int:
        """How many tokens are learned."""
        return int(np.count_nonzero(self.weight))
