"""An export is the model that was trained, or it is no export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import peft
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from tuned_runs import CHATML, asked, logits, lora, tuned_network, write_base, write_run

from luthier.data.template import DEFAULT_TEMPLATE
from luthier.errors import GateError, RunError
from luthier.export import Adapter, Format, Merged, Tolerance, Trial, export, formats, prove
from luthier.methods import IA3, BitFit, Bottleneck, Freeze, Full, LoRA, Method
from luthier.methods.tuned import open_adapter
from luthier.model.load import ModelOptions
from luthier.run.targets import target

TRIAL = Trial(rows=6, answers=3, max_new_tokens=12)
METHODS: dict[str, Callable[[], Method]] = {
    "lora": lora,
    "full": Full,
    "freeze": lambda: Freeze(layers=1),
    "ia3": IA3,
    "bitfit": BitFit,
}


@pytest.fixture(params=["llama", "gpt2"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_base(tmp_path / "base", family=request.param)


def test_the_adapter_is_what_peft_loads(base: Path, tmp_path: Path) -> None:
    made = export(write_run(tmp_path / "run", base, lora()), tmp_path / "out", format=Adapter(), trial=TRIAL)
    config = peft.PeftConfig.from_pretrained(str(made.folder))
    opened = AutoModelForCausalLM.from_pretrained(config.base_model_name_or_path, dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(opened, str(made.folder))
    torch.testing.assert_close(logits(theirs), logits(tuned_network(base, lora())), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_merged_is_what_transformers_loads(base: Path, tmp_path: Path, name: str) -> None:
    method = METHODS[name]()
    run = write_run(tmp_path / "run", base, method)
    made = export(run, tmp_path / "out", format=Merged("float32"), trial=TRIAL)
    opened = AutoModelForCausalLM.from_pretrained(made.folder)
    assert opened.dtype == torch.float32
    torch.testing.assert_close(logits(opened), logits(tuned_network(base, method)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", [Bottleneck(width=6), BitFit(), IA3()], ids=lambda one: type(one).__name__)
def test_the_adapter_of_a_method_without_a_place_in_a_model_opens_on_its_base(
    base: Path, tmp_path: Path, method: Method
) -> None:
    made = export(write_run(tmp_path / "run", base, method), tmp_path / "out", format=Adapter(), trial=TRIAL)
    assert made.parity.same == TRIAL.answers
    assert target(str(made.folder)).base == str(base)
    assert target(f"own/other+{made.folder}").base == "own/other"
    opened = open_adapter(made.folder, ModelOptions(str(base), dtype="float32", device="cpu"))
    opened.network.set_attn_implementation("sdpa")
    torch.testing.assert_close(logits(opened.network), logits(tuned_network(base, method)), rtol=0, atol=1e-4)


def test_what_no_weight_can_hold_is_not_merged(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), Bottleneck(width=6))
    with pytest.raises(RunError, match=r"Bottleneck learns cannot be folded.*format adapter"):
        export(run, tmp_path / "out", format=Merged(), trial=TRIAL)
    assert not (tmp_path / "out").exists()


def test_a_bias_that_an_architecture_has_no_place_for_is_not_merged(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", family="qwen2")
    run = write_run(tmp_path / "run", base, BitFit(everywhere=True))
    with pytest.raises(RunError, match=r"no place for .*bias.*format adapter"):
        export(run, tmp_path / "out", format=Merged(), trial=TRIAL)
    export(write_run(tmp_path / "own", base, BitFit()), tmp_path / "out", format=Merged("float32"), trial=TRIAL)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float16"])
def test_merged_is_written_in_the_bases_own_dtype(tmp_path: Path, dtype: str) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base", dtype=dtype), lora())
    made = export(run, tmp_path / "out", format=Merged(), trial=TRIAL)
    tensors = load_file(made.folder / "model.safetensors")
    assert {str(tensor.dtype) for tensor in tensors.values()} == {f"torch.{dtype}"}
    assert made.parity.mean <= {"float32": 1e-4, "float16": 0.01, "bfloat16": 0.1}[dtype]


def test_weights_that_were_tuned_themselves_are_kept_in_float32_and_need_no_base(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    run = write_run(tmp_path / "run", base, Full())
    shutil.rmtree(base)
    made = export(run, tmp_path / "out", format=Merged(), trial=TRIAL)
    assert AutoModelForCausalLM.from_pretrained(made.folder).dtype == torch.float32


def test_every_greedy_answer_is_the_same_or_parts_at_a_tie(base: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", base, lora())
    parity = export(run, tmp_path / "out", format=Merged("float32"), trial=TRIAL).parity
    assert (parity.rows, parity.answers, parity.same, parity.ties) == (6, 3, 3, 0)
    assert parity.base is not None
    assert parity.base > 100 * parity.mean
    assert "3 of 3 greedy answers are the same" in parity.sentence


@pytest.mark.parametrize("format", [Adapter(), Merged()], ids=lambda one: one.name)
def test_template_stop_tokens_and_settings_travel_along(tmp_path: Path, format: Format) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), lora())
    made = export(run, tmp_path / "out", format=format, trial=TRIAL)
    tokenizer = AutoTokenizer.from_pretrained(made.folder)
    settings = json.loads((made.folder / "generation_config.json").read_text())
    assert tokenizer.chat_template == CHATML
    assert set(settings["eos_token_id"]) == set(tokenizer.convert_tokens_to_ids(["<|end|>", "<|im_end|>"]))
    assert not settings.get("do_sample")
    assert "auto_map" not in (made.folder / "README.md").read_text()


@pytest.mark.parametrize("with_tokenizer", [True, False])
def test_a_base_without_a_template_leaves_with_the_one_it_was_trained_with(
    tmp_path: Path, with_tokenizer: bool
) -> None:
    base = write_base(tmp_path / "base", template=None)
    run = write_run(tmp_path / "run", base, lora(), with_tokenizer=with_tokenizer)
    made = export(run, tmp_path / "out", format=Merged(), trial=TRIAL)
    assert AutoTokenizer.from_pretrained(made.folder).chat_template == DEFAULT_TEMPLATE


def test_everyone_may_read_the_files(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), lora())
    made = export(run, tmp_path / "out", format=Merged(), trial=TRIAL)
    assert len({path.stat().st_mode for path in made.folder.iterdir()}) == 1


def perturbed_weight(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    name = next(name for name in tensors if "mlp.up_proj" in name)
    tensors[name] = tensors[name] * 1.5
    save_file(tensors, file, metadata={"format": "pt"})


def one_changed_element(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    name = next(name for name in tensors if "mlp.up_proj" in name)
    tensors[name].view(-1)[5] += 8
    save_file(tensors, file, metadata={"format": "pt"})


def lost_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def default_system_prompt(folder: Path) -> None:
    file = folder / "chat_template.jinja"
    file.write_text("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" + file.read_text())


def lost_system_prompt(folder: Path) -> None:
    file = folder / "chat_template.jinja"
    file.write_text(file.read_text().replace("in messages %}", "in messages if message.role != 'system' %}"))


def another_stop(folder: Path) -> None:
    file = folder / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": 5}))


def lost_settings(folder: Path) -> None:
    (folder / "generation_config.json").unlink()


def another_vocabulary(folder: Path) -> None:
    file = folder / "tokenizer.json"
    tree = json.loads(file.read_text())
    vocabulary = tree["model"]["vocab"]
    vocabulary["a"], vocabulary["e"] = vocabulary["e"], vocabulary["a"]
    file.write_text(json.dumps(tree))


def lost_weights(folder: Path) -> None:
    next(folder.glob("*.safetensors")).unlink()


def refusing_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no') }}")


DEFECTS = [
    (refusing_template, "chat template refuses it"),
    (perturbed_weight, "log-probabilities are not those of the tuned model"),
    (one_changed_element, "log-probabilities are not those of the tuned model"),
    (lost_template, "no chat template"),
    (default_system_prompt, "otherwise than it was trained"),
    (lost_system_prompt, "otherwise than it was trained"),
    (another_stop, "generation stops on"),
    (lost_settings, "does not open"),
    (another_vocabulary, "otherwise than it was trained"),
    (lost_weights, "does not open"),
]


@pytest.mark.parametrize("format", [Adapter(), Merged()], ids=lambda one: one.name)
@pytest.mark.parametrize(("defect", "words"), DEFECTS, ids=[defect.__name__ for defect, _ in DEFECTS])
def test_a_planted_defect_is_found(
    exported: dict[str, tuple[Path, Path]], tmp_path: Path, format: Format, defect: Callable[[Path], None], words: str
) -> None:
    run, whole = exported[format.name]
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in whole.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    defect(copy)
    with pytest.raises(GateError, match=words):
        prove(run, copy, format=format, trial=TRIAL)


@pytest.mark.parametrize("format", [Adapter(), Merged()], ids=lambda one: one.name)
def test_what_is_whole_is_proved_again(exported: dict[str, tuple[Path, Path]], format: Format) -> None:
    run, whole = exported[format.name]
    assert prove(run, whole, format=format, trial=TRIAL).same == TRIAL.answers


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """A run and an export of it by the format's name."""
    folder = tmp_path_factory.mktemp("exported")
    run = write_run(folder / "run", write_base(folder / "base"), lora())
    made = {name: export(run, folder / name, format=kind(), trial=TRIAL) for name, kind in formats.items()}
    return {name: (run, one.folder) for name, one in made.items()}


def test_a_merge_that_was_forgotten_passes_no_tolerance(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), lora())

    class Forgetful(Merged):
        """Allows anything, and writes the base."""

        def write(self, model, tuned, folder):  # type: ignore[no-untyped-def]
            for name, parameter in model.network.named_parameters():
                if "lora_b" in name:
                    parameter.data.zero_()
            Merged.write(self, model, tuned, folder)

        def tolerance(self, folder: Path) -> Tolerance:
            return Tolerance(1e9, 1e9, 1e9)

    with pytest.raises(GateError, match="rounding swallows what was learned"):
        export(run, tmp_path / "out", format=Forgetful(), trial=TRIAL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "run"]


def test_learning_that_rounding_swallows_is_refused_and_float32_keeps_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), replace(lora(), alpha=0.06))
    with pytest.raises(GateError, match="export float32"):
        export(run, tmp_path / "out", format=Merged("bfloat16"), trial=TRIAL)
    assert not (tmp_path / "out").exists()
    export(run, tmp_path / "out", format=Merged("float32"), trial=TRIAL)


def test_an_adapter_that_has_learned_nothing_yet_is_exported(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), LoRA(rank=2, alpha=1e-300))
    assert export(run, tmp_path / "out", format=Merged(), trial=TRIAL).parity.base == 0


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), lora())
    out = tmp_path / "out"
    out.mkdir()
    export(run, out, format=Adapter(), trial=TRIAL)
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(RunError, match="never overwrites"):
        export(run, out, format=Merged(), trial=TRIAL)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_a_whole_model_is_no_adapter(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_base(tmp_path / "base"), Full())
    with pytest.raises(RunError, match="export the format merged"):
        export(run, tmp_path / "out", format=Adapter(), trial=TRIAL)
    assert not (tmp_path / "out").exists()


def test_a_run_without_test_rows_is_proved_on_the_rows_it_was_trained_on(tmp_path: Path) -> None:
    run = without_predictions(tmp_path, train=str(rows_file(tmp_path)), input="q", output="a", validation=0.1)
    made = export(run, tmp_path / "out", format=Adapter(), trial=TRIAL)
    assert made.parity.rows == TRIAL.rows


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "asking the network or importing"),
        ({"train": "gone.csv"}, "there is no such file"),
        ({"train": "hub:someone/set"}, "asking the network or importing"),
        ({"train": "rows.csv", "format": "this:that"}, "asking the network or importing"),
        ({"train": "rows.csv", "limit": "few"}, "limit"),
    ],
)
def test_without_any_rows_it_is_said_why_and_how(tmp_path: Path, data: dict[str, str], words: str) -> None:
    rows_file(tmp_path)
    if data.get("train") == "rows.csv":
        data = {**data, "train": str(tmp_path / "rows.csv")}
    run = without_predictions(tmp_path, **data)
    with pytest.raises(RunError, match=f"{words}.*examples=") as raised:
        export(run, tmp_path / "out", format=Adapter(), trial=TRIAL)
    assert "evaluate the run again" not in str(raised.value)


def without_predictions(folder: Path, **data: object) -> Path:
    """A run that had no test rows."""
    run = write_run(folder / "run", write_base(folder / "base"), lora())
    (run / "predictions.jsonl").unlink()
    tree = yaml.safe_load((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(yaml.safe_dump(tree | {"data": data}))
    return run


def rows_file(folder: Path) -> Path:
    """Nine questions with answers."""
    (folder / "rows.csv").write_text("q,a\n" + "".join(f"What is {at}?,answer {at}\n" for at in range(9)))
    return folder / "rows.csv"


def test_rows_can_be_handed_in(tmp_path: Path) -> None:
    run = without_predictions(tmp_path)
    made = export(run, tmp_path / "out", format=Adapter(), trial=TRIAL, examples=[asked("What?", "This.")])
    assert made.parity.rows == 1
    with pytest.raises(GateError, match="none of 1 rows fits"):
        export(run, tmp_path / "two", format=Adapter(), examples=[asked("What? " * 90, "This.")])


def test_the_readme_names_the_base_an_adapter_needs(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    made = export(write_run(tmp_path / "run", base, lora()), tmp_path / "out", format=Adapter(), trial=TRIAL)
    readme = (made.folder / "README.md").read_text()
    assert f"**Needs its base:** `{base}`" in readme
    assert made.parity.sentence in readme
    assert made.bytes > 1000
