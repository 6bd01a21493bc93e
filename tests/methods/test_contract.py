"""Every method keeps every law on every family, and each law is broken by a method made to break it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from luthier.methods import IA3, BitFit, Bottleneck, Freeze, Full, LoRA, Method, PrefixTuning, PromptTuning, Rate
from luthier.methods.contract import LAWS, BrokenLawError
from luthier.methods.lora import adapters

Build = Callable[[], PreTrainedModel]

KEEPING: dict[str, Method] = {
    "full": Full(),
    "freeze": Freeze(layers=1),
    "lora": LoRA(rank=3, alpha=6),
    "full by layers": Full(decay=0.5, unfreeze=0.4),
    "freeze by layers": Freeze(layers=1, embeddings=False, decay=0.5, unfreeze=0.9),
    "bottleneck houlsby": Bottleneck(width=3, placement="houlsby", activation="gelu"),
    "bottleneck pfeiffer": Bottleneck(width=5),
    "ia3": IA3(),
    "bitfit": BitFit(),
    "bitfit everywhere": BitFit(everywhere=True),
    "lora rslora": LoRA(rank=4, alpha=2, rslora=True),
    "dora": LoRA(rank=3, alpha=6, dora=True),
    "lora plus": LoRA(rank=3, alpha=6, plus=4),
    "pissa": LoRA(rank=3, alpha=6, init="pissa"),
    "pissa dora rslora": LoRA(rank=3, alpha=6, init="pissa", dora=True, rslora=True),
    "lora ranks": LoRA(rank=3, ranks={"*.[01].*": 2}, alphas={"*.1.*": 8}),
    "prefix": PrefixTuning(tokens=3),
    "prefix random": PrefixTuning(tokens=3, init="random"),
    "prompt": PromptTuning(tokens=3),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", KEEPING)
def test_each_method_keeps_each_law(law: str, name: str, make: Build) -> None:
    LAWS[law](KEEPING[name], make)


@dataclass(frozen=True)
class Wrong(LoRA):
    """LoRA with one thing done wrong after it is attached."""

    @staticmethod
    def spoil(network: PreTrainedModel) -> None:
        raise NotImplementedError

    def attach(self, network: PreTrainedModel, *, dtype: torch.dtype, seed: int = 0) -> None:
        LoRA.attach(self, network, dtype=dtype, seed=seed)
        self.spoil(network)


class StartsElsewhere(Wrong):
    @staticmethod
    def spoil(network: PreTrainedModel) -> None:
        for module in adapters(network).values():
            module.lora_b.data.fill_(0.5)


class DrawsGlobally(Wrong):
    @staticmethod
    def spoil(network: PreTrainedModel) -> None:
        for module in adapters(network).values():
            module.lora_a.data.normal_()


class LearnsInHalf(Wrong):
    @staticmethod
    def spoil(network: PreTrainedModel) -> None:
        for module in adapters(network).values():
            module.lora_b.data = module.lora_b.data.bfloat16()


class LeavesOpen(Wrong):
    @staticmethod
    def spoil(network: PreTrainedModel) -> None:
        network.get_input_embeddings().requires_grad_(True)


class Counts(nn.Module):
    """A layer whose buffer changes with every call in training."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, hidden: Tensor) -> Tensor:
        self.seen += float(self.training)
        return self.base(hidden)


class ChangesABuffer(Wrong):
    @staticmethod
    def spoil(network: PreTrainedModel) -> None:
        network.set_output_embeddings(Counts(network.get_output_embeddings()))


class CutsTheGradient(Wrong):
    @staticmethod
    def spoil(network: PreTrainedModel) -> None:
        next(iter(adapters(network).values())).on = False


class ForgetsSome(LoRA):
    def trainable(self, network: PreTrainedModel) -> dict[str, nn.Parameter]:
        return dict(list(LoRA.trainable(self, network).items())[1:])


class GivesARateToTheFrozen(LoRA):
    def rates(self, network: PreTrainedModel) -> dict[str, Rate]:
        return {next(name for name, value in network.named_parameters() if not value.requires_grad): Rate(2.0)}


class ReplacesTheHead(Wrong):
    """Changes the base before training, so that nothing but the adapter can be taken away again."""

    @staticmethod
    def spoil(network: PreTrainedModel) -> None:
        network.get_output_embeddings().weight.data.mul_(2)


class LeavesADropout(Wrong):
    """A module that merging does not take out again."""

    @staticmethod
    def spoil(network: PreTrainedModel) -> None:
        head = network.get_output_embeddings()
        network.set_output_embeddings(nn.Sequential(head, nn.Dropout(0.0)))


class SharesAMatrix(Wrong):
    """Every adapter's B is one and the same for a layer's shape."""

    kept: ClassVar[dict[nn.Module, nn.Parameter]] = {}

    @staticmethod
    def spoil(network: PreTrainedModel) -> None:
        for module in adapters(network).values():
            module.lora_b = SharesAMatrix.kept.setdefault(module.base, module.lora_b)


class SaysItCannotMerge(LoRA):
    mergeable = False


@pytest.mark.parametrize(
    ("law", "method"),
    [
        ("starts_as_base", StartsElsewhere(rank=2)),
        ("same_seed_same_start", DrawsGlobally(rank=2)),
        ("learns_in_float32", LearnsInHalf(rank=2)),
        ("its_rates_are_of_what_it_trains", GivesARateToTheFrozen(rank=2)),
        ("only_its_parameters_change", LeavesOpen(rank=2)),
        ("only_its_parameters_change", ForgetsSome(rank=2)),
        ("only_its_parameters_change", ChangesABuffer(rank=2)),
        ("every_parameter_gets_a_gradient", CutsTheGradient(rank=2)),
        ("off_is_the_base", ReplacesTheHead(rank=2)),
        ("merging_changes_nothing", LeavesADropout(rank=2)),
        ("two_in_a_batch_are_each_alone", SharesAMatrix(rank=2)),
        ("two_in_a_batch_are_each_alone", ReplacesTheHead(rank=2)),
        ("merging_changes_nothing", SaysItCannotMerge(rank=2)),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_each_law_is_broken_by_a_method_made_to_break_it(law: str, method: Method, make: Build) -> None:
    with pytest.raises(BrokenLawError):
        LAWS[law](method, make)


def test_a_restore_that_fills_only_some_parameters_breaks_the_law_of_saving(make: Build) -> None:
    @dataclass(frozen=True)
    class Forgets:
        """Learns everything, names only the first parameter."""

        starts_as_base: bool = True
        removable: bool = False
        mergeable: bool = False

        def attach(self, network: PreTrainedModel, *, dtype: torch.dtype, seed: int = 0) -> None:
            network.requires_grad_(True)
            for parameter in network.parameters():
                parameter.data += 0.01 * seed

        def trainable(self, network: PreTrainedModel) -> dict[str, nn.Parameter]:
            return dict(list(network.named_parameters())[:1])

    with pytest.raises(BrokenLawError, match="saving and restoring"):
        LAWS["saved_is_restored"](Forgets(), make)


def test_a_method_of_a_stranger_keeps_every_law_without_a_line_here(make: Build) -> None:
    class Shift(nn.Module):
        """A learned vector added to a layer's output, with its own way of being switched off and merged."""

        def __init__(self, base: nn.Linear) -> None:
            super().__init__()
            self.base, self.on = base, True
            self.shift = nn.Parameter(torch.zeros(base.weight.shape[0]))

        def forward(self, hidden: Tensor) -> Tensor:
            out: Tensor = self.base(hidden)
            return out + self.shift if self.on else out

    @dataclass(frozen=True)
    class ShiftHead:
        starts_as_base: bool = True
        removable: bool = False
        mergeable: bool = False

        def attach(self, network: PreTrainedModel, *, dtype: torch.dtype, seed: int = 0) -> None:
            network.requires_grad_(False)
            network.set_output_embeddings(Shift(network.get_output_embeddings()))

        def trainable(self, network: PreTrainedModel) -> dict[str, nn.Parameter]:
            return {name: value for name, value in network.named_parameters() if name.endswith("shift")}

        def rates(self, network: PreTrainedModel) -> dict[str, Rate]:
            return {}

    for law in LAWS.values():
        law(ShiftHead(), make)
