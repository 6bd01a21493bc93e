"""GGUF files: unpacked once into a cached folder of bfloat16 safetensors, with tokenizer and configuration.

A folder in the cache is named by the SHA-256 of its GGUF file, appears by one rename when it is whole, and is opened
only if every file still has the hash its manifest says; a damaged one is converted again. Two processes that convert
one file at once both succeed, and one of the two results stays. Nothing here runs a quantised model.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from gguf import GGUFReader
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel, PreTrainedTokenizerBase

from luthier.errors import ModelError

CONVERSION = 1
"""Raised whenever the same GGUF file would convert to something else."""
MANIFEST = "manifest.json"

DIGIT_BY_DIGIT = frozenset({"codeshell", "command-r", "exaone", "minerva-7b", "refact", "smollm", "starcoder"})
"""Values of `tokenizer.ggml.pre` whose vocabulary splits off every digit before words are cut. Source: llama.cpp,
llama-vocab.cpp, where transformers 5.23 takes them for GPT-2's splitting (and "\\n\\n1" then has other tokens)."""
AS_GPT2 = frozenset({"", "default", "gpt-2", "jais", "mpt", "olmo", "trillion"})
"""Values whose vocabulary is split by GPT-2's expression, as transformers does."""


def cache_folder() -> Path:
    """Where converted models live: `$LUTHIER_CACHE`, else the platform's folder for what may be deleted."""
    if chosen := os.environ.get("LUTHIER_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "luthier"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "luthier"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "luthier"


def converted(file: Path) -> Path:
    """The folder that holds a GGUF file's model in the Hugging Face layout, made on first use.

    Raises ModelError if transformers cannot read the file's architecture, or its text splitting is unknown.
    """
    folder = cache_folder() / "gguf" / f"{file.stem[:64]}-{sha256(file)[:32]}-{CONVERSION}"
    if not intact(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".converting-") as scratch:
            made = Path(scratch) / "model"
            made.mkdir()
            convert(file, made)
            _seal(made)
            place(made, folder, scratch=Path(scratch))
    return folder


def convert(file: Path, folder: Path) -> None:
    """Writes a GGUF file's model, tokenizer and configuration into an empty folder; raises ModelError."""
    try:
        with _alone(file) as only:
            tokenizer = AutoTokenizer.from_pretrained(
                str(only.parent), gguf_file=only.name, local_files_only=True, trust_remote_code=False
            )
            network = AutoModelForCausalLM.from_pretrained(
                str(only.parent),
                gguf_file=only.name,
                dtype=torch.bfloat16,
                quantization_config=GgufConfig(dequantize=True),
                local_files_only=True,
                trust_remote_code=False,
            )
    except (ValueError, LookupError, OSError, RuntimeError, struct.error) as error:
        raise ModelError(f"{file}: transformers cannot read this GGUF file ({error})") from error
    _split_as_trained(tokenizer, file)
    tokenizer.model_max_length = network.config.max_position_embeddings
    tokenizer.save_pretrained(folder)
    _forget_quantisation(network, file)
    network.save_pretrained(folder)


def sha256(file: Path) -> str:
    """Hex SHA-256 of a file; about 0.6 s a gigabyte where the processor has the instructions."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def intact(folder: Path) -> bool:
    """Whether every file that the folder's manifest lists is there with its hash."""
    try:
        listed: dict[str, str] = json.loads((folder / MANIFEST).read_text())["sha256"]
        return all(sha256(folder / name) == digest for name, digest in listed.items())
    except (OSError, ValueError, KeyError):
        return False


def place(made: Path, folder: Path, *, scratch: Path) -> None:
    """Renames a whole folder to its final name; what another process placed there first stays if it is intact."""
    if folder.exists() and not intact(folder):
        with contextlib.suppress(FileNotFoundError):
            folder.rename(scratch / "damaged")
    try:
        made.rename(folder)
    except OSError:
        # Another process placed its own first; a rename never replaces a folder that holds files.
        if not intact(folder):
            raise
        shutil.rmtree(made)


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[Path]:
    """The file in a folder of its own: transformers reads configurations and templates that lie beside it, too."""
    with tempfile.TemporaryDirectory(prefix="luthier-") as folder:
        only = Path(folder) / "model.gguf"
        try:
            only.symlink_to(file.resolve())
        except OSError:  # Windows lets few users make links
            shutil.copyfile(file, only)
        yield only


def _split_as_trained(tokenizer: PreTrainedTokenizerBase, file: Path) -> None:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel):
        return
    field = GGUFReader(file).get_field("tokenizer.ggml.pre")
    splitting = str(field.contents()) if field else ""
    if splitting in DIGIT_BY_DIGIT:
        digits = pre_tokenizers.Digits(individual_digits=True)
        words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    elif splitting not in AS_GPT2:
        raise ModelError(
            f"{file}: its text splitting {splitting!r} is unknown here, and the wrong one gives other tokens than it "
            "was trained on; use the model's safetensors folder or hub id instead"
        )


def _forget_quantisation(network: PreTrainedModel, file: Path) -> None:
    for owner, name in ((network, "hf_quantizer"), (network.config, "quantization_config")):
        if hasattr(owner, name):
            delattr(owner, name)
    network.config._name_or_path = file.stem


def _seal(folder: Path) -> None:
    digests = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps({"conversion": CONVERSION, "sha256": digests}, indent=2) + "\n")
    for path in folder.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
