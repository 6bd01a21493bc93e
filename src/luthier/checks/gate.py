"""The gate: what must hold of every rendered row before the first step.

What is served is rendered anew by transformers' own path, token by token; the proofs (`proof.py`) compare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast

from transformers import PreTrainedTokenizerBase

from luthier.checks import proofs
from luthier.checks.proof import Case
from luthier.data.layout import Learn
from luthier.data.render import Rendered
from luthier.data.template import as_tools, as_turns
from luthier.errors import GateError
from luthier.types import Example, Issue

_REMEDY = {
    "gate-supervised": "check that the row has an answer, and that not every turn has weight 0 or train false",
    "gate-serving": "use a template that only appends as the conversation goes on",
    "gate-beginning": "let the template write the beginning of sequence, once, and keep it out of the texts",
    "gate-answer": "use a tokenizer and a template that keep the answer as it is",
    "gate-end": "use a template that ends the turn with a token generation stops on, or add that token to the model's",
}


def gate(
    examples: Sequence[Example],
    rendered: Sequence[tuple[Rendered, ...]],
    tokenizer: PreTrainedTokenizerBase,
    *,
    stop: frozenset[int],
    learn: Learn = "all",
) -> Iterator[Issue]:
    """One Issue of severity 1 for each row and proof that does not hold; `rendered` goes with `examples`.

    Rows with `cut` above 0 are not meant to be trained on and fail.
    """
    for case in _cases(examples, rendered, tokenizer, stop=stop, learn=learn):
        for name, proof in proofs.items():
            why = proof(case)
            if why is not None:
                yield Issue(name, (case.example.id,), 1.0, True, f"{case.example.id}: {why}", _REMEDY.get(name, ""))


def prove(
    examples: Sequence[Example],
    rendered: Sequence[tuple[Rendered, ...]],
    tokenizer: PreTrainedTokenizerBase,
    *,
    stop: frozenset[int],
    learn: Learn = "all",
) -> None:
    """Raises GateError, with the first few rows and what would mend them, unless every proof holds of every row."""
    found = list(gate(examples, rendered, tokenizer, stop=stop, learn=learn))
    if not found:
        return
    counts = Counter(issue.check for issue in found)
    first = {name: next(issue for issue in found if issue.check == name) for name in counts}
    told = [f"{name} fails {counts[name]} times, first {issue.why}; {issue.remedy}" for name, issue in first.items()]
    rows = len({issue.examples for issue in found})
    raise GateError(f"{rows} of {len(examples)} rows cannot be trained on:\n  " + "\n  ".join(told))


def _cases(
    examples: Sequence[Example],
    rendered: Sequence[tuple[Rendered, ...]],
    tokenizer: PreTrainedTokenizerBase,
    *,
    stop: frozenset[int],
    learn: Learn,
) -> Iterator[Case]:
    for example, row in zip(examples, rendered, strict=True):
        served = _served(example, tokenizer)
        for completion, one in zip(example.completions, row, strict=True):
            yield Case(example, completion, one, served, tokenizer, stop, learn)


def _served(example: Example, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    turns, tools = as_turns(example.prompt), as_tools(example.tools)
    served = tokenizer.apply_chat_template(
        turns, tools=tools, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    return [int(token) for token in cast("list[int]", served)]
