"""`peft:NAME`: PEFT itself is the oracle, the laws of every method hold, and the engine is asked again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from luthier.batch import pack
from luthier.errors import ModelError, RecipeError
from luthier.methods import Peft, contract, merge, restore, save, switched_off
from luthier.methods.contract import LAWS, logits, loss
from luthier.methods.tuner import REFUSED, built_in, examine
from luthier.model.accept import accept
from luthier.model.forward import evaluating, forward
from luthier.model.generate import generate
from luthier.model.load import Model
from luthier.recipe import make_recipe, to_tree
from luthier.types import TokenSequence

Build = Callable[[], PreTrainedModel]

KINDS = {
    "VERA": Peft("VERA", {"r": 4, "target_modules": ["q_proj", "o_proj"]}),
    "LOHA": Peft("LOHA", {"r": 2, "target_modules": ["q_proj", "up_proj"]}),
    "OFT": Peft("OFT", {"oft_block_size": 4, "target_modules": ["v_proj", "down_proj"]}),
    "LOKR": Peft("LOKR", {"r": 2, "target_modules": ["k_proj", "gate_proj"]}),
}


@pytest.fixture
def build(llama: PreTrainedModel) -> Build:
    """The same small Llama at every call."""
    from copy import deepcopy

    return lambda: deepcopy(llama)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", KINDS)
def test_each_tuner_keeps_each_law(law: str, name: str, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "RATE", 5.0)  # a product of many small factors moves little in two steps
    LAWS[law](KINDS[name], build)


@pytest.mark.parametrize("name", KINDS)
def test_attached_it_computes_and_learns_what_peft_does(name: str, build: Build) -> None:
    ours, theirs = build(), as_peft(name, build)
    KINDS[name].attach(ours, dtype=torch.float32)
    assert torch.equal(logits(ours), logits(build())), "these four start as the base"
    for network in (ours, theirs):
        shake(network)
        loss(network).backward()
    assert torch.equal(logits(ours), logits(theirs))
    gradients = [[p.grad for p in network.parameters() if p.requires_grad] for network in (ours, theirs)]
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize("name", KINDS)
def test_peft_opens_what_it_saved_and_it_opens_what_peft_saved(name: str, build: Build, tmp_path: Path) -> None:
    ours, theirs = build(), as_peft(name, build)
    KINDS[name].attach(ours, dtype=torch.float32)
    shake(ours)
    shake(theirs)
    save(ours, KINDS[name], tmp_path / "ours")
    theirs.save_pretrained(str(tmp_path / "theirs"))
    assert torch.equal(logits(peft.PeftModel.from_pretrained(build(), str(tmp_path / "ours"))), logits(ours))
    bare = build()
    restore(bare, tmp_path / "theirs")
    assert torch.equal(logits(bare), logits(theirs))
    assert not torch.equal(logits(bare), logits(build()))


@pytest.mark.parametrize("name", KINDS)
def test_a_packed_forest_gives_what_single_sequences_give(name: str, build: Build) -> None:
    network = build()
    model = opened(network)
    KINDS[name].attach(network, dtype=torch.float32)
    examine(model, KINDS[name].trainable(network).values())
    assert model.shared, model.reason
    assert torch.equal(_plain(network), logits(build())), "the examination moved something for good"
    network.set_attn_implementation("luthier_forest")
    shake(network)
    found = []
    for shared in (True, False):
        model.shared = shared
        network.set_attn_implementation("luthier_forest" if shared else "sdpa")
        found.append(forward(model, forest()).logprobs.detach())
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_generation_goes_on_as_the_plain_forward_does(name: str, build: Build) -> None:
    network = build()
    model, prompt = opened(network), [5, 9, 30, 2]
    KINDS[name].attach(network, dtype=torch.float32)
    shake(network)
    with evaluating(model):
        (said,) = generate(model, [prompt], max_new_tokens=5)
        network.set_attn_implementation("sdpa")
        tokens = list(prompt)
        for _ in said.tokens:
            tokens.append(int(network(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax()))
    assert tokens[len(prompt) :] == list(said.tokens)


def test_a_layer_that_mixes_along_the_sequence_is_not_shared(build: Build) -> None:
    """A planted one, as some tuner may be; the control is the same network without it."""

    class Mixes(nn.Module):
        """Adds what stands one place to the left, which in a forest is another sequence's."""

        def __init__(self, base: nn.Module) -> None:
            super().__init__()
            self.base, self.strength = base, nn.Parameter(torch.zeros(()))

        def forward(self, hidden: Tensor) -> Tensor:
            out: Tensor = self.base(hidden)
            left = torch.cat((torch.zeros_like(out[:, :1]), out[:, :-1]), dim=1)
            return out + self.strength * 50 * left

    network = build()
    model = opened(network)
    KINDS["LOKR"].attach(network, dtype=torch.float32)
    examine(model, KINDS["LOKR"].trainable(network).values())
    assert model.shared
    network.model.layers[0].mlp = Mixes(network.model.layers[0].mlp)
    examine(model)
    assert model.shared, "at its start it changes nothing, so that only moving it shows what it does"
    examine(model, [network.model.layers[0].mlp.strength])
    assert not model.shared
    assert "differ" in model.reason


def test_switching_off_and_on_opens_no_parameter_that_was_frozen(build: Build) -> None:
    network = build()
    KINDS["LOHA"].attach(network, dtype=torch.float32)
    network.requires_grad_(False)
    with switched_off(network):
        pass
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("name", KINDS)
def test_it_learns_in_float32_over_a_bfloat16_base(name: str, build: Build) -> None:
    network = build()
    KINDS[name].attach(network, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        loss(network).backward()
    learns = KINDS[name].trainable(network).values()
    assert {(p.dtype, p.grad.dtype) for p in learns} == {(torch.float32, torch.float32)}


def test_a_recipe_tells_a_tuner_from_a_strangers_class_and_comes_back_the_same() -> None:
    given = {"data": {"train": "x"}, "method": {"name": "peft:LOHA", "config": {"r": 4}}}
    made = make_recipe(given)
    assert made.method == Peft("LOHA", {"r": 4})
    assert make_recipe(to_tree(made)) == made
    assert make_recipe({"data": {"train": "x"}, "method": "peft:LOKR"}).method == Peft("LOKR")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("peft", "names no tuner"),
        ("peft:LOAH", "did you mean 'LOHA'"),
        ("peft:LORA", "method=lora"),
        ("peft:IA3", "method=ia3"),
        ("peft:PREFIX_TUNING", "method=prefix"),
        ("peft:P_TUNING", "outside the network"),
        ("peft:ADALORA", "at every step"),
        ({"name": "peft:VERA", "config": {"rank": 4}}, "'rank' is no setting of VERA"),
        ({"name": "peft:VERA", "config": {"bias": "all"}}, "could not be switched off"),
        ({"name": "peft:LOHA", "config": {"modules_to_save": ["lm_head"]}}, "could not be switched off"),
        ("lora:VERA", "kind"),
    ],
)
def test_what_is_not_taken_is_refused_with_the_reason(given: str | dict[str, object], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        make_recipe({"data": {"train": "x"}, "method": given})


@pytest.mark.parametrize(
    ("imported", "fetches"),
    [("from luthier.methods import Peft; Peft('VERA')", False), ("import bitsandbytes", True)],
    ids=["peft", "control"],
)
def test_naming_a_tuner_neither_fetches_kernels_nor_speaks_of_them(
    imported: str, fetches: bool, tmp_path: Path
) -> None:
    """Where the processor lets bitsandbytes look for kernels at all, the control does."""
    (tmp_path / "kernels.py").write_text(
        f"def get_kernel(*given, **more):\n    open({str(tmp_path / 'asked')!r}, 'w')\n    raise OSError('none here')\n"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", imported],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    if fetches and not (tmp_path / "asked").exists():
        pytest.skip("bitsandbytes does not look for kernels on this processor")
    assert (tmp_path / "asked").exists() == fetches
    assert ("kernels-community" in done.stderr) == fetches


def test_once_merged_the_network_takes_another(build: Build) -> None:
    network = build()
    KINDS["LOHA"].attach(network, dtype=torch.float32)
    with pytest.raises(ModelError, match="already"):
        KINDS["OFT"].attach(network, dtype=torch.float32)
    merge(network)
    assert built_in(network) is None
    KINDS["OFT"].attach(network, dtype=torch.float32)
    assert built_in(network) is not None


def test_every_refused_name_is_one_of_peft() -> None:
    assert REFUSED.keys() <= {one.value for one in peft.PeftType}


def test_a_layer_that_is_not_there_is_refused(build: Build) -> None:
    with pytest.raises(ModelError, match="q_porj"):
        Peft("LOHA", {"target_modules": ["q_porj"]}).attach(build(), dtype=torch.float32)


def test_files_of_another_tuner_are_refused(build: Build, tmp_path: Path) -> None:
    ours, other = build(), build()
    KINDS["LOHA"].attach(ours, dtype=torch.float32)
    save(ours, KINDS["LOHA"], tmp_path)
    KINDS["LOKR"].attach(other, dtype=torch.float32)
    with pytest.raises(ModelError, match="differ in"):
        restore(other, tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["peft_type"] == "LOHA"
    assert {path.name for path in tmp_path.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}


def as_peft(name: str, build: Build) -> PreTrainedModel:
    """PEFT's own, drawn from the same seed."""
    kind = peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(name)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        wrapped: PreTrainedModel = peft.get_peft_model(build(), kind(task_type="CAUSAL_LM", **KINDS[name].config))
    return wrapped


def shake(network: nn.Module) -> None:
    """Moves what learns off its start."""
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))


def opened(network: PreTrainedModel) -> Model:
    """Ready for the engine."""
    model = Model(network, None, "llama", torch.device("cpu"), torch.float32, frozenset({2}), max_length=64)
    accept(model)
    assert model.shared, model.reason
    return model


def forest():
    """Three sequences with one beginning, and one without."""
    draw = torch.Generator().manual_seed(6)
    stem = torch.randint(3, 61, (20,), generator=draw)
    rows = [torch.cat((stem, torch.randint(3, 61, (n,), generator=draw))) for n in (3, 5, 9)]
    rows.append(torch.randint(3, 61, (7,), generator=draw))
    weight = [torch.ones(len(row)).numpy() for row in rows]
    for one in weight:
        one[0] = 0
    return pack([TokenSequence(r.numpy(), w, str(i)) for i, (r, w) in enumerate(zip(rows, weight, strict=True))])


def _plain(network: PreTrainedModel) -> Tensor:
    network.set_attn_implementation("sdpa")
    return logits(network)
