"""The lines of Python that load a run or an export through transformers and PEFT alone.

An adapter of a method that PEFT does not have is put on its base by Luthier.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from luthier.data.template import ensure_template
from luthier.errors import RunError
from luthier.export.base import Base, base_of, bits_of
from luthier.methods.store import AdapterFiles, adapter_files
from luthier.methods.tuned import RECIPE, TOKENIZER, Tuned, find_tuned, strange_method
from luthier.model.leaf import FACTS, WEIGHTS
from luthier.model.load import stop_tokens


def use_lines(place: Path, *, checkpoint: str = "best", shown: Path | None = None) -> str:
    """Python that leaves `model` and `tokenizer` as they were tuned, without Luthier.

    For a run of a stranger's method, which is not imported, a comment that says so and how it is opened instead.
    place: a run folder, or an export. checkpoint: `best`, `last` or a step of a run. shown: the path to write
    instead of an export's own. Raises RunError for a folder that is neither.
    """
    if (place / RECIPE).is_file():
        strange = strange_method(place)
        return _of_strange(strange) if strange else _of_run(find_tuned(place, checkpoint=checkpoint))
    files = adapter_files(place)
    if files is not None:
        return _of_adapter(files, str(shown or place))
    if (place / "config.json").is_file() and (place / TOKENIZER).is_file():
        path = repr(str(shown or place))
        lines = [f"model = {AUTO}({path})", f"tokenizer = {TOKENS}({path})"]
        return _lines([*lines, *_answers_by(place, str(shown or place))])
    raise RunError(f"{place}: neither a run folder ({RECIPE}) nor an export; name one of them")


AUTO = "AutoModelForCausalLM.from_pretrained"
TOKENS = "AutoTokenizer.from_pretrained"
ASKING = "add_generation_prompt=True, return_tensors='pt', return_dict=True"


def _of_adapter(files: AdapterFiles, path: str) -> str:
    config = files.described()
    revision = config.get("revision")
    base = Base(
        str(config["base_model_name_or_path"]),
        None if revision is None else str(revision),
        "folder",
        "",
        bits_of(files.config.parent),
    )
    return _lines(
        [
            f"model = {AUTO}({base.network_call})",
            _put_on(files, path),
            f"model.generation_config = GenerationConfig.from_pretrained({path!r})",
            f"tokenizer = {TOKENS}({path!r})",
            *_kept_in(base),
            *_answers_by(files.config.parent, path),
        ]
    )


def _put_on(files: AdapterFiles, path: str) -> str:
    """The line that puts the adapter of a folder on its base."""
    return f"model = PeftModel.from_pretrained(model, {path!r})" if files.peft else f"restore(model, Path({path!r}))"


def _of_strange(method: str) -> str:
    """method: `module:Class`."""
    return (
        f"# The method {method!r} comes from outside, and a run is opened without importing what it names.\n"
        "# If you trust it: attach it to its base, then call luthier.methods.restore(network, checkpoint)."
    )


def _of_run(tuned: Tuned) -> str:
    link = tuned.named
    whole = not tuned.adapted and tuned.has_tokenizer
    base = None if whole else base_of(tuned.options)
    model = f"{AUTO}({str(link)!r})"
    files = adapter_files(tuned.checkpoint)
    if files is not None and base is not None:
        model = f"{AUTO}({base.network_call})\n{_put_on(files, str(link))}"
    tokens = repr(str(link)) if tuned.has_tokenizer or base is None else base.call
    tokenizer = _tokenizer(tuned, base)
    own = bool(tokenizer.chat_template)
    ensure_template(tokenizer)
    lines = [f"model = {model}", f"tokenizer = {TOKENS}({tokens})"]
    lines += [] if own else [f"tokenizer.chat_template = {tokenizer.chat_template!r}"]
    lines += _stop_line(tuned, base, tokenizer)
    if tuned.adapted and base is not None and base.kind == "gguf":
        away = "an export in the format merged needs no base" if tuned.method.mergeable else "keep a copy of it"
        lines.append(f"# This base lies in a cache that may be emptied; {away}.")
    lines += [] if base is None else _kept_in(base)
    return _lines([*lines, *_answers_by(tuned.checkpoint, str(link))])


def _answers_by(folder: Path, path: str) -> list[str]:
    """How a linear head that lies in a folder is asked."""
    if not (folder / FACTS).is_file():
        return []
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    number = f"{facts['mean']!r} + {facts['spread']!r} * said[0].item()"
    return [
        "# A linear head answers, from the last state of the prompt as the chat template writes it. The run's own",
        "# system message and instruction, where its recipe has any, belong into the messages.",
        f"head = load_file({path + '/' + WEIGHTS!r})",
        "def answer(messages):",
        f"    prompt = tokenizer.apply_chat_template(messages, {ASKING})",
        "    state = model(**prompt, output_hidden_states=True).hidden_states[-1][0, -1]",
        "    said = head['weight'] @ state.float() + head['bias']",
        f"    return {facts['labels']!r}[int(said.argmax())]" if facts["labels"] else f"    return {number}",
        "print(answer([{'role': 'user', 'content': 'the text of a row'}]))",
    ]


def _kept_in(base: Base) -> list[str]:
    """What to know of a base in few bits that transformers has no words for."""
    if base.bits != "int8":
        return []
    return [
        "# It was tuned over this base with each weight rounded to int8; the format merged holds exactly those weights."
    ]


def _tokenizer(tuned: Tuned, base: Base | None) -> PreTrainedTokenizerBase:
    if tuned.has_tokenizer or base is None:
        return _opened(str(tuned.checkpoint), None)
    return _opened(base.name, base.revision)


def _opened(name: str, revision: str | None) -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        name, revision=revision or "main", local_files_only=True, trust_remote_code=False
    )
    return tokenizer


def _stop_line(tuned: Tuned, base: Base | None, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Sets what generation stops on, where the model's own settings leave something out."""
    if tuned.adapted and base is not None:
        name, revision = base.name, base.revision or "main"
    else:
        name, revision = str(tuned.checkpoint), "main"
    config = AutoConfig.from_pretrained(name, revision=revision, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    try:
        settings = GenerationConfig.from_pretrained(name, revision=revision, local_files_only=True)
    except OSError:
        settings = GenerationConfig.from_model_config(config)
    network.generation_config = settings
    stop, stated = stop_tokens(network, tokenizer), settings.eos_token_id
    known = set(stated) if isinstance(stated, list) else {stated}
    return [] if stop <= known else [f"model.generation_config.eos_token_id = {sorted(stop)}"]


def _lines(lines: Iterable[str]) -> str:
    """The lines below the imports they need."""
    body = "\n".join(lines)
    known = ("AutoModelForCausalLM", "AutoTokenizer", "BitsAndBytesConfig", "GenerationConfig")
    names = [name for name in known if f"{name}." in body or f"{name}(" in body]
    first = "# pip install peft\nfrom peft import PeftModel\n" if "PeftModel" in body else ""
    if "restore(" in body:
        first = "# PEFT has no such method: Luthier puts it on.\nfrom pathlib import Path\n\n"
        first += "from luthier.methods import restore\n"
    first += "from safetensors.torch import load_file\n" if "load_file(" in body else ""
    return f"{first}from transformers import {', '.join(names)}\n\n{body}"
