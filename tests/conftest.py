"""What many tests use: a tiny random base with a byte tokenizer, and a labelled file it can learn in seconds.

A law is not broken by a machine that is busy with something else: hypothesis has no deadline.
"""

import csv
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent / "export"))
torch.set_num_threads(1)
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="package")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoModelForCausalLM
    from tuned_runs import config, tokenizer

    folder = tmp_path_factory.mktemp("base") / "tiny"
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config("llama")).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="package")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "animals.csv"
    with path.open("w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["text", "label"])
        for i in range(120):
            sound, animal = [("woof", "dog"), ("miaow", "cat"), ("moo", "cow")][i % 3]
            write.writerow([f"it says {sound} {i}", animal])
    return path
