"""Attention over the packed forest, as transformers calls it: a token attends to itself and its ancestors.

The cascade (`cascade.py`) serves plain layers. A boolean mask serves windows, soft-capping, attention sinks, unequal
head widths and decoding, and is the oracle of the tests. Not here: which models may use it (`accept.py`), and what
happens before and after a layer's attention.
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, softmax
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from luthier.errors import ModelError
from luthier.model.cascade import cascade
from luthier.model.decoding import decoded
from luthier.model.plan import Plan, Step

NAME = "luthier_forest"
"""The attention implementation's name in transformers."""

HARMLESS = frozenset({"position_ids", "cache_position", "use_cache", "output_attentions", "is_causal", "layer_idx"})
"""Keywords transformers hands to attention functions that change nothing here: positions are applied before."""


def forest_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    forest: Plan | Step | None = None,
    **others: object,
) -> tuple[Tensor, None]:
    """What transformers calls in every layer: query (1, heads, n, width) -> ((1, n, heads, width), None).

    Raises ModelError for a missing plan, a mask, a dropout, or a keyword it does not know how to honour.
    """
    if forest is None:
        raise ModelError(f"{type(module).__name__} got no plan: its layers do not hand keyword arguments on")
    if dropout:
        raise ModelError(
            f"{type(module).__name__} drops {dropout:g} of its weights out; model.dropout=0 would let it share"
        )
    unknown = sorted(name for name, given in others.items() if given is not None and name not in HARMLESS)
    if attention_mask is not None or unknown:
        raise ModelError(
            f"{type(module).__name__} asks what forest attention cannot give: "
            f"mask {attention_mask is not None}, keywords {unknown}"
        )
    forest.consumed.add(id(module))
    query, key = query.to(value.dtype), key.to(value.dtype)  # autocast leaves what rotary tables touched in float32
    layer = _number(module)
    before = None if forest.prefix is None else forest.prefix.of(layer, key, value)
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    window = sliding_window if sliding_window is not None and sliding_window < forest.longest else None
    plain = softcap is None and s_aux is None and window is None and query.shape[-1] == value.shape[-1]
    if isinstance(forest, Step) and forest.seats is not None:
        return forest.seats.attend(layer, query, key, value, before, scale).transpose(1, 2), None
    if plain and isinstance(forest, Step) and not query.is_cuda:
        held = forest.cache.extend(layer, key, value)
        return decoded(query, *held, forest.apart(query.dtype), before, scale).transpose(1, 2), None
    if forest.cache is not None and not (plain and (sliding_window or inf) >= forest.longest + forest.cache.ahead):
        forest.cache.masked = True
    key, value = forest.keys(layer, key, value)
    if plain and isinstance(forest, Plan) and not forest.dense:
        root_key, root_value = before or (None, None)
        return cascade(query, key, value, root_key, root_value, forest, scale).transpose(1, 2), None
    allowed = forest.allowed(window)
    if before is not None and forest.prefix is not None:
        key, value = (torch.cat(pair, dim=2) for pair in zip(before, (key, value), strict=True))
        allowed = torch.cat((forest.prefix.seen(forest.query_depth, window), allowed), dim=1)
    return _masked(query, key, value, allowed, scale, softcap, s_aux).transpose(1, 2), None


def _number(module: nn.Module) -> int:
    """Which layer an attention module is of; where transformers does not say, an identity that no layer number is."""
    number = getattr(module, "layer_idx", None)
    return number if isinstance(number, int) else id(module)


def _masked(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    allowed: Tensor,
    scale: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Attention under a boolean mask (q, k); query heads that share a key head are folded into its rows."""
    heads, folds = key.shape[1], query.shape[1] // key.shape[1]
    rows = query.reshape(1, heads, folds * query.shape[2], query.shape[3])
    mask = allowed.repeat(folds, 1)
    if softcap is None and sinks is None:
        out = scaled_dot_product_attention(rows, key, value, mask, scale=scale)
    else:
        sink = None if sinks is None else sinks.view(1, heads, folds, 1).repeat_interleave(query.shape[2], dim=2)
        out = _eager(rows, key, value, mask, scale, softcap, None if sink is None else sink.view(1, heads, -1, 1))
    return out.reshape(1, query.shape[1], query.shape[2], value.shape[3])


def _eager(
    rows: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scale: float,
    softcap: float | None,
    sink: Tensor | None,
) -> Tensor:
    """Masked attention written out, with soft-capped scores (Gemma 2) and a sink logit a row (GPT-OSS)."""
    exact = torch.promote_types(rows.dtype, torch.float32)
    scores = (rows @ key.transpose(-1, -2)).to(exact) * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores.masked_fill(~mask, float("-inf"))
    if sink is not None:
        scores = torch.cat((scores, sink.to(exact)), dim=-1)
    weights = softmax(scores, dim=-1)[..., : key.shape[-2]]
    return weights.to(value.dtype) @ value


def register() -> None:
    """Makes forest attention known to transformers; no mask is built for it, since the plan carries one."""
    AttentionInterface.register(NAME, forest_attention)
    AttentionMaskInterface.register(NAME, _no_mask)


def _no_mask(*_: object, **__: object) -> None:
    return None
