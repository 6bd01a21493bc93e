"""The one forward: a batch in, the log-probabilities of its scored tokens out.

A model that the forest engine accepted computes every distinct token once; any other runs its sequences side by side,
padded on the right: correct, slower. Both give the same `Scores`. Not here: losses, optimisers, generation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from luthier.batch import Batch
from luthier.errors import ModelError
from luthier.model.disagreement import disagreement
from luthier.model.head import Head
from luthier.model.layers import begun, changed, layer_list
from luthier.model.leaf import leaf_head
from luthier.model.load import Model
from luthier.model.plan import Plan, Step, plan


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What the engine returns for a batch; streams in float32 or better, differentiable where the model learns."""

    logprobs: Tensor
    """(m,) log-probability of each scored token under its parent."""
    uniform: Tensor | None = None
    """(m,) mean log-probability over the vocabulary at the same place; brought for the need `uniform`."""
    divergence: Tensor | None = None
    """(m,) KL(base || model) in nats at the same place; brought for the need `divergence`."""
    head: Tensor | None = None
    """(m, k) what the leaf head says of the state that predicts each pair; brought for the need `head`."""
    twin: Tensor | None = None
    """(m,) log-probability of each scored token in a second pass with its own dropout; brought for the need `twin`."""
    disagreement: Tensor | None = None
    """(m,) KL of the two passes, both ways, in nats at the same place; brought with `twin`."""


def forward(model: Model, batch: Batch, *, needs: frozenset[str] = frozenset()) -> Scores:
    """Log-probabilities of the batch's scored tokens.

    Raises ModelError for a need it does not know or cannot bring (a base that was not kept, no head), or when a layer
    did not consume the batch's attention plan.
    """
    known = {"uniform", "divergence", "head", "twin"}
    if unknown := needs - known:
        raise ModelError(f"the forward cannot bring {sorted(unknown)}; it knows {', '.join(sorted(known))}")
    batch = batch.to(model.device)
    hidden, row = scored_rows(model, batch)
    output = head(model.network)
    with computing(model):
        scored, uniform = output.logprobs(hidden, row, batch.tokens[batch.target], uniform="uniform" in needs)
    scores = Scores(
        scored,
        uniform,
        _divergence(model, batch, hidden, output)[row] if "divergence" in needs else None,
        _headed(model, hidden)[row] if "head" in needs else None,
    )
    return _with_twin(scores, model, batch, hidden) if "twin" in needs else scores


def _divergence(model: Model, batch: Batch, hidden: Tensor, output: Head) -> Tensor:
    if model.base is None:
        raise ModelError(f"{model.name}: its base was not kept; luthier.methods.keep_base does, before the first step")
    return model.base.divergence(batch, hidden, output)


def _headed(model: Model, hidden: Tensor) -> Tensor:
    leaf = leaf_head(model.network)
    if leaf is None:
        raise ModelError(f"{model.name}: carries no head; objective=sft learns without one")
    found: Tensor = leaf(hidden)
    return found


def _with_twin(scores: Scores, model: Model, batch: Batch, hidden: Tensor) -> Scores:
    """With a second pass, and how far it is from the first, whose rows are `hidden` (u, d)."""
    second, row = scored_rows(model, batch)
    output = head(model.network)
    with computing(model):
        twin, _ = output.logprobs(second, row, batch.tokens[batch.target], uniform=False)
        return replace(scores, twin=twin, disagreement=disagreement(hidden, second, output)[row])


def scored_rows(model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    """The hidden states that predict the scored tokens: (u, d) distinct ones, and (m,) which of them predicts pair i.

    The order of the rows is the batch's alone, so that two models' rows of one batch stand side by side.
    Raises ModelError when a layer did not consume the batch's attention plan.
    """
    batch = batch.to(model.device)
    hidden = trunk(model, batch) if model.shared else _side_by_side(model, batch)
    rows, row = batch.parent[batch.target].unique(return_inverse=True)
    return hidden[rows].to(model.dtype), row


def trunk(model: Model, batch: Batch, forest: Plan | None = None) -> Tensor:
    """Hidden states before the head of every distinct token: (n, d); begins at the cut where what is below is known.

    Raises ModelError unless every attention layer consumed the plan.
    """
    forest = forest or plan(batch)
    with _routed(model, batch.adapter):
        if model.trunk is None or forest.cache is not None:  # decoding goes on from the keys of every layer
            return states(model, batch.tokens, batch.depth, forest)
        layers, known = list(layer_list(model.network))[: model.trunk.cut], model.trunk.below(batch)
        if (hidden := known.hidden) is not None:
            return above(model, batch, forest, layers, hidden)
        with changed(layers[-1], lambda computed: known.completed(computed[0])[None]):
            return states(model, batch.tokens, batch.depth, forest)


def above(model: Model, batch: Batch, forest: Plan, below: Sequence[nn.Module], hidden: Tensor) -> Tensor:
    """The hidden states before the head (n, d), begun with those above the first layers (n, d)."""
    with begun(below, hidden[None]):
        return states(model, batch.tokens, batch.depth, forest, skipped=len(below))


def states(model: Model, tokens: Tensor, depth: Tensor, forest: Plan | Step, *, skipped: int = 0) -> Tensor:
    """Runs the layers over packed tokens (q,) at their depths (q,): the hidden states before the head (q, d).

    skipped: how many layers compute nothing.
    """
    with computing(model):
        out = model.network.base_model(input_ids=tokens[None], position_ids=depth[None], use_cache=False, forest=forest)
    layers = model.network.config.get_text_config().num_hidden_layers - skipped
    if len(forest.consumed) != layers:
        raise ModelError(
            f"{model.name}: {len(forest.consumed)} of {layers} layers took up forest attention; the others have an "
            "attention of their own or mix along the sequence without one, so the result would be wrong"
        )
    hidden: Tensor = out.last_hidden_state[0]
    return hidden


def _side_by_side(model: Model, batch: Batch) -> Tensor:
    """The same hidden states with every sequence in a row of its own, right-padded: (n, d).

    A token that several sequences share takes its state from the first of them; rows of one adapter stand together.
    """
    whose = batch.adapter[batch.leaf]
    own = paths(batch)
    own = [own[i] for i in whose.argsort(stable=True).tolist()]
    index = nn.utils.rnn.pad_sequence(own, batch_first=True, padding_value=-1)
    real = index >= 0
    with computing(model), _routed(model, whose.sort().values.repeat_interleave(index.shape[1])):
        out = model.network.base_model(
            input_ids=batch.tokens[index.clamp(min=0)], attention_mask=real.long(), use_cache=False
        )
    states: Tensor = out.last_hidden_state
    place = torch.empty(batch.distinct, dtype=torch.int64, device=index.device)
    for row in reversed(range(len(own))):
        place[own[row]] = row * index.shape[1] + torch.arange(len(own[row]), device=index.device)
    return states.flatten(0, 1)[place]


def _routed(model: Model, adapter: Tensor) -> AbstractContextManager[None]:
    """Tells the layers of several adapters whose each row is: adapter (rows,)."""
    return nullcontext() if model.routing is None else model.routing.over(adapter)


def paths(batch: Batch) -> list[Tensor]:
    """The packed indexes of each sequence's tokens, root first."""
    parent = batch.parent.tolist()
    found = []
    for leaf in batch.leaf.tolist():
        path = [leaf]
        while parent[path[-1]] >= 0:
            path.append(parent[path[-1]])
        found.append(torch.tensor(path[::-1], device=batch.tokens.device))
    return found


def head(network: nn.Module) -> Head:
    """The output layer with the family's own scale and cap.

    Raises ModelError for a model without one.
    """
    linear = network.get_output_embeddings()  # type: ignore[operator]
    if not isinstance(linear, nn.Linear):
        raise ModelError(f"{type(network).__name__} has no linear output layer, so it cannot be scored")
    config = network.config.get_text_config()  # type: ignore[union-attr, operator]
    scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
    caps = [getattr(config, name, None) for name in ("final_logit_softcapping", "logits_soft_cap")]
    return Head(linear, scale, caps[0] or caps[1])


def computing(model: Model) -> AbstractContextManager[None]:
    """Autocast where products compute in half precision: the stream of hidden states is float32 (see `precision`)."""
    if model.dtype in (torch.bfloat16, torch.float16):
        return torch.autocast(model.device.type, dtype=model.dtype)
    return nullcontext()


@contextmanager
def still(model: Model) -> Iterator[None]:
    """Evaluation mode, in which nothing is dropped out; each module's own mode comes back afterwards."""
    modes = {module: module.training for module in model.network.modules()}
    model.network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Evaluation mode without gradients; each module's own mode comes back afterwards."""
    with still(model), torch.no_grad():
        yield
