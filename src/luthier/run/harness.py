"""`luthier evaluate RUN --lm-eval TASKS`: lm-evaluation-harness on a run, for those who have its data.

A thin bridge to its own Hugging Face adapter; what it measures and how is its own. Its tasks fetch their data from the
hub. Not imported unless asked for: the package is the extra `lm-eval`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from importlib.util import find_spec

import torch

from luthier.errors import RecipeError
from luthier.model.forward import evaluating
from luthier.run.targets import target


def harness(targets: Sequence[str], tasks: Sequence[str], *, as_json: bool) -> int:
    """Runs the harness's tasks on each target, and prints its own table or, for machines, its results alone.

    Raises RecipeError where no task is named or the package is not installed.
    """
    named = [task.strip() for task in tasks if task.strip()]
    if not named:
        raise RecipeError("--lm-eval names no task; commas between several: --lm-eval hellaswag,arc_easy")
    if find_spec("lm_eval") is None:
        raise RecipeError("--lm-eval needs lm-evaluation-harness: pip install 'luthier[lm-eval]'")
    found: dict[str, object] = {}
    for name in targets:
        # What the harness prints on its way would spoil the JSON.
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            results, table = _asked(name, named)
        found[name] = results
        if not as_json:
            print(f"{name}\n{table}")
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=1, default=str))
    return 0


def _asked(name: str, tasks: Sequence[str]) -> tuple[object, str]:
    """The harness's results for one target, and the same as its own table."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.utils import make_table

    model = target(name).open()
    # The harness pads and calls the network itself, so it gets the attention that transformers comes with.
    model.network.set_attn_implementation(model.plain)
    outside = HFLM(
        pretrained=model.network,
        tokenizer=model.tokenizer,
        max_length=model.max_length,
        batch_size=8,
        mixed_precision_dtype=None if model.dtype == torch.float32 else model.dtype,
    )
    with evaluating(model):
        made = simple_evaluate(model=outside, tasks=list(tasks))
    return made["results"], str(make_table(made))
