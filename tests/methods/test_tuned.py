"""A run folder gives back the model that was tuned, and opens nothing that its manifest does not prove."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))
from tuned_runs import STEP, asked, logits, lora, tuned_network, unshared, write_base, write_run

from luthier.batch import pack
from luthier.data.render import render
from luthier.errors import LuthierError, RunError
from luthier.methods import IA3, BitFit, Bottleneck, Freeze, Full, LoRA, Method, Peft, switched_off
from luthier.methods.tuned import find_tuned, open_tuned
from luthier.model.forward import evaluating, forward

METHODS: dict[str, Callable[[], Method]] = {
    "lora": lora,
    "dora": lambda: LoRA(rank=4, dora=True, plus=4),
    "pissa": lambda: LoRA(rank=4, init="pissa", ranks={"*.0.*": 2}),
    "peft": lambda: Peft("VERA", {"r": 64, "d_initial": 1.0}),
    "full": Full,
    "freeze": lambda: Freeze(layers=1),
    "bottleneck": lambda: Bottleneck(width=6, placement="houlsby", activation="silu"),
    "ia3": IA3,
    "bitfit": lambda: BitFit(everywhere=True),
}


@pytest.fixture(params=["llama", "gpt2"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_base(tmp_path / "base", family=request.param)


@pytest.mark.parametrize("with_tokenizer", [True, False])
@pytest.mark.parametrize("name", sorted(METHODS))
def test_what_was_learned_is_there_again(base: Path, tmp_path: Path, name: str, with_tokenizer: bool) -> None:
    method = METHODS[name]()
    run = write_run(tmp_path / "run", base, method, with_tokenizer=with_tokenizer)
    model = open_tuned(run)
    expected = logits(tuned_network(base, method))
    assert model.name == str(base)
    torch.testing.assert_close(logits(unshared(model)), expected, rtol=0, atol=1e-4)
    untuned = logits(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32))
    assert not torch.allclose(untuned, expected, atol=0.02)


def test_it_is_ready_for_the_engine(base: Path, tmp_path: Path) -> None:
    model = open_tuned(write_run(tmp_path / "run", base, lora()))
    assert model.shared, model.reason
    rows = render(asked("What?", "This."), model.tokenizer, max_length=None, example_index=0)
    with evaluating(model):
        assert forward(model, pack([row.sequence for row in rows])).logprobs.isfinite().all()
    assert not any(parameter.requires_grad for parameter in model.network.parameters())


def test_an_adapter_switched_off_is_the_base(base: Path, tmp_path: Path) -> None:
    model = open_tuned(write_run(tmp_path / "run", base, lora()))
    network = unshared(model)
    with switched_off(network):
        off = logits(network)
    assert torch.equal(off, logits(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)))


def test_a_whole_model_with_its_tokenizer_needs_no_base(base: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", base, Full())
    shutil.rmtree(base)
    assert open_tuned(run).network.num_parameters() > 0


def test_it_stops_on_the_end_of_a_turn_whether_or_not_the_tokenizer_was_saved(base: Path, tmp_path: Path) -> None:
    saved = open_tuned(write_run(tmp_path / "one", base, lora()))
    unsaved = open_tuned(write_run(tmp_path / "two", base, lora(), with_tokenizer=False))
    ends = set(saved.tokenizer.convert_tokens_to_ids(["<|end|>", "<|im_end|>"]))
    assert saved.stop == unsaved.stop == ends


def test_best_last_and_a_step_name_checkpoints(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), lora())
    places = {find_tuned(run, checkpoint=name).checkpoint for name in ("best", "last", str(STEP), f"{STEP:06d}")}
    assert places == {(run / "checkpoints" / f"{STEP:06d}").resolve()}


def test_the_best_of_a_run_that_was_never_evaluated_is_its_last(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), lora(), best=False)
    assert find_tuned(run).named == run / "last"
    assert open_tuned(run).network.num_parameters() > 0


def test_control_a_best_that_was_lost_is_not_made_up_for(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), lora(), best=False)
    os.symlink("checkpoints/000010", run / "best")
    with pytest.raises(RunError, match="there are last, 000020"):
        find_tuned(run)


def test_the_dtype_can_be_another_than_the_runs(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), lora())
    assert open_tuned(run, dtype="bfloat16").dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "words"),
    [("60", "there are last, 000020"), ("../base", "best, last or the number of a step")],
)
def test_a_checkpoint_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path, name: str, words: str) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), lora(), best=False)
    with pytest.raises(RunError, match=words):
        open_tuned(run, checkpoint=name)


def test_folders_that_are_no_run_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        open_tuned(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"has no recipe\.yaml"):
        open_tuned(tmp_path)
    (tmp_path / "recipe.yaml").write_text("model: {name: x}\nmethod: {name: lora}\n")
    with pytest.raises(RunError, match=r"luthier train --resume .* makes one"):
        open_tuned(tmp_path)


def damaged_weights(run: Path) -> None:
    file = run / "best" / "adapter_model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def added_file(run: Path) -> None:
    (run / "best" / "model.safetensors").write_bytes(b"more")


def missing_file(run: Path) -> None:
    (run / "best" / "adapter_config.json").unlink()


def missing_manifest(run: Path) -> None:
    (run / "best" / "manifest.json").unlink()


def moved_outside(run: Path) -> None:
    file = run / "best" / "adapter_model.safetensors"
    file.rename(run.parent / "weights")
    file.symlink_to(run.parent / "weights")


def link_outside(run: Path) -> None:
    (run / "best").resolve().rename(run.parent / "elsewhere")
    (run / "best").unlink()
    os.symlink("../elsewhere", run / "best")


def unknown_method(run: Path) -> None:
    change(run, "method", {"name": "magic"})


def unknown_setting(run: Path) -> None:
    change(run, "model", {"nmae": "x"})


def wrong_value(run: Path) -> None:
    change(run, "method", {"name": "lora", "rank": "wide"})


def change(run: Path, section: str, value: object) -> None:
    tree = yaml.safe_load((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(yaml.safe_dump(tree | {section: value}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damaged_weights, "adapter_model.safetensors is not the file that was saved"),
        (added_file, "model.safetensors is not in its manifest"),
        (missing_file, r"adapter_config.json is missing"),
        (missing_manifest, "no readable manifest.json"),
        (moved_outside, "outside the run folder"),
        (link_outside, "outside the run folder"),
        (unknown_method, "'magic' is not one of full, freeze, lora"),
        (unknown_setting, "'nmae' is no setting"),
        (wrong_value, r"method\.rank: .*'wide'"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_is_not_proved_is_not_opened(tmp_path: Path, damage: Callable[[Path], None], words: str) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), lora())
    damage(run)
    with pytest.raises(RunError, match=words):
        open_tuned(run)


def test_the_optimizers_state_is_not_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), lora())
    (run / "best" / "optimizer.safetensors").write_bytes(b"other moments")
    open_tuned(run)


def test_a_base_that_is_gone_is_named(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    run = write_run(tmp_path / "run", base, lora())
    shutil.rmtree(base)
    with pytest.raises(LuthierError, match=str(base)):
        open_tuned(run)
