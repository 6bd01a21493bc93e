"""The proof that an export is the model that was trained, on real rows.

    the run, through the engine                       the export, through transformers alone
    tokenizer and template   same tokens              its own tokenizer
    stop tokens              same set                 its own generation settings
    log-probabilities        within the tolerance     one row at a time, no cache, nothing shared
    greedy answers           same, or part at a tie   `generate`, with its own settings
    or those of a head       same, or part at a tie   its own head, on transformers' own hidden states

Both sides compute in float32, so that a difference is the export's and not the machine's. Where the base can be
switched on, the export has to lie well nearer to the tuned model than the base does: neither a merge that was forgotten
nor rounding that swallows what was learned gets past that, however wide the tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from luthier.data.render import Rendered, prompt_tokens, render
from luthier.errors import GateError
from luthier.export.format import Format, Tolerance
from luthier.export.rows import rows_of
from luthier.export.truth import Floats, Trial, Truth, ask
from luthier.methods.tuned import find_tuned, open_found
from luthier.model.forward import evaluating
from luthier.model.leaf import LeafHead, read_head
from luthier.model.load import Model
from luthier.types import Example

CONTROL = 0.5
"""Largest mean difference an export may have, as a share of the base's."""
AGREES = 1e-4
"""Nats a token below which base and tuned model are one, and the comparison with the base says nothing."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How an export compares with the tuned model in its run; nats a token."""

    rows: int
    tokens: int
    mean: float
    largest: float
    base: float | None
    """Mean difference of the base from the tuned model on the same tokens; None where there is no base to switch on."""
    answers: int
    same: int
    """Greedy answers that are the same to the token; a head's that are the same label or, within the tolerance, number.
    """
    ties: int
    """Answers that part where two tokens, or labels, are as likely as the tolerance can tell."""
    tolerance: Tolerance
    kind: str = "greedy answers"
    """What was compared."""

    @property
    def sentence(self) -> str:
        """The figures, beside what was allowed."""
        base = "" if self.base is None else f" (the base differs by {self.base:.2g})"
        ties = f", {self.ties} more part at a tie" if self.ties else ""
        return (
            f"{self.tokens} log-probabilities of {self.rows} rows differ by {self.mean:.2g} nats on average "
            f"(allowed {self.tolerance.mean:g}) and {self.largest:.2g} at most (allowed {self.tolerance.largest:g})"
            f"{base}; {self.same} of {self.answers} {self.kind} are the same{ties}"
        )

    @property
    def failures(self) -> tuple[str, ...]:
        """What does not hold, and what to do."""
        found = []
        if not (self.mean <= self.tolerance.mean and self.largest <= self.tolerance.largest):
            found.append("its log-probabilities are not those of the tuned model; export again, in float32")
        elif self.base is not None and self.base > AGREES and self.mean > CONTROL * self.base:
            found.append("rounding swallows what was learned; export float32, or the adapter")
        if self.same + self.ties < self.answers:
            found.append(f"{self.answers - self.same - self.ties} {self.kind} part where nothing is close")
        return tuple(found)


def prove(
    run: Path,
    folder: Path,
    *,
    format: Format,
    examples: Sequence[Example] | None = None,
    checkpoint: str = "best",
    trial: Trial | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> Parity:
    """Reads an export again and compares it with the tuned model in its run.

    examples: rows to compare on; None takes some of the run's predictions.
    Raises GateError where it is not the model that was trained, RunError where the run cannot be opened.
    """
    trial = trial or Trial()
    tuned = find_tuned(run, checkpoint=checkpoint)
    rows = rows_of(tuned, limit=trial.rows) if examples is None else examples
    truth = ask(open_found(tuned, dtype="float32", device=device), rows, trial)
    try:
        return hold(truth, folder, format=format, device=device)
    except GateError as error:
        raise GateError(f"{folder}: {error}") from error


def hold(truth: Truth, folder: Path, *, format: Format, device: Literal["auto", "cpu", "cuda"] = "auto") -> Parity:
    """Holds an export against the truth; raises GateError with everything that does not hold."""
    with _opening():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        settings = GenerationConfig.from_pretrained(folder, local_files_only=True)
        _hold_tokenizer(truth, tokenizer)
        _hold_stop(truth, settings)
        export = format.read(folder, device=device)
        tolerance = format.tolerance(folder)
        head = read_head(folder, folded=True)
    if truth.head is not None and head is None:
        raise GateError("the linear head that answers is not in it; export again")
    found = _compared(truth, export, head, tolerance)
    if found.failures:
        raise GateError(f"{'; '.join(found.failures)}. {found.sentence}")
    return found


@contextmanager
def _opening() -> Iterator[None]:
    """Says of a file that is missing or damaged that the export failed, in the words of whoever tried to read it."""
    try:
        yield
    except GateError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise GateError(f"it does not open: {' '.join(str(error).split())}; export again") from error


def _hold_tokenizer(truth: Truth, tokenizer: PreTrainedTokenizerBase) -> None:
    if not tokenizer.chat_template:
        raise GateError("its tokenizer has no chat template, and it was trained with one; export again")
    for example, row in zip(truth.examples, truth.rendered, strict=True):
        again = render(example, tokenizer, max_length=None, example_index=0)[0]
        served = np.array_equal(prompt_tokens(example, tokenizer), _prompt(row))
        if not (served and again.prompt == row.prompt and np.array_equal(again.sequence.tokens, row.sequence.tokens)):
            remedy = "its template or vocabulary is another; export again"
            raise GateError(f"it renders the row {example.id} otherwise than it was trained; {remedy}")


def _hold_stop(truth: Truth, settings: GenerationConfig) -> None:
    stated = settings.eos_token_id
    if set(stated if isinstance(stated, list) else [stated]) != truth.stop:
        wanted = f"generation stops on {sorted(truth.stop)} in the run"
        raise GateError(f"{wanted}, and on {stated} in generation_config.json; export again")


def _compared(truth: Truth, export: Model, head: LeafHead | None, tolerance: Tolerance) -> Parity:
    apart = np.abs(_logprobs(export, truth.rendered) - truth.logprobs)
    if truth.head is not None and head is not None:
        gaps = [
            _head_gap(export, head, row, said, tolerance) for row, said in zip(truth.rendered, truth.head, strict=True)
        ]
    else:
        gaps = [_gap(export, truth, at) for at in range(len(truth.answers))]
    return Parity(
        rows=len(truth.rendered),
        tokens=len(apart),
        mean=float(apart.mean()),
        largest=float(apart.max()),
        base=None if truth.base is None else float(np.abs(truth.base - truth.logprobs).mean()),
        answers=len(gaps),
        same=sum(gap is None for gap in gaps),
        ties=sum(gap is not None and gap <= tolerance.tie for gap in gaps),
        tolerance=tolerance,
        kind="greedy answers" if truth.head is None else "answers of its head",
    )


def _logprobs(export: Model, rendered: Sequence[Rendered]) -> Floats:
    """Log-probability of every learned token, row by row: (m,)."""
    found = []
    for row in rendered:
        tokens, learned = row.sequence.tokens, np.flatnonzero(row.sequence.weight)
        logprobs = _next(export, tokens.tolist())[learned - 1, tokens[learned]]
        found.append(logprobs.double().cpu().numpy())
    return np.concatenate(found)


def _gap(export: Model, truth: Truth, at: int) -> float | None:
    """How much likelier the export finds its own token where its answer parts from the true one, in nats.

    None where the answers are the same to the token, end included.
    """
    prompt, said = _prompt(truth.rendered[at]), truth.answers[at]
    own = _answer(export, prompt, truth.max_new_tokens)
    ended = bool(own) and own[-1] in truth.stop
    words = own[:-1] if ended else own
    if words == said.tokens and ended == said.stopped:
        return None
    common = next((i for i, pair in enumerate(zip(words, said.tokens, strict=False)) if pair[0] != pair[1]), None)
    common = min(len(words), len(said.tokens)) if common is None else common
    logprobs = _next(export, [*prompt, *words[:common]])[-1]
    wanted = said.tokens[common : common + 1] or sorted(truth.stop)
    return float(logprobs.max() - logprobs[wanted].max())


def _head_gap(export: Model, head: LeafHead, row: Rendered, said: Floats, tolerance: Tolerance) -> float | None:
    """How much likelier the head finds its own label than the true one, in nats; None for the same answer.

    A number is the same within the mean tolerance, in spreads of the training rows' numbers, and else at no tie.
    """
    ids = torch.tensor([_prompt(row)], device=export.device)
    with evaluating(export):
        state = export.network(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states[-1][0, -1:]
        own = head.to(state.device)(state)[0].double().cpu().numpy()
    if not head.labels:
        return None if abs(own[0] - said[0]) <= tolerance.mean else inf
    best = int(said.argmax())
    return None if own.argmax() == best else float(own.max() - own[best])


def _answer(export: Model, prompt: Sequence[int], limit: int) -> list[int]:
    """New tokens of an answer by the export's own settings, with the token it stopped on."""
    ids = torch.tensor([list(prompt)], device=export.device)
    with evaluating(export):
        out = export.network.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit)  # type: ignore[operator]
    return [int(token) for token in out[0, ids.shape[1] :]]


def _next(export: Model, tokens: Sequence[int]) -> Tensor:
    """Log-probabilities of what follows each token: (l, v), float32."""
    ids = torch.tensor([list(tokens)], device=export.device)
    with evaluating(export):
        logits: Tensor = export.network(input_ids=ids, use_cache=False).logits[0]
    return logits.float().log_softmax(-1)


def _prompt(row: Rendered) -> list[int]:
    tokens: list[int] = row.sequence.tokens[: row.prompt].tolist()
    return tokens
