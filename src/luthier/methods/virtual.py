"""Virtual tokens: what is learned stands before every path, as the root of the forest, and no row holds it.

A module of the network keeps it. Hooks on the network's trunk put it in place in the engine's forward and in
transformers' own alike, so that whoever asks the network asks it with what was learned; switched off, they change
nothing. Real tokens stand that many positions further on, and a window counts virtual tokens as earlier ones: both are
what transformers does with a filled cache, and so what PEFT computes.

Not here: what a virtual token is (`prefix.py`, `prompt.py`), and how it is kept in files (`peft_virtual.py`).
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, Cache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from luthier.errors import ModelError, RecipeError
from luthier.methods.lora import freeze_base
from luthier.methods.method import Rate
from luthier.model.plan import Plan, Step

NAME: Final = "virtual_tokens"
"""The module's name in its network's trunk."""

COMMON = 5000
"""Words are drawn from this many first ones: a vocabulary is as good as sorted by how common its tokens are."""

Call: TypeAlias = dict[str, object]
"""What a trunk is called with, by name."""


class Virtual(nn.Module):
    """Virtual tokens of a network; `weight` (p, ...) is what is learned."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.on = True

    @property
    def count(self) -> int:
        """p: how many virtual tokens there are."""
        return len(self.weight)

    def in_forest(self, trunk: PreTrainedModel, call: Call, tokens: Tensor, forest: Plan | Step) -> None:
        """Changes a call of the engine on packed tokens (1, q), in place; positions are shifted already."""
        raise NotImplementedError

    def in_rows(self, trunk: PreTrainedModel, call: Call, tokens: Tensor) -> None:
        """Changes a call of transformers' own on the first tokens (b, t) of rows, in place.

        The cache, if there is one, is empty; the mask is widened and positions are shifted already.
        """
        raise NotImplementedError

    def put_before(
        self, trunk: PreTrainedModel, args: tuple[object, ...], given: Call
    ) -> tuple[tuple[()], Call] | None:
        """The hook before every call of the trunk."""
        if not self.on or getattr(trunk, NAME, None) is not self:  # taken off, as `as_opened` does
            return None
        call = {**dict(zip(inspect.signature(trunk.forward).parameters, args, strict=False)), **given}
        tokens, forest = call.get("input_ids"), call.get("forest")
        if not isinstance(tokens, Tensor):
            raise ModelError("virtual tokens stand before token ids; call the network with input_ids")
        if isinstance(positions := call.get("position_ids"), Tensor):
            call["position_ids"] = positions + self.count
        if isinstance(forest, Plan | Step):
            self._check_room(trunk, forest.longest)
            self.in_forest(trunk, call, tokens, forest)
        else:
            self._before_rows(trunk, call, tokens)
        return (), call

    def take_away(
        self, trunk: PreTrainedModel, args: tuple[object, ...], call: Call, out: BaseModelOutput
    ) -> BaseModelOutput:
        """The hook after every call of the trunk, whose callers know of no virtual token."""
        return out

    def _before_rows(self, trunk: PreTrainedModel, call: Call, tokens: Tensor) -> None:
        cache, mask = call.get("past_key_values"), call.get("attention_mask")
        if call.get("cache_params") is not None:
            raise ModelError(f"{type(trunk).__name__} goes on from a state of its own, which has no virtual tokens")
        if isinstance(mask, Tensor):
            if mask.ndim != 2:
                raise ModelError(f"virtual tokens need a mask of two dimensions, (rows, tokens), not {mask.ndim}")
            call["attention_mask"] = torch.cat((mask.new_ones(len(mask), self.count), mask), dim=1)
        if not isinstance(cache, Cache) or not cache.get_seq_length():
            self._check_room(trunk, tokens.shape[1])
            self.in_rows(trunk, call, tokens)

    def _check_room(self, trunk: PreTrainedModel, longest: int) -> None:
        limit = getattr(trunk.config.get_text_config(), "max_position_embeddings", None) or math.inf
        if longest + self.count > limit:
            raise ModelError(
                f"{longest} tokens with {self.count} virtual ones before them are more than the {limit} positions of "
                f"{type(trunk).__name__}; set model.max_length={limit - self.count}"
            )


@dataclass(frozen=True, slots=True)
class VirtualTokens:
    """How many virtual tokens learn, and what they start from."""

    tokens: int = 16
    """How many virtual tokens stand before every row."""
    init: Literal["words", "random"] = "words"
    """Start as the base reads real tokens, or as noise of the same size, from which learning takes longer."""
    text: str = ""
    """The text it starts from with init=words, cut or repeated to `tokens`; empty draws words of the vocabulary."""

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise RecipeError(f"tokens is {self.tokens}; it must be at least 1")
        if self.text and self.init != "words":
            raise RecipeError("text is what it starts from with init=words; leave one of the two out")

    @property
    def starts_as_base(self) -> bool:
        """False: from the first step on every token attends to them."""
        return False

    @property
    def removable(self) -> bool:
        """True: the base is frozen."""
        return True

    @property
    def mergeable(self) -> bool:
        """False: no weight of the base stands before a row."""
        return False

    def trainable(self, network: PreTrainedModel) -> dict[str, nn.Parameter]:
        """The one parameter."""
        found = {path: module for path, module in network.named_modules() if isinstance(module, Virtual)}
        return {f"{path}.weight": module.weight for path, module in found.items()}

    def rates(self, network: PreTrainedModel) -> dict[str, Rate]:
        """None: there is one parameter."""
        return {}

    def start(self, network: PreTrainedModel, generator: torch.Generator) -> Tensor:
        """The real tokens it starts from: (p,)."""
        if self.text:
            read = _read(network, self.text)
            return torch.tensor((read * self.tokens)[: self.tokens])
        size = min(COMMON, network.config.get_text_config().vocab_size)
        return torch.randint(0, size, (self.tokens,), generator=generator)

    def begun(self, weight: Tensor, generator: torch.Generator) -> Tensor:
        """The start itself: what real tokens gave, or noise of the same size."""
        if self.init == "words":
            return weight
        return torch.randn(weight.shape, generator=generator).to(weight.device) * weight.std()


def put(network: PreTrainedModel, made: Virtual, *, dtype: torch.dtype) -> None:
    """Freezes a network in the compute dtype and puts virtual tokens before all that it reads.

    Raises ModelError if there are some already.
    """
    if carried(network, Virtual) is not None:
        raise ModelError("the network has virtual tokens already; restore into them instead")
    freeze_base(network, dtype)
    trunk = network.get_decoder()  # what OPT's own forward calls is not its base_model
    trunk.add_module(NAME, made.to(network.device))
    trunk.register_forward_pre_hook(made.put_before, with_kwargs=True)
    trunk.register_forward_hook(made.take_away, with_kwargs=True)


V = TypeVar("V", bound=Virtual)


def carried(network: PreTrainedModel, kind: type[V]) -> V | None:
    """The virtual tokens a network carries, if they are of a kind."""
    found = getattr(network.get_decoder(), NAME, None)
    return found if isinstance(found, kind) else None


def _read(network: PreTrainedModel, text: str) -> list[int]:
    """The tokens of a text, by the tokenizer that lies beside the network's weights."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(network.name_or_path, local_files_only=True, trust_remote_code=False)
    except (ImportError, OSError, ValueError) as error:
        raise ModelError(
            f"method.text: no tokenizer opens at {network.name_or_path!r} to read it with: {error}"
        ) from error
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not ids:
        raise ModelError(f"method.text: {text!r} holds no token")
    return [int(token) for token in ids]
