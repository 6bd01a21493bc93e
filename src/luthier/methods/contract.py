"""What every method must pass, importable so that strangers run it on theirs.

    @pytest.mark.parametrize("law", LAWS)
    def test_my_method_keeps_the_law(law: str) -> None:
        LAWS[law](MyMethod(), build)        # build() opens the same small float32 network each time

A law raises `BrokenLawError`, with the numbers in it. The laws run a few steps of plain gradient descent on random
tokens and need no data, no trainer and no network access.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor
from transformers import PreTrainedModel

from luthier.errors import ModelError
from luthier.methods.method import Method, merge, switched_off
from luthier.methods.several import Adapter, as_opened, made, several, worn
from luthier.methods.store import restore, save

Build: TypeAlias = Callable[[], PreTrainedModel]
"""Opens a small float32 network, equal to the bit at every call."""

STEPS = 2
"""A zero factor of a product keeps the other's gradient at zero for one step."""
RATE = 0.05
TOLERANCE = 1e-4
"""Largest difference of float32 logits between a merged network and the one it came from."""


class BrokenLawError(AssertionError):
    """A method does not keep a law."""


def starts_as_base(method: Method, build: Build) -> None:
    """Right after `attach` the network computes what it did before, unless the method says that it does not."""
    if not method.starts_as_base:
        return
    network = build()
    before = logits(network)
    method.attach(network, dtype=torch.float32)
    _same(before, logits(network), "attaching changed the logits")


def same_seed_same_start(method: Method, build: Build) -> None:
    """What `attach` draws depends on the seed alone, not on torch's global generator."""
    one, other = build(), build()
    method.attach(one, dtype=torch.float32, seed=3)
    torch.rand(7)
    method.attach(other, dtype=torch.float32, seed=3)
    for name, drawn in method.trainable(one).items():
        _same(drawn, method.trainable(other)[name], f"two attachments with one seed drew {name} differently")


def learns_in_float32(method: Method, build: Build) -> None:
    """Trainable parameters are float32 even where bfloat16 computes."""
    network = build()
    method.attach(network, dtype=torch.bfloat16)
    for name, parameter in method.trainable(network).items():
        _hold(parameter.dtype == torch.float32, f"{name} learns in {parameter.dtype}")


def its_rates_are_of_what_it_trains(method: Method, build: Build) -> None:
    """`rates` names trainable parameters alone, and none of them never learns."""
    network = build()
    method.attach(network, dtype=torch.float32)
    rates = method.rates(network)
    strange = sorted(rates.keys() - method.trainable(network).keys())
    _hold(not strange, f"a rate is given to what does not learn: {strange[:3]}")
    never = sorted(name for name, rate in rates.items() if rate.factor <= 0 or not 0 <= rate.begins < 1)
    _hold(not never, f"never learns: {never[:3]}")


def only_its_parameters_change(method: Method, build: Build) -> None:
    """Steps change what `trainable` lists, all of it, and nothing else is open to a gradient."""
    network = build()
    method.attach(network, dtype=torch.float32)
    own = method.trainable(network)
    _hold(bool(own), "nothing is trainable")
    extra = {n for n, p in network.named_parameters() if p.requires_grad} - own.keys()
    _hold(not extra, f"open to a gradient but not listed as trainable: {sorted(extra)[:3]}")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    learned = {value.data_ptr() for value in own.values()}
    _steps(method, network)
    for name, value in network.state_dict().items():
        if value.data_ptr() in learned:
            _hold(not torch.equal(value, before[name]), f"{name} is trainable and did not move in {STEPS} steps")
        else:
            _same(before[name], value, f"{name} is not trainable and changed")


def every_parameter_gets_a_gradient(method: Method, build: Build) -> None:
    """Also after an evaluation under `no_grad`, and in the same mode as before it."""
    network = build()
    method.attach(network, dtype=torch.float32)
    logits(network)
    _steps(method, network)
    loss(network.train()).backward()
    for name, parameter in method.trainable(network).items():
        gradient = parameter.grad
        _hold(gradient is not None and bool(gradient.isfinite().all()), f"{name} got no finite gradient")
        _hold(gradient is not None and bool(gradient.any()), f"{name} got a gradient of zeros only")


def saved_is_restored(method: Method, build: Build) -> None:
    """A fresh network with the method attached and the saved state restored computes the same, to the bit."""
    network, fresh = _trained(method, build), build()
    method.attach(fresh, dtype=torch.float32, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        save(network, method, Path(folder))
        held = {name: parameter.data_ptr() for name, parameter in method.trainable(fresh).items()}
        restore(fresh, Path(folder))
    _same(logits(network), logits(fresh), "saving and restoring changed the logits")
    moved = [name for name, parameter in method.trainable(fresh).items() if parameter.data_ptr() != held[name]]
    _hold(not moved, f"restoring replaced parameters that an optimizer may hold: {moved[:3]}")


def off_is_the_base(method: Method, build: Build) -> None:
    """With what was learned switched off, the logits are the base's to the bit; and it comes back on."""
    if not method.removable:
        return
    network = _trained(method, build)
    tuned = logits(network)
    _hold(not torch.equal(tuned, logits(build())), "training changed nothing, so switching off proves nothing")
    with switched_off(network):
        _same(logits(build()), logits(network), "switched off, the logits are not the base's")
    _same(tuned, logits(network), "switched on again, the logits are not those from before")


def merging_changes_nothing(method: Method, build: Build) -> None:
    """A merged network computes the same within rounding, out of the modules it was opened with.

    Where the method is not mergeable, merging is refused and leaves everything as it was.
    """
    network = _trained(method, build)
    tuned = logits(network)
    if not method.mergeable:
        _refuses_to_merge(network)
        _same(tuned, logits(network), "merging was refused and changed the logits")
        return
    merge(network)
    kinds = {name: type(module) for name, module in network.named_modules()}
    _hold(kinds == {n: type(m) for n, m in build().named_modules()}, "merging left other modules than the base's")
    difference = float((tuned - logits(network)).abs().max())
    _hold(difference <= TOLERANCE, f"merging moved a logit by {difference:.2g}, more than {TOLERANCE}")


def two_in_a_batch_are_each_alone(method: Method, build: Build) -> None:
    """Two adapters in one forward: each row as its own adapter alone has it, and each adapter's gradient too.

    Held to it is a method whose adapters stand for linear layers and norms; any other is refused before it computes.
    """
    if not _divisible(method, build):
        return
    network = build()
    adapters, alone = zip(*(_apart(method, network, row) for row in (0, 1)), strict=True)
    routes = several(network, adapters)
    with routes.over(torch.arange(2).repeat_interleave(tokens(network).shape[1])):
        said = _felt(network, slice(None))
    for row, (adapter, (answer, gradients)) in enumerate(zip(adapters, alone, strict=True)):
        _close(answer, said[row : row + 1], f"in one batch, the logits of adapter {row} differ")
        for name, gradient in _gradients(adapter).items():
            _close(gradients[name], gradient, f"in one batch, the gradient of adapter {row}'s {name} differs")


LAWS: dict[str, Callable[[Method, Build], None]] = {
    law.__name__: law
    for law in (
        starts_as_base,
        same_seed_same_start,
        learns_in_float32,
        its_rates_are_of_what_it_trains,
        only_its_parameters_change,
        every_parameter_gets_a_gradient,
        saved_is_restored,
        off_is_the_base,
        merging_changes_nothing,
        two_in_a_batch_are_each_alone,
    )
}


def check(method: Method, build: Build) -> None:
    """Holds a method against every law; raises BrokenLawError at the first that it does not keep."""
    for law in LAWS.values():
        law(method, build)


def tokens(network: PreTrainedModel) -> Tensor:
    """The same random token ids at every call: (2, 12)."""
    generator = torch.Generator().manual_seed(11)
    size = network.config.get_text_config().vocab_size
    return torch.randint(size, (2, 12), generator=generator)


def logits(network: PreTrainedModel) -> Tensor:
    """What the network says to `tokens`, as an evaluation asks for it: (2, 12, v)."""
    with torch.no_grad():
        answer: Tensor = network.eval()(input_ids=tokens(network), use_cache=False).logits
    return answer


def loss(network: PreTrainedModel) -> Tensor:
    """Mean next-token loss on `tokens`: 0-d."""
    ids = tokens(network)
    answer: Tensor = network(input_ids=ids, labels=ids, use_cache=False).loss
    return answer


def _trained(method: Method, build: Build) -> PreTrainedModel:
    network = build()
    method.attach(network, dtype=torch.float32)
    _steps(method, network)
    return network


def _divisible(method: Method, build: Build) -> bool:
    """Whether the rows of a batch can be divided among adapters of this method."""
    network = build()
    try:
        several(network, [made(network, method, dtype=torch.float32)])
    except ModelError:
        return False
    return True


def _apart(method: Method, network: PreTrainedModel, row: int) -> tuple[Adapter, tuple[Tensor, dict[str, Tensor]]]:
    """An adapter that learned from the seed `row`, and what it alone says and feels on that row of the tokens."""
    with as_opened(network):
        method.attach(network, dtype=torch.float32, seed=row)
        _steps(method, network)
        adapter = worn(network)
        said = _felt(network, slice(row, row + 1))
        return adapter, (said, _gradients(adapter))


def _felt(network: PreTrainedModel, rows: slice) -> Tensor:
    """What the network says to some rows of the tokens, a gradient of it left in its parameters: (rows, 12, v)."""
    network.zero_grad()
    said: Tensor = network.eval()(input_ids=tokens(network)[rows], use_cache=False).logits
    said.square().sum().backward()
    return said.detach()


def _gradients(adapter: Adapter) -> dict[str, Tensor]:
    return {
        f"{path}.{name}": parameter.grad.clone()
        for path, module in adapter.items()
        for name, parameter in module.named_parameters()
        if parameter.grad is not None and not name.startswith("base.")
    }


def _refuses_to_merge(network: PreTrainedModel) -> None:
    try:
        merge(network)
    except ModelError:
        return
    raise BrokenLawError("not mergeable, yet merging it was not refused with a ModelError")


def _steps(method: Method, network: PreTrainedModel) -> None:
    optimizer = torch.optim.SGD(method.trainable(network).values(), lr=RATE)
    network.train()
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(network).backward()
        optimizer.step()
    optimizer.zero_grad()


def _same(one: Tensor, other: Tensor, broken: str) -> None:
    if not torch.equal(one, other):
        difference = float((one.detach().double() - other.detach().double()).abs().max())
        raise BrokenLawError(f"{broken}, by up to {difference:.3g}")


def _close(one: Tensor, other: Tensor, broken: str) -> None:
    """Equal but for float32's rounding, whose order of sums a batch may change."""
    difference, size = float((one - other).abs().max()), float(one.abs().max())
    _hold(difference <= TOLERANCE * size, f"{broken}, by up to {difference:.3g} of {size:.3g}")


def _hold(claim: bool, broken: str) -> None:
    if not claim:
        raise BrokenLawError(broken)
