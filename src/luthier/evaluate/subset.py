"""Which rows are evaluated: a fixed stratified subset, and rows of one prompt merged into one with all references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from luthier.types import Completion, Example


def sample(examples: Sequence[Example], n: int, *, seed: int) -> tuple[Example, ...]:
    """At most n examples with the labels in proportion, in their own order.

    It depends on the ids and labels alone, not on the order of the rows; a smaller sample lies within a larger one.
    """
    if n >= len(examples):
        return tuple(examples)
    strata: dict[str, list[Example]] = {}
    for example in sorted(examples, key=lambda one: one.id):
        strata.setdefault(example.label or "", []).append(example)
    rng = np.random.default_rng(seed)
    ranked: list[tuple[float, float, str]] = []
    for _, members in sorted(strata.items()):
        places = (rng.permutation(len(members)) + 0.5) / len(members)
        ties = rng.random(len(members))
        ranked += [(float(p), float(t), one.id) for p, t, one in zip(places, ties, members, strict=True)]
    kept = {id_ for _, _, id_ in sorted(ranked)[:n]}
    return tuple(example for example in examples if example.id in kept)


def merge_references(examples: Sequence[Example]) -> tuple[Example, ...]:
    """Unlabelled examples of one prompt as one example with every reference, where the first of them stood.

    It keeps the first one's id and group; `meta["merged"]` lists the ids of all. Labelled examples stay single: two
    labels for one prompt are a contradiction, not two right answers.
    """
    alike: dict[object, list[Example]] = {}
    for at, example in enumerate(examples):
        key: object = at if example.label is not None else _prompt(example)
        alike.setdefault(key, []).append(example)
    return tuple(_merged(members) if len(members) > 1 else members[0] for members in alike.values())


def _prompt(example: Example) -> str:
    return repr(([(one.role, one.content, one.fields) for one in example.prompt], example.tools))


def _merged(members: Sequence[Example]) -> Example:
    completions: dict[str, Completion] = {}
    for completion in (one for member in members for one in member.completions):
        completions.setdefault(completion.text, completion)
    references = dict.fromkeys(text for member in members for text in member.references or (member.answer,))
    ids = [member.id for member in members]
    return replace(
        members[0],
        completions=tuple(completions.values()),
        references=tuple(references),
        meta={**members[0].meta, "merged": list(ids)},
    )
