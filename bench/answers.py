"""`python bench/answers.py`: what asking a model costs, beside transformers doing the same in padded batches.

Choosing: each of banking77's test rows gets the likeliest of 77 labels; the other side scores every label after every
row with one padded forward a batch. Writing: prompts under one instruction are continued greedily; the other side calls
`generate`. Both compute in the same number format on the same threads. The other side costs the same a row however many
there are, so it is asked a few of them, and the page says how many. Writes docs/benchmarks.md between its marks.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import marked
import torch
from asking import RATE_ROWS, TOLD, Clock, Timed
from environment import machine
from limit import rate
from luthier_side import CLIP, LR, OPTIONS, micro_batches
from prepare import RECIPES, model_folder, shape_of
from transformers import AutoModelForCausalLM, PreTrainedModel

from luthier.data.read import ReadOptions, read
from luthier.data.render import continuations, render_all
from luthier.evaluate.answer import pick, write
from luthier.evaluate.question import Question, ask
from luthier.evaluate.run import silent
from luthier.evaluate.task import EvaluateOptions
from luthier.methods.lora import LoRA
from luthier.model.accept import accept
from luthier.model.load import Model, ModelOptions, load
from luthier.objectives.sft import SFT
from luthier.train.optim import optimizer_of
from luthier.train.step import update
from luthier.types import Example

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
SCRIPT = "bench/answers.py"
WRITING = ReadOptions(
    input="mr", output="ref", instruction="Say these facts about a restaurant in one or two sentences."
)
BUDGET = EvaluateOptions().token_budget
CHOICE_BAR, WRITING_BAR = 20.0, 3.0
COLUMNS = ("", "rows", "seconds", "milliseconds a row", "times as fast", *TOLD)


def main() -> None:
    """Measures both and writes the page."""
    asked = arguments()
    torch.set_num_threads(asked.threads)
    here, folder = machine(), model_folder(asked.model)
    model = load(ModelOptions(str(folder)))
    accept(model)
    peer = plain(folder, model)
    clock = Clock(shape_of(model), model.tokenizer)
    chosen = choosing(asked, clock, model, peer)
    written = writing(asked, clock, model, peer)
    alone = rate(clock.shape, rows=RATE_ROWS, dtype=model.dtype)
    command = shlex.join(["python", SCRIPT, *sys.argv[1:]])
    head = f"`{command}` on {here.processor}, {asked.threads} threads, {str(model.dtype).removeprefix('torch.')}; "
    marked.write(
        PAGE, [f"{head}load before the run {here.load:.1f}.", "", *page(chosen, written, alone)], script=SCRIPT
    )


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = Path(os.environ.get("LUTHIER_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data, help="folder with banking77/ and e2e-cleaned/")
    parser.add_argument("--model", default="smollm2-135m", help="alias, GGUF file or folder")
    parser.add_argument("--rows", type=int, default=3080, help="test rows that we choose for")
    parser.add_argument("--untuned", type=int, default=200, help="of them, those asked of the untuned model as well")
    parser.add_argument("--steps", type=int, default=60, help="steps of tuning before the others are asked")
    parser.add_argument("--peer-rows", type=int, default=4, help="rows that the other side chooses for")
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--peer-prompts", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32, help="sequences of the other side's padded batch")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser.parse_args()


def plain(folder: Path, model: Model) -> PreTrainedModel:
    """The network as transformers opens it, for its own padded batches."""
    made: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=model.dtype, attn_implementation="sdpa")
    return made.eval()


def choosing(asked: argparse.Namespace, clock: Clock, model: Model, peer: PreTrainedModel) -> list[Timed]:
    """The other side, ours untuned on the same rows and more, and ours tuned on all."""
    options = RECIPES["b"].options
    train = read(str(asked.data / "banking77/train.csv"), options)
    test = read(str(asked.data / "banking77/test.csv"), options, labels=train.labels).examples[: asked.rows]
    labels = sorted({one.answer for one in train.examples})
    questions = ask(test, model.tokenizer, longest=model.max_length)
    theirs = scored(clock, peer, model, questions[: asked.peer_rows], labels, asked.batch)
    same = ours(clock, "untuned, the same rows", model, questions[: asked.peer_rows], labels)
    untuned = ours(clock, "untuned", model, questions[: asked.untuned], labels)
    tune(model, list(train.examples), asked.steps)
    return [theirs, same, untuned, ours(clock, f"after {asked.steps} steps", model, questions, labels)]


def ours(clock: Clock, what: str, model: Model, questions: Sequence[Question], labels: Sequence[str]) -> Timed:
    """The likeliest label of each row."""

    def picked() -> list[str]:
        found = pick(model, questions, labels, budget=BUDGET, progress=silent)
        return [one.text for one in found]

    return clock.timed(f"Luthier, {what}", questions, picked)


@torch.no_grad()
def scored(
    clock: Clock, peer: PreTrainedModel, model: Model, questions: Sequence[Question], labels: Sequence[str], batch: int
) -> Timed:
    """Every label after every row, a padded batch at a time; the head meets the labels' tokens alone."""

    def best(question: Question) -> str:
        candidates = continuations(question.example, labels, model.tokenizer)
        sums = [
            value
            for a in range(0, len(candidates), batch)
            for value in label_sums(peer, question.prompt.tolist(), candidates[a : a + batch])
        ]
        return labels[max(range(len(labels)), key=sums.__getitem__)]

    return clock.timed("transformers, every label scored", questions, lambda: [best(one) for one in questions])


def label_sums(peer: PreTrainedModel, prompt: list[int], candidates: Sequence[Sequence[int]]) -> list[float]:
    """Log-probability of each candidate after the prompt."""
    rows = [torch.tensor([*prompt, *one]) for one in candidates]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    hidden = peer.base_model(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state
    logits = peer.lm_head(hidden[:, len(prompt) - 1 : -1]).float().log_softmax(-1)
    return [
        float(logits[at, torch.arange(len(one)), torch.tensor(list(one))].sum()) for at, one in enumerate(candidates)
    ]


def tune(model: Model, rows: list[Example], steps: int) -> None:
    """Some steps of LoRA, so that the model knows its labels as one that is evaluated does."""
    sequences = [
        row[0].sequence
        for row in render_all(rows[:: max(1, len(rows) // (16 * steps))], model.tokenizer, max_length=None)
    ]
    LoRA().attach(model.network, dtype=model.dtype, seed=0)
    model.network.train()
    optimizer = optimizer_of(model.network, OPTIONS)
    for step in range(steps):
        batches = micro_batches(sequences[step * 16 : (step + 1) * 16])
        update(model, SFT(), batches, optimizer, lr=5 * LR, clip=CLIP)
    model.network.eval()


def writing(asked: argparse.Namespace, clock: Clock, model: Model, peer: PreTrainedModel) -> list[Timed]:
    """Ours on all prompts, the other side on some before and some after; by an untuned model."""
    examples = read(str(asked.data / "e2e-cleaned/test.csv"), WRITING).examples
    kept = list({one.question: one for one in examples}.values())[: asked.prompts]
    untuned = load(ModelOptions(str(model_folder(asked.model))))
    accept(untuned)
    questions = ask(kept, untuned.tokenizer, longest=untuned.max_length)
    half = asked.peer_prompts // 2

    def written() -> list[str]:
        said = write(untuned, questions, max_new_tokens=asked.new_tokens, budget=BUDGET, progress=silent)
        return [one.text for one in said]

    def theirs(some: Sequence[Question]) -> Timed:
        return clock.timed("transformers, generate", some, lambda: continued(peer, untuned, some, asked))

    first, mine = theirs(questions[:half]), clock.timed("Luthier", questions, written)
    return [first.joined(theirs(questions[half : asked.peer_prompts])), mine]


@torch.no_grad()
def continued(
    peer: PreTrainedModel, model: Model, questions: Sequence[Question], asked: argparse.Namespace
) -> list[str]:
    """`generate` on left-padded batches, prompts of like length together."""
    answers: dict[int, str] = {}
    pad = model.tokenizer.pad_token_id or min(model.stop)
    order = sorted(range(len(questions)), key=lambda at: len(questions[at].prompt))
    for a in range(0, len(order), asked.batch):
        some = [questions[at].prompt.tolist() for at in order[a : a + asked.batch]]
        width = max(map(len, some))
        tokens = torch.tensor([[pad] * (width - len(row)) + row for row in some])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in some])
        out = peer.generate(tokens, attention_mask=mask, max_new_tokens=asked.new_tokens, do_sample=False,
                            eos_token_id=sorted(model.stop), pad_token_id=pad)  # type: ignore[operator]  # fmt: skip
        texts = model.tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)
        answers |= {at: str(text).strip() for at, text in zip(order[a : a + asked.batch], texts, strict=True)}
    return [answers[at] for at in sorted(answers)]


def page(chosen: Sequence[Timed], written: Sequence[Timed], alone: float) -> Iterator[str]:
    """The generated part, line by line; alone: FLOP/s of products alone."""
    for title, some, bar in (("choosing among 77 labels", chosen, CHOICE_BAR), ("writing", written, WRITING_BAR)):
        theirs, best = some[0], some[-1]
        times = theirs.each / best.each
        word = "reached" if times >= bar else "**not reached**"
        yield f"**{title}**: {times:.1f} times as fast a row; asked: {bar:g}, {word}. {alike(some)}"
        yield ""
        yield marked.row(*COLUMNS)
        yield marked.row(*["---"] * len(COLUMNS))
        for one in some:
            yield marked.row(one.what, f"{one.rows:,}", f"{one.seconds:.1f}", f"{one.each * 1000:.0f}",
                             f"{theirs.each / one.each:.1f}", *one.told(alone))  # fmt: skip
        yield ""
    yield f"Products alone, at {RATE_ROWS:,} rows: {alone / 1e9:.0f} GFLOP/s."


def alike(some: Sequence[Timed]) -> str:
    """How many answers are the same on both sides."""
    theirs, mine = some[0].answers, some[1].answers
    same = sum(a == b for a, b in zip(theirs, mine, strict=False))
    return (
        f"The same answer to {same} of {min(len(theirs), len(mine))} rows that both were asked; the median answer "
        + (f"has {median(len(text) for text in mine):.0f} characters.")
    )


if __name__ == "__main__":
    main()
