"""DoRA, PiSSA, LoRA+ and ranks by layer: PEFT, torch's own decomposition and autograd are the oracles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from luthier.batch import Batch, pack
from luthier.errors import ModelError, RecipeError
from luthier.methods import LoRA, Rate, restore, save
from luthier.methods.contract import logits, loss
from luthier.methods.linear import LoRALinear, principal, row_lengths
from luthier.methods.lora import adapters
from luthier.model.accept import accept
from luthier.model.forward import evaluating, forward
from luthier.model.generate import generate
from luthier.model.load import Model
from luthier.train.optim import optimizer_of, set_rates
from luthier.train.options import TrainOptions
from luthier.types import TokenSequence

Build = Callable[[], PreTrainedModel]

KINDS = {
    "dora": LoRA(rank=3, alpha=6, dora=True),
    "dora rslora": LoRA(rank=3, alpha=6, dora=True, rslora=True),
    "pissa": LoRA(rank=3, alpha=6, init="pissa"),
    "pissa rslora": LoRA(rank=3, alpha=6, init="pissa", rslora=True),
    "pissa dora": LoRA(rank=3, alpha=6, init="pissa", dora=True),
    "ranks": LoRA(rank=3, alpha=6, ranks={"*.1.*": 5}, alphas={"*.0.*": 2}),
}


@pytest.mark.parametrize("name", KINDS)
def test_peft_computes_the_same_from_what_it_saved(make: Build, tmp_path: Path, name: str) -> None:
    ours = trained(make, KINDS[name])
    save(ours, KINDS[name], tmp_path)
    agree(logits(peft.PeftModel.from_pretrained(make(), str(tmp_path))), logits(ours))


@pytest.mark.parametrize("name", KINDS)
def test_a_bare_base_takes_what_it_saved(make: Build, tmp_path: Path, name: str) -> None:
    ours, base = trained(make, KINDS[name]), make()
    save(ours, KINDS[name], tmp_path)
    restore(base, tmp_path)
    agree(logits(base), logits(ours))


def test_dora_has_the_logits_and_gradients_of_peft(make: Build, tmp_path: Path) -> None:
    theirs = as_peft(make, use_dora=True)
    theirs.save_pretrained(str(tmp_path))
    ours = make()
    LoRA(rank=3, alpha=6, dora=True).attach(ours, dtype=torch.float32)
    restore(ours, tmp_path)
    agree(logits(ours), logits(theirs))
    loss(ours).backward()
    loss(theirs).backward()
    modules = dict(theirs.named_modules())
    for path, module in adapters(ours).items():
        twin = modules[f"base_model.model.{path}"]
        agree(module.lora_a.grad, twin.lora_A["default"].weight.grad)
        agree(module.lora_b.grad, twin.lora_B["default"].weight.grad)
        agree(module.lora_magnitude.grad, twin.lora_magnitude_vector["default"].weight.grad)


@pytest.mark.parametrize("detached", [True, False])
def test_the_length_is_a_constant_to_the_backward(detached: bool) -> None:
    module = one_layer(dora=True)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(3))
    module(x).square().sum().backward()
    a, b, m = (p.detach().clone().requires_grad_(True) for p in module.parameters(recurse=False))
    direction = module.base.weight.detach() + module.scale * b @ a
    length = direction.norm(dim=1)
    weight = (m / (length.detach() if detached else length))[:, None] * direction
    nn.functional.linear(x, weight, module.base.bias).square().sum().backward()
    same = torch.allclose(module.lora_b.grad, b.grad, rtol=1e-4, atol=1e-5)
    assert same == detached
    torch.testing.assert_close(module.lora_magnitude.grad, m.grad, rtol=1e-4, atol=1e-4)


def test_row_lengths_are_those_of_the_whole_weight() -> None:
    draw = torch.Generator().manual_seed(0)
    weight, a, b = (torch.randn(shape, generator=draw) for shape in ((6, 9), (2, 9), (6, 2)))
    torch.testing.assert_close(row_lengths(weight, a, b, 1.7), (weight + 1.7 * b @ a).norm(dim=1))


def test_a_row_of_zeros_starts_and_learns_finitely() -> None:
    base = nn.Linear(4, 3)
    base.weight.data[1] = 0
    module = LoRALinear(base, rank=2, alpha=4, dora=True)
    module.start(torch.Generator().manual_seed(0))
    x = torch.randn(5, 4)
    assert torch.equal(module(x), base(x))
    module(x).sum().backward()
    assert all(p.grad.isfinite().all() for p in module.parameters(recurse=False))


def test_what_an_optimizer_or_a_restore_changed_is_not_computed_with_old_lengths(
    llama: PreTrainedModel, make: Build, tmp_path: Path
) -> None:
    method = LoRA(rank=3, dora=True)
    method.attach(llama, dtype=torch.float32)
    save(llama, method, tmp_path)
    start = logits(llama)
    loss(llama).backward()
    optimizer = torch.optim.AdamW(method.trainable(llama).values(), lr=0.1, fused=True)
    for _ in range(2):
        optimizer.step()
    moved = logits(llama)
    for module in adapters(llama).values():
        module._known = None
    assert torch.equal(moved, logits(llama))
    restore(llama, tmp_path)
    assert torch.equal(start, logits(llama))
    assert not torch.equal(start, moved)


def test_lengths_are_kept_while_nothing_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    module, asked = one_layer(dora=True), []
    counting = lambda *given: (asked.append(1), row_lengths(*given))[1]  # noqa: E731
    monkeypatch.setattr("luthier.methods.linear.row_lengths", counting)
    with torch.no_grad():
        for _ in range(3):
            module(torch.ones(1, 4))
    assert len(asked) == 1
    module(torch.ones(1, 4))
    assert len(asked) == 2


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (5, 5)])
def test_a_start_from_the_weight_is_its_truncated_decomposition(shape: tuple[int, int]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    left, right = principal(weight, 3)
    u, s, v = torch.linalg.svd(weight, full_matrices=False)
    torch.testing.assert_close(left @ right, (u[:, :3] * s[:3]) @ v[:3], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(left.norm(dim=0), right.norm(dim=1))


def test_pissa_learns_what_pissa_of_peft_learns(make: Build) -> None:
    """Also against PEFT's ordinary start, which must differ."""
    method = LoRA(rank=3, alpha=6, init="pissa")
    ours = make()
    method.attach(ours, dtype=torch.float32)
    learn(ours, method.trainable(ours).values())
    found = []
    for start in ("pissa", True):
        theirs = as_peft(make, moved=False, init_lora_weights=start)
        learn(theirs, [p for p in theirs.parameters() if p.requires_grad])
        found.append(logits(theirs))
    assert float((logits(make()) - found[0]).abs().max()) > 0.1
    torch.testing.assert_close(logits(ours), found[0], rtol=0, atol=1e-4)
    assert not torch.allclose(logits(ours), found[1], rtol=0, atol=1e-2)


def test_pissa_leaves_the_weights_of_the_base_alone(make: Build) -> None:
    network, base = make(), make()
    LoRA(rank=3, init="pissa").attach(network, dtype=torch.float32)
    for path, module in adapters(network).items():
        assert torch.equal(module.base.weight, base.get_submodule(path).weight)


def test_a_rank_that_a_weight_cannot_have_is_refused_with_the_remedy(llama: PreTrainedModel) -> None:
    with pytest.raises(ModelError, match=r"at most 8.*`ranks`"):
        LoRA(rank=9, init="pissa").attach(llama, dtype=torch.float32)


def test_ranks_and_alphas_hold_for_the_layers_they_name_and_the_first_that_fits_wins(llama: PreTrainedModel) -> None:
    method = LoRA(rank=4, alpha=8, ranks={"layers.0.mlp.up_proj": 1, "*.mlp.*": 6}, alphas={"q_proj": 2})
    method.attach(llama, dtype=torch.float32)
    found = {path.removeprefix("model.layers."): (m.rank, m.alpha) for path, m in adapters(llama).items()}
    assert found["0.mlp.up_proj"] == (1, 8)
    assert found["1.mlp.up_proj"] == found["0.mlp.down_proj"] == (6, 8)
    assert found["1.self_attn.q_proj"] == (4, 2)
    assert found["1.self_attn.k_proj"] == (4, 8)


@pytest.mark.parametrize("setting", ["ranks", "alphas"])
def test_a_pattern_that_names_no_chosen_layer_is_refused(llama: PreTrainedModel, setting: str) -> None:
    method = LoRA(targets=("q_proj",), **{setting: {"*.mlp.*": 2}})
    with pytest.raises(ModelError, match=rf"{setting}: '\*.mlp.\*' names no linear layer; there are q_proj"):
        method.attach(llama, dtype=torch.float32)


@pytest.mark.parametrize("wrong", [{"ranks": {"q": 0}}, {"alphas": {"q": -1.0}}, {"plus": 0.0}])
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=next(iter(wrong))):
        LoRA(**wrong)


def test_lora_plus_moves_b_so_many_times_as_far(make: Build) -> None:
    one, plus = first_step(make, LoRA(rank=3)), first_step(make, LoRA(rank=3, plus=16))
    for name, moved in plus.items():
        torch.testing.assert_close(moved, one[name] * (16 if name.endswith("lora_b") else 1))


def test_lora_plus_gives_rates_to_b_alone(llama: PreTrainedModel) -> None:
    method = LoRA(rank=3, dora=True, plus=16)
    method.attach(llama, dtype=torch.float32)
    assert set(method.rates(llama).values()) == {Rate(16)}
    assert {name.rpartition(".")[2] for name in method.rates(llama)} == {"lora_b"}
    assert method.usual_lr(llama) == pytest.approx(LoRA().usual_lr(llama) / 4)


@pytest.mark.parametrize("name", KINDS)
def test_a_packed_forest_gives_what_single_sequences_give(llama: PreTrainedModel, name: str) -> None:
    KINDS[name].attach(llama, dtype=torch.float32)
    shake(llama)
    model, batch = opened(llama), forest()
    assert batch.distinct < batch.depth[batch.leaf].sum() + len(batch.leaf)
    found = []
    for shared in (True, False):
        model.shared = shared
        llama.set_attn_implementation("luthier_forest" if shared else "sdpa")
        llama.zero_grad()
        logprobs = forward(model, batch).logprobs
        (logprobs * batch.weight).sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in KINDS[name].trainable(llama).values()])
        found.append((logprobs.detach(), gradient))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * max(1.0, float(other.abs().max())))


@pytest.mark.parametrize("name", KINDS)
def test_generation_goes_on_as_the_plain_forward_does(llama: PreTrainedModel, name: str) -> None:
    KINDS[name].attach(llama, dtype=torch.float32)
    shake(llama)
    model, prompt = opened(llama), [5, 9, 30, 2]
    with evaluating(model):
        (said,) = generate(model, [prompt], max_new_tokens=6)
        llama.set_attn_implementation("sdpa")
        tokens = list(prompt)
        for _ in said.tokens:
            tokens.append(int(llama(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax()))
    assert tokens[len(prompt) :] == list(said.tokens)


@pytest.mark.parametrize("name", KINDS)
def test_its_bfloat16_gradients_stay_near_those_of_float32(make: Build, name: str) -> None:
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        network = make()
        network.load_state_dict({name: value.bfloat16().float() for name, value in network.state_dict().items()})
        KINDS[name].attach(network, dtype=dtype, seed=1)
        loss(network).backward()
        found.append(torch.cat([p.grad.flatten() for p in KINDS[name].trainable(network).values()]))
    assert all(gradient.dtype == torch.float32 for gradient in found)
    assert torch.cosine_similarity(found[0], found[1], dim=0) > 0.99


def agree(one: Tensor, other: Tensor) -> None:
    """Float32 rounding apart, relative to the largest value."""
    torch.testing.assert_close(one, other, rtol=0, atol=3e-6 * max(1.0, float(other.detach().abs().max())))


def trained(make: Build, method: LoRA) -> PreTrainedModel:
    """A network whose adapters are moved from their start."""
    network = make()
    method.attach(network, dtype=torch.float32)
    shake(network)
    return network


def shake(network: nn.Module) -> None:
    """Moves every adapter weight off its start."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora" in name:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))


def as_peft(make: Build, *, moved: bool = True, **settings: object) -> PreTrainedModel:
    """PEFT's own adapter of the same size on the same layers."""
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules="all-linear", task_type="CAUSAL_LM", **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        wrapped: PreTrainedModel = peft.get_peft_model(make(), config)
    if moved:
        shake(wrapped)
    return wrapped


def learn(network: PreTrainedModel, parameters: object) -> None:
    """A few steps of plain gradient descent."""
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    for _ in range(4):
        optimizer.zero_grad()
        loss(network).backward()
        optimizer.step()


def one_layer(**settings: bool) -> LoRALinear:
    """An adapter on one layer with a bias, moved off its start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        module = LoRALinear(nn.Linear(4, 3), rank=2, alpha=3, **settings)
    module.start(torch.Generator().manual_seed(0))
    shake(module)
    return module


def first_step(make: Build, method: LoRA) -> dict[str, Tensor]:
    """How far each parameter moves in one step of the trainer's optimizer, with gradients of one."""
    network = make()
    method.attach(network, dtype=torch.float32)
    own = method.trainable(network)
    before = {name: value.detach().clone() for name, value in own.items()}
    optimizer = optimizer_of(network, TrainOptions(weight_decay=0.0), method.rates(network))
    set_rates(optimizer, 1e-3, done=0.0)
    for value in own.values():
        value.grad = torch.ones_like(value)
    optimizer.step()
    return {name: value.detach() - before[name] for name, value in own.items()}


def opened(network: PreTrainedModel) -> Model:
    """Ready for the engine."""
    model = Model(network, None, "llama", torch.device("cpu"), torch.float32, frozenset({2}), max_length=64)
    accept(model)
    assert model.shared, model.reason
    return model


def forest() -> Batch:
    """Three sequences with one beginning, and one without."""
    draw = torch.Generator().manual_seed(6)
    stem = torch.randint(3, 61, (20,), generator=draw)
    rows = [torch.cat((stem, torch.randint(3, 61, (n,), generator=draw))) for n in (3, 5, 9)]
    rows.append(torch.randint(3, 61, (7,), generator=draw))
    weight = [torch.ones(len(row)).numpy() for row in rows]
    for one in weight:
        one[0] = 0
    return pack([TokenSequence(r.numpy(), w, str(i)) for i, (r, w) in enumerate(zip(rows, weight, strict=True))])
