"""Prompt tuning: learned input embeddings are the first tokens of every row.

In the forest they are one more node, the root that all other tokens descend from, and are computed once a batch. While
decoding goes on, what the prefill kept of them is a prefix. Source: Lester et al. 2021, arXiv:2104.08691.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from luthier.methods.method import lora_lr
from luthier.methods.virtual import NAME, Call, Virtual, VirtualTokens, put
from luthier.model.plan import Plan, Prefix, Step, behind, beneath


class PromptEmbeddings(Virtual):
    """Input embeddings of p virtual tokens: `weight` (p, d), as PEFT has it."""

    def in_forest(self, trunk: PreTrainedModel, call: Call, tokens: Tensor, forest: Plan | Step) -> None:
        """They are the root of a plan's forest; a decoding step sees what the prefill kept of them."""
        if isinstance(forest, Step):
            call["forest"] = behind(forest, Prefix(self.count, forest.cache.root))
            return
        call["forest"] = grown = beneath(forest, self.count)
        call["position_ids"] = grown.query_depth[None]
        self._embed(trunk, call, tokens)

    def in_rows(self, trunk: PreTrainedModel, call: Call, tokens: Tensor) -> None:
        """Every row begins with them."""
        if isinstance(positions := call.get("position_ids"), Tensor):
            first = torch.arange(self.count, device=positions.device).expand(len(positions), -1)
            call["position_ids"] = torch.cat((first, positions), dim=1)
        self._embed(trunk, call, tokens)

    def take_away(
        self, trunk: PreTrainedModel, args: tuple[object, ...], call: Call, out: BaseModelOutput
    ) -> BaseModelOutput:
        """The hidden states of the callers' own tokens."""
        ours = self.on and getattr(trunk, NAME, None) is self and call.get("inputs_embeds") is not None
        if ours and out.last_hidden_state is not None:
            out.last_hidden_state = out.last_hidden_state[:, self.count :]
        return out

    def _embed(self, trunk: PreTrainedModel, call: Call, tokens: Tensor) -> None:
        words: Tensor = trunk.get_input_embeddings()(tokens)
        first = self.weight.to(words.dtype).expand(len(words), -1, -1)
        call["input_ids"], call["inputs_embeds"] = None, torch.cat((first, words), dim=1)


@dataclass(frozen=True, slots=True)
class PromptTuning(VirtualTokens):
    """Input embeddings of virtual tokens learn. Source: Lester et al. 2021, arXiv:2104.08691."""

    def usual_lr(self, network: PreTrainedModel) -> float:
        """Thirty times LoRA's: nothing else moves, and what does is read through every layer."""
        return 30 * lora_lr(network)

    def attach(self, network: PreTrainedModel, *, dtype: torch.dtype, seed: int = 0) -> None:
        """Freezes the network in the compute dtype and puts a prompt before all that it reads.

        Raises ModelError if it has virtual tokens already.
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            words = network.get_input_embeddings()(self.start(network, generator).to(network.device)).float()
        put(network, PromptEmbeddings(self.begun(words, generator)), dtype=dtype)
