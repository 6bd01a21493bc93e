"""What a tokenizer would make of the texts: chat markup inside them, and answers that do not fit.

Not here: how many tokens the texts have (`lengths`), and the proofs that rows are rendered as they are served (`gate`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
from transformers import PreTrainedTokenizerBase

from luthier.checks.check import Corpus
from luthier.checks.turns import around, said
from luthier.data.render import Rendered, render, render_all
from luthier.data.template import Chat
from luthier.errors import DataError, GateError
from luthier.types import Example, Issue

MARKUP: Final = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|startoftext|>", "<|im_sep|>", "<|eot_id|>", "<|eom_id|>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>", "<|end_of_text|>", "<|python_tag|>"),
    *("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>", "<|end|>", "<|eot|>", "<|header_start|>"),
    *("<|start|>", "<|message|>", "<|channel|>", "<|return|>", "<|endofprompt|>", "<|fim_prefix|>", "<|fim_middle|>"),
    *("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>"),
    *("<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>", "<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    *(
        "<｜User｜>",
        "<｜Assistant｜>",
        "<｜begin▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        "<|fim_suffix|>",
        "<|header_end|>",
    ),
    *("### Instruction:", "### Response:", "<fim_prefix>", "<fim_middle>", "<fim_suffix>"),
)
"""What templates of well-known model families write around turns."""
_TWO_FACED: Final = frozenset({"<s>", "</s>"})
"""Also struck-through text in HTML: told of where no tokenizer has them, but not flagged."""


def special_tokens(corpus: Corpus) -> Iterator[Issue]:
    """Rows with chat markup in a text; one Issue a row.

    A special token of the model's own is read as the control token itself. Markup of other families (MARKUP) is looked
    for with or without a tokenizer: it was left by a template that had been applied before.
    """
    own = frozenset(_special(corpus.tokenizer)) if corpus.tokenizer is not None else frozenset[str]()
    marks = sorted({*own, *MARKUP}, key=lambda mark: (-len(mark), mark))
    pattern = re.compile("|".join(map(re.escape, marks)))
    for row in corpus.each(corpus.rows, "chat markup"):
        hits = [(one, found) for one in said(row) for found in pattern.finditer(one.text)]
        if hits:
            one, found = next((hit for hit in hits if hit[1][0] in own), hits[0])
            flagged = any(hit[1][0] in own or hit[1][0] not in _TWO_FACED for hit in hits)
            more = f", and {len(hits) - 1} more" if len(hits) > 1 else ""
            what = "which the model reads as a control token" if found[0] in own else "markup of a chat template"
            yield Issue(
                check="special_tokens",
                examples=(row.id,),
                severity=0.7 if found[0] in own else 0.5 if flagged else 0.2,
                flagged=flagged,
                why=f"{one.where} of {row.id} holds {found[0]!r}, {what}, in {around(one.text, *found.span())!r}{more}",
                remedy="take it out, or give the conversation as messages so that the template writes its own",
            )


def cut_answer(corpus: Corpus) -> Iterator[Issue]:
    """Rows whose answer does not fit in `max_length`, with how much of it is lost; one Issue a row.

    Rendered as for training. Rows so short that no tokenizer of bytes could cut them are not rendered; of more than
    `options.sample` others a fixed sample is, and says so. A row that cannot be rendered has an Issue that says why.
    """
    if corpus.tokenizer is None or corpus.max_length is None:
        return
    long = _may_be_cut(corpus, corpus.tokenizer, corpus.max_length)
    places = corpus.sampled(long)
    note = f" (in a sample of {len(places):,} of {len(long):,} long rows)" if len(places) < len(long) else ""
    rows = [corpus.rows[at] for at in places]
    for row, rendered in zip(rows, _all_rendered(corpus, rows, corpus.tokenizer), strict=True):
        if isinstance(rendered, str):
            remedy = "mend the row, or choose a model whose template takes it"
            yield Issue("cut_answer", (row.id,), 0.8, True, f"no answer can be measured: {rendered}", remedy)
        elif any(one.cut for one in rendered):
            yield _cut(row.id, max(rendered, key=lambda one: one.cut), corpus.max_length, note)


def _special(tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """Its special tokens, but for those that are also plain words or marks."""
    added = (str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special)
    for token in {*map(str, tokenizer.all_special_tokens), *added}:
        if len(token) > 2 and not token.isalnum():
            yield token


def _cut(row: str, rendered: Rendered, max_length: int, note: str) -> Issue:
    kept = rendered.sequence.supervised
    learned = kept + rendered.cut
    share = rendered.cut / learned
    lost = "the whole answer" if not kept else f"{share:.0%} of its answer"
    return Issue(
        check="cut_answer",
        examples=(row,),
        severity=round(0.5 + 0.4 * share, 3),
        flagged=True,
        why=f"{row} loses {lost} ({rendered.cut:,} of {learned:,} learned tokens) at max_length={max_length:,}, its "
        f"prompt having {rendered.prompt:,} tokens{note}",
        remedy="raise max_length, or shorten the row; until then it is left out of training",
    )


def _may_be_cut(corpus: Corpus, tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[int]:
    """Places of rows that have more bytes than `max_length`: a token is a byte at least, unless text is normalised."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    plain = backend is not None and getattr(backend, "normalizer", None) is None
    around_turns: dict[tuple[str, ...], int] = {}
    sizes = np.zeros(len(corpus.rows), np.int64)
    for at, row in enumerate(corpus.each(corpus.rows, "length of rows")):
        texts = [one.text for one in said(row)]
        if row.tools or not (plain or all(text.isascii() for text in texts)):
            sizes[at] = max_length + 1
            continue
        kind = tuple(turn.role for turn in (*row.prompt, *row.completions[0].messages))
        if kind not in around_turns:
            around_turns[kind] = _markup(row, tokenizer)
        sizes[at] = sum(len(text.encode(errors="surrogatepass")) for text in texts) + around_turns[kind]
    return [int(at) for at in np.flatnonzero(sizes > max_length)]


def _markup(row: Example, tokenizer: PreTrainedTokenizerBase) -> int:
    """Bytes that the template writes around a row's turns, and some to spare; beyond all bounds where it refuses it."""
    turns = (*row.prompt, *row.completions[0].messages)
    try:
        text = Chat(tokenizer, row.tools, row.id).text(turns, generation=False)
    except DataError:
        return 2**40
    said_bytes = sum(len(turn.content.strip().encode(errors="surrogatepass")) for turn in turns)
    return max(0, len(text.encode(errors="surrogatepass")) - said_bytes) + 64


def _all_rendered(
    corpus: Corpus, rows: list[Example], tokenizer: PreTrainedTokenizerBase, at_once: int = 512
) -> Iterator[tuple[Rendered, ...] | str]:
    """Each row rendered, or why it cannot be: many at once, and one by one where one of them fails."""
    for start in range(0, len(rows), at_once):
        corpus.progress("tokens of long rows", start, len(rows))
        some = rows[start : start + at_once]
        try:
            yield from list(render_all(some, tokenizer, max_length=corpus.max_length))
        except (DataError, GateError):
            yield from (_one_rendered(row, tokenizer, corpus.max_length) for row in some)


def _one_rendered(
    row: Example, tokenizer: PreTrainedTokenizerBase, max_length: int | None
) -> tuple[Rendered, ...] | str:
    try:
        return render(row, tokenizer, max_length=max_length, example_index=0)
    except (DataError, GateError) as error:
        return str(error)
