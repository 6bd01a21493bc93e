"""Whether a model may compute a prefix once for all who share it: decided by experiment at load, not by its name.

A small random forest goes through the engine and, sequence by sequence, through the model as transformers wrote it.
Every layer must have consumed the plan, and the log-probabilities must agree; the yardstick is the error that a plain
causal mask over the same packed tokens makes, which a model that ignores the forest would show.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from luthier.batch import Batch, pack
from luthier.errors import ModelError
from luthier.model.attention import NAME, register
from luthier.model.cascade import flash_can
from luthier.model.forward import computing, evaluating, forward, head, paths, trunk
from luthier.model.load import Model, ModelOptions, load
from luthier.model.plan import plan
from luthier.types import TokenSequence

TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-2}
"""Largest error accepted, as a share of the plain causal mask's, where compute is not in half precision."""

HALF_TOLERANCE = 0.2
"""The same for bfloat16 and float16, whose own rounding is of this order."""


def open_model(options: ModelOptions, *, masters: bool = False) -> Model:
    """Opens a model ready for the engine; `masters` keeps parameters in float32.

    Raises ModelError if it cannot be opened, or if sharing was demanded and the model cannot share.
    """
    model = load(options, masters=masters)
    if options.shared is False:
        model.reason = "turned off by model.shared=false"
        return model
    accept(model)
    if options.shared is True and not model.shared:
        raise ModelError(f"{model.name}: model.shared=true, but {model.reason}; leave it at auto to train unshared")
    return model


def accept(model: Model) -> None:
    """Sets `model.shared` and `model.reason`, and switches the attention over where the model passed.

    Raises ModelError when not even the unshared path gives the model's own log-probabilities.
    """
    register()
    model.plain = model.network.config._attn_implementation or model.plain
    batch = trial(model)
    with evaluating(model):
        truth = _plainly(model, batch)
        refusal = _refusal(model, batch, truth)
        if refusal is not None:
            model.network.set_attn_implementation(model.plain)
        model.shared, model.reason = refusal is None, refusal or ""
        if refusal is not None:
            _prove_unshared(model, batch, truth)


def _refusal(model: Model, batch: Batch, truth: Tensor) -> str | None:
    """Why the forest engine may not be used, or None."""
    if not flash_can(model.dtype, model.device):
        return f"no forest attention kernel for {model.dtype} on {model.device.type}"
    try:
        model.network.set_attn_implementation(NAME)
        model.shared = True
        shared = forward(model, batch).logprobs
        control = _plain_causal(model, batch)
        _while_training(model, batch)
    except (ModelError, TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError) as met:
        return str(met).splitlines()[0]
    error = (shared - truth).abs().mean() / (control - truth).abs().mean()
    limit = TOLERANCE.get(model.dtype, HALF_TOLERANCE)
    if not error <= limit:
        return (
            f"shared and single log-probabilities differ by {error:.2g} of a wrong mask's error; {limit:g} is allowed"
        )
    return None


def _while_training(model: Model, batch: Batch) -> None:
    """Raises ModelError where attention asks in training what it does not ask in evaluation: a dropout."""
    model.network.train()
    try:
        with torch.random.fork_rng():
            trunk(model, batch)
    finally:
        model.network.eval()


def _prove_unshared(model: Model, batch: Batch, truth: Tensor) -> None:
    try:
        unshared = forward(model, batch).logprobs
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ModelError(f"{model.name}: cannot be scored, shared or not: {error}") from error
    gap = (unshared - truth).abs().mean().item()
    if not gap <= (1e-3 if model.dtype in TOLERANCE else 0.05):
        raise ModelError(
            f"{model.name}: log-probabilities from its hidden states differ from the model's own by {gap:.3g} nats; "
            "its output layer does something this version does not know"
        )


def trial(model: Model) -> Batch:
    """A small random forest: a branch of one token, a duplicate, a sequence that is another's prefix, few lengths."""
    draw = np.random.default_rng(0)
    vocabulary = model.network.config.get_text_config().vocab_size
    base = draw.integers(0, vocabulary, 24)
    rows = [base, base[:9], base[:17], base[:17]]
    rows += [np.concatenate((base[:k], draw.integers(0, vocabulary, 17 - k))) for k in (0, 1, 9, 9, 16)]
    weight = [np.concatenate(([0.0], np.ones(len(row) - 1))).astype(np.float32) for row in rows]
    made = [
        TokenSequence(r.astype(np.int64), w, f"trial {i}") for i, (r, w) in enumerate(zip(rows, weight, strict=True))
    ]
    return pack(made, worthwhile=1).to(model.device)


def _plainly(model: Model, batch: Batch) -> Tensor:
    """The model's own log-probability of every scored token, through its own head: sequences of one length a batch."""
    rows = [batch.tokens[path] for path in paths(batch)]
    scored = list(rows)
    for length in {len(row) for row in rows}:
        alike = [at for at, row in enumerate(rows) if len(row) == length]
        tokens = torch.stack([rows[at] for at in alike])
        with computing(model):
            logits = model.network(input_ids=tokens, use_cache=False).logits[:, :-1]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        found = torch.log_softmax(logits, -1).gather(2, tokens[:, 1:, None])[..., 0]
        for at, row in zip(alike, found, strict=True):
            scored[at] = row
    return torch.cat(scored)


def _plain_causal(model: Model, batch: Batch) -> Tensor:
    """The control: the same packed tokens when every query sees all that lies before it."""
    forest = plan(batch, dense=True)
    forest.end = torch.full_like(batch.end, batch.distinct)
    rows, row = batch.parent[batch.target].unique(return_inverse=True)
    hidden = trunk(model, batch, forest)[rows].to(model.dtype)
    return head(model.network).logprobs(hidden, row, batch.tokens[batch.target], uniform=False)[0]
