"""What is wrong with the data; each check yields Issues and changes nothing.

A check takes a Corpus and goes in `checks`; a survey counts and goes in `surveys`; a proof takes one rendered row,
goes in `proofs`, and must hold of every row before the first step (see `gate`).
"""

from collections.abc import Callable
from typing import TypeAlias

from luthier.checks.answers import boilerplate, refusal
from luthier.checks.balance import counts, imbalance, missing_label, one_label, rare_label
from luthier.checks.baselines import bar
from luthier.checks.check import Check, CheckOptions, Corpus, Survey, Table
from luthier.checks.contamination import all_rows, contamination, meaning_contamination
from luthier.checks.contradictions import contradiction
from luthier.checks.coverage import clusters, far_from_training
from luthier.checks.duplicates import (
    all_but_first,
    duplicate,
    meaning_duplicate,
    meaning_leak,
    near_duplicate,
    near_leak,
)
from luthier.checks.given import answer_in_prompt
from luthier.checks.labels import label_error
from luthier.checks.language import language_mismatch, languages
from luthier.checks.lengths import length_tables, tokens_per_word
from luthier.checks.markup import kind as markup_kind
from luthier.checks.markup import markup, without_markup
from luthier.checks.names import joined_labels, labels_alike, misspelt_label, placeholder
from luthier.checks.preference import pair_cycle, pair_equal, pair_longer, pair_position, pair_prompts
from luthier.checks.privacy import kind as value_kind
from luthier.checks.privacy import personal_data, secret
from luthier.checks.proof import Case, answer, beginning, end, serving, supervised
from luthier.checks.shares import dominant, loss_shares
from luthier.checks.shortcuts import shortcut
from luthier.checks.slices import evenness, slice_bias, slice_rates
from luthier.checks.spare import outvoted, spare_copies, spare_near
from luthier.checks.splits import few, leak, unseen
from luthier.checks.straddle import group_leak, time_leak
from luthier.checks.text import empty, invisible, mojibake, rewrite_garbled, show_nothing_unseen
from luthier.checks.tokens import cut_answer, special_tokens

Proof: TypeAlias = "Callable[[Case], str | None]"
"""Says why a rendered row cannot be trained on, or None."""

checks: dict[str, Check] = {
    "leak": Check(leak, "held-out rows that also stand in an earlier split", gate=True, drop=all_but_first),
    "near_leak": Check(near_leak, "held-out rows nearly the same as an earlier split's", drop=all_but_first),
    "contamination": Check(contamination, "training rows that stand in evaluation files", gate=True, drop=all_rows),
    "duplicate": Check(duplicate, "rows that repeat another's prompt and answer", spare=spare_copies),
    "near_duplicate": Check(near_duplicate, "rows nearly the same as another", spare=spare_near),
    "contradiction": Check(contradiction, "like prompts with answers that disagree", spare=outvoted),
    "meaning_leak": Check(
        meaning_leak, "held-out rows said in other words in an earlier split", thorough=True, needs=("wordllama",)
    ),
    "meaning_duplicate": Check(
        meaning_duplicate, "rows that say another's in other words", thorough=True, needs=("wordllama",)
    ),
    "meaning_contamination": Check(
        meaning_contamination, "evaluation rows said in other words in training", thorough=True, needs=("wordllama",)
    ),
    "few": Check(few, "held-out parts too small to tell much"),
    "unseen": Check(unseen, "held-out labels that training never shows"),
    "labels_alike": Check(labels_alike, "labels that differ in case, spacing or punctuation alone"),
    "misspelt_label": Check(misspelt_label, "rare labels one letter away from a frequent one"),
    "joined_labels": Check(joined_labels, "several labels in one cell"),
    "one_label": Check(one_label, "splits whose rows all have one label or answer"),
    "placeholder": Check(placeholder, "labels that say that there is none"),
    "rare_label": Check(rare_label, "labels with too few rows to learn them from"),
    "imbalance": Check(imbalance, "labels with far more rows than others"),
    "missing_label": Check(missing_label, "labels of training that a held-out split never asks for"),
    "dominant": Check(dominant, "few rows that carry most of the loss"),
    "slice_bias": Check(slice_bias, "labels whose rate hangs on a named column"),
    "far_from_training": Check(
        far_from_training, "held-out rows far from anything in training", thorough=True, needs=("wordllama",)
    ),
    "label_error": Check(label_error, "labels that are probably wrong", thorough=True, needs=("cleanlab", "wordllama")),
    "answer_in_prompt": Check(answer_in_prompt, "answers that stand in their own prompt"),
    "shortcut": Check(shortcut, "labels told by length, first word, source or order"),
    "group_leak": Check(group_leak, "groups with rows in several splits"),
    "time_leak": Check(time_leak, "held-out rows older than training rows"),
    "pair_equal": Check(pair_equal, "pairs whose sides say the same", drop=all_rows),
    "pair_prompts": Check(pair_prompts, "pairs whose sides answer different things"),
    "pair_longer": Check(pair_longer, "the longer side preferred"),
    "pair_cycle": Check(pair_cycle, "preferences that go in a circle"),
    "pair_position": Check(pair_position, "the side shown first preferred"),
    "empty": Check(empty, "prompts or answers with nothing to read", drop=all_rows),
    "invisible": Check(invisible, "characters that nobody sees", rewrite=show_nothing_unseen),
    "mojibake": Check(mojibake, "texts decoded in a wrong encoding", needs=("ftfy",), rewrite=rewrite_garbled),
    "markup": Check(markup, "remains of HTML", rewrite=without_markup, kind=markup_kind),
    "refusal": Check(refusal, "answers that refuse"),
    "boilerplate": Check(boilerplate, "one sentence around otherwise different answers"),
    "special_tokens": Check(special_tokens, "chat markup inside texts"),
    "cut_answer": Check(cut_answer, "answers that do not fit in the model's length"),
    "language_mismatch": Check(
        language_mismatch, "answers in another language than their prompts", thorough=True, needs=("py3langid",)
    ),
    "personal_data": Check(personal_data, "e-mail, bank, card, phone and IP numbers", kind=value_kind),
    "secret": Check(secret, "keys, tokens and passwords", kind=value_kind),
}
"""Checks of the rows by name, in the order in which they are run."""

surveys: dict[str, Survey] = {
    "counts": counts,
    "loss_shares": loss_shares,
    "slice_evenness": evenness,
    "slice_rates": slice_rates,
    "lengths": length_tables,
}
"""What is counted, by name."""

thorough_surveys: dict[str, Survey] = {
    "baselines": bar,
    "clusters": clusters,
    "languages": languages,
    "tokens_per_word": tokens_per_word,
}
"""What is counted with a model of the rows, and so not before every run."""

proofs: dict[str, Proof] = {
    "gate-supervised": supervised,
    "gate-serving": serving,
    "gate-beginning": beginning,
    "gate-answer": answer,
    "gate-end": end,
}
"""Proofs by name."""

__all__ = [
    "Check",
    "CheckOptions",
    "Corpus",
    "Proof",
    "Survey",
    "Table",
    "checks",
    "proofs",
    "surveys",
    "thorough_surveys",
]
