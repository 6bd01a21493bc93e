"""The proofs that `luthier train` asks of every row, as findings of the audit: by the model's tokenizer, without its
weights, over the rows of every split, since which of them are trained on hangs on how they are divided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from luthier.checks import proofs
from luthier.checks.audit import Audit, ranked
from luthier.checks.check import Corpus
from luthier.checks.discreet import discreet
from luthier.checks.gate import gate
from luthier.data.layout import Learn
from luthier.data.render import render_all
from luthier.model.load import ends
from luthier.types import Issue

UNASKED = "needs the model's tokenizer: name it with --model"


def proved(found: Audit, corpus: Corpus, learn: Learn) -> Audit:
    """The audit with what the proofs find, which are gates; or with why they were not asked."""
    if corpus.tokenizer is None or found.interrupted:
        why = "stopped" if found.interrupted else UNASKED
        return replace(found, skipped={**found.skipped, **dict.fromkeys(proofs, why)})
    issues = discreet(corpus, list(_failures(corpus, learn)))
    return replace(found, issues=ranked((*found.issues, *issues)), gates=(*found.gates, *proofs))


def _failures(corpus: Corpus, learn: Learn) -> Iterator[Issue]:
    """Rows that do not fit are left to `cut_answer`, wrong answers to those who learn from them."""
    assert corpus.tokenizer is not None, "only where a model is named"
    right = [replace(row, completions=tuple(one for one in row.completions if one.score > 0)) for row in corpus.rows]
    rows = [row for row in right if row.completions]
    rendered = list(render_all(rows, corpus.tokenizer, max_length=corpus.max_length, learn=learn))
    whole = [at for at, row in enumerate(rendered) if not any(one.cut for one in row)]
    yield from gate(
        [rows[at] for at in whole],
        [rendered[at] for at in whole],
        corpus.tokenizer,
        stop=ends(corpus.tokenizer),
        learn=learn,
    )
