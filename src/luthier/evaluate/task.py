"""What is asked of a model on these examples, and how the answers are judged.

Examples whose answers are labels are a choice: every label is weighed by its probability, so the answer is always a
label. Everything else is text, generated greedily. Not here: asking, and judging.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Literal

from transformers import PreTrainedTokenizerBase

from luthier.errors import DataError, RecipeError
from luthier.metrics import metrics, named
from luthier.metrics.numeric import MARK
from luthier.metrics.structured import parsed
from luthier.metrics.words import words, written_without_spaces
from luthier.types import Example

SHORT = 6
"""Words; text is short where nine of ten references have no more."""
LOSSES = ("loss", "perplexity", "bits_per_byte")
"""Measured in every task; smaller is better."""


PREFERENCES = ("preference", "preference_per_token")
"""Measured of pairs: how often the chosen answer is likelier, whole or by the token."""


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """How a model is judged."""

    task: Literal["auto", "choice", "text"] = "auto"
    """`choice` weighs every label by its probability, `text` generates; auto: choice where examples have labels."""
    metric: str | None = None
    """What decides: the best checkpoint and the verdict. None takes accuracy for a choice; for text the number after
    `####` where references have one, exact match where they are short, else chrF."""
    max_new_tokens: int | None = None
    """Most tokens an answer may have; None allows half as many again as the longest reference, 16 to 1024."""
    validation_rows: int | None = 300
    """Rows an evaluation during training looks at: the same ones every time, of every label; None takes all."""
    base_rows: int | None = 500
    """Test rows the untuned model is asked, too, for the comparison, which is paired on them; None asks all. It is not
    sure of any answer, so each of its choices costs many times a tuned model's."""
    margin: float = 8.0
    """Nats below the likeliest label down to which the other labels of a choice are weighed exactly, too, for its
    confidence and calibration. The others are below 1 in 3,000 of the best each at 8. 0 looks for the best alone, in
    half the time, and leaves calibration out."""
    out_of_scope: str | None = None
    """The label of rows that no other label fits: how well confidence tells them from the rest is measured."""
    token_budget: int = 8192
    """Distinct tokens computed at a time: decides memory and speed, and nothing else."""
    resamples: int = 2000
    """Resamples behind an interval or a p-value."""
    seed: int = 0
    """Of the choice of validation rows and of the resamples."""

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in ("max_new_tokens", "validation_rows", "base_rows")}
        bounds = [
            *((name, count is None or count >= 1, "at least 1, or none") for name, count in counts.items()),
            ("margin", 0 <= self.margin < inf, "0 or more"),
            ("token_budget", self.token_budget >= 1, "at least 1"),
            ("resamples", self.resamples >= 1, "at least 1"),
            ("seed", self.seed >= 0, "0 or more"),
        ]
        if broken := [
            f"{name} is {getattr(self, name)}; it must be {must}" for name, holds, must in bounds if not holds
        ]:
            raise RecipeError("; ".join(broken))


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked, and what is measured."""

    kind: Literal["choice", "text", "loss", "preference", "number"]
    labels: tuple[str, ...]
    """Every possible answer of a choice, sorted; empty for text."""
    metrics: tuple[str, ...]
    """Names in `luthier.metrics.metrics`, the primary one first, or PREFERENCES; LOSSES come without being named."""
    primary: str
    """The metric that decides."""
    max_new_tokens: int
    """Most tokens of a generated answer."""
    out_of_scope: str | None = None
    """The label among `labels` that marks rows which no other label fits."""
    headed: bool = False
    """Whether a linear head answers. What its answers cost is no loss of text, so it is compared with no other's."""


def infer(
    examples: Sequence[Example],
    options: EvaluateOptions = EvaluateOptions(),
    *,
    tokenizer: PreTrainedTokenizerBase,
) -> Task:
    """The task of the examples of all splits together, so that a label seen only in test can still be chosen.

    Raises DataError where labels cannot be told apart or a choice has none, RecipeError for an unknown metric.
    """
    if not examples:
        raise DataError("there are no examples to infer a task from; check the file and the splits")
    choice = options.task == "choice" or (options.task == "auto" and all(map(_is_labelled, examples)))
    labels = _labels(examples) if choice else ()
    usual = ("accuracy", "macro_f1", "weighted_f1", "mcc") if choice else _text_metrics(examples)
    primary = options.metric or usual[0]
    if primary not in LOSSES and named(primary).better == "neither":
        raise RecipeError(f"{primary} describes answers and cannot decide between models; choose a metric that judges")
    return Task(
        kind="choice" if choice else "text",
        labels=labels,
        metrics=tuple(dict.fromkeys((primary, *usual))) if primary not in LOSSES else usual,
        primary=primary,
        max_new_tokens=options.max_new_tokens or _room(examples, tokenizer),
        out_of_scope=_outside(options.out_of_scope, labels),
    )


def lower_is_better(metric: str) -> bool:
    """Whether a metric counts what is wrong."""
    return metric in LOSSES or (metric in metrics and metrics[metric].better == "lower")


def answers(example: Example) -> tuple[str, ...]:
    """Every right answer to an example's prompt."""
    return example.references or (example.answer,)


def _outside(named: str | None, labels: Sequence[str]) -> str | None:
    if named is not None and named not in labels:
        remedy = "name a label of the rows" if labels else "it is for a choice between labels, and this is text"
        raise RecipeError(f"out_of_scope: {named!r} is no label of these rows; {remedy}")
    return named


def _is_labelled(example: Example) -> bool:
    return example.label is not None and example.label.strip() == example.answer.strip()


def _labels(examples: Sequence[Example]) -> tuple[str, ...]:
    first: dict[str, str] = {}
    for example in examples:
        if not _is_labelled(example):
            raise DataError(
                f"{example.id}: a choice needs a label as the answer, not {example.label!r}; use task: text"
            )
        label = example.label or ""
        if not label.strip():
            raise DataError(f"{example.id}: its label is blank; fill it in or leave the row out")
        if first.setdefault(label.strip(), label) != label:
            raise DataError(
                f"{example.id}: labels {first[label.strip()]!r} and {label!r} differ only in the space around them; "
                "no model can choose between them: strip the column"
            )
    return tuple(sorted(first.values()))


def _text_metrics(examples: Sequence[Example]) -> tuple[str, ...]:
    """What suits the references, the deciding one first.

    Long text is decided by chrF: it needs no tokeniser, so it treats all scripts alike, and follows human judgement
    better than BLEU (Kocmi et al. 2021, "To Ship or Not to Ship").
    """
    references = [text for example in examples for text in answers(example)]
    if all(re.search(rf"{MARK}\s*[-$]*\d", text) for text in references):
        return ("numeric", "length_ratio")
    if all(_is_structured(text) for text in references):
        return ("json_f1", "json_equal", "json_valid")
    short = sum(len(words(text)) <= SHORT for text in references)
    if 10 * short >= 9 * len(references):
        return ("exact", "token_f1", "chrf")
    unspaced = 2 * sum(map(written_without_spaces, references)) > len(references)
    lines = ("rougeLsum",) if any("\n" in text.strip() for text in references) else ()
    bleu = "bleu_char" if unspaced else "bleu"
    return ("chrf", "rougeL", *lines, "rouge1", "rouge2", bleu, "length_ratio", "repetition", "distinct2")


def _is_structured(text: str) -> bool:
    """Whether a text is a JSON object or list."""
    found = parsed(text)
    return found is not None and isinstance(found[0], dict | list)


def _room(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens for an answer: half as many again as the longest reference, from 16 to 1024."""
    longest = max(len(tokenizer.encode(text, add_special_tokens=False)) for one in examples for text in answers(one))
    return min(1024, max(16, ceil(1.5 * longest)))
