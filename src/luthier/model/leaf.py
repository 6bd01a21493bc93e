"""A linear head that reads one hidden state a prompt: the last one, from which an answer would begin.

In place of writing a label it says how likely each is, or one number. It learns beside whatever the method lets learn,
stands in the network as `leaf_head`, and can be switched off and on as adapters can. Last states of different prompts
are nearly alike and long, so that what they share would drown what tells them apart: the head reads them less their
mean over some training rows, in units of their spread.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from luthier.errors import ModelError

NAME = "leaf_head"
"""Its place in a network."""
WEIGHTS = "head.safetensors"
FACTS = "head.json"
SPREAD = 0.02
"""Standard deviation that its weights start with."""
READ = ("center", "unit")
"""What states are read by; in a file beside the weights that learn, and folded into those that other tools read."""


class LeafHead(nn.Module):
    """Scores of labels, or a number, from a hidden state: float32, whatever the network computes in."""

    def __init__(self, width: int, labels: Sequence[str] = (), *, mean: float = 0.0, spread: float = 1.0) -> None:
        """labels: one output each; none makes one output, a number in units of `spread` from `mean`."""
        super().__init__()
        self.labels, self.mean, self.spread = tuple(labels), mean, spread
        self.linear = nn.Linear(width, max(1, len(self.labels)))
        self.center: Tensor
        self.unit: Tensor
        self.register_buffer("center", torch.zeros(width), persistent=False)
        self.register_buffer("unit", torch.ones(()), persistent=False)
        self.on = True

    def start(self, seed: int) -> None:
        """Draws the weights on the CPU, so that every device starts alike."""
        drawn = torch.empty(self.linear.weight.shape).normal_(0, SPREAD, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            self.linear.weight.copy_(drawn)
            self.linear.bias.zero_()

    def read_by(self, states: Tensor) -> None:
        """Takes mean and spread of some states (u, d); a single one, or equal ones, leave the unit as it is."""
        exact = states.detach().float()
        self.center = exact.mean(dim=0)
        spread = (exact - self.center).square().mean().sqrt()
        self.unit = spread if float(spread) > 0 else torch.ones_like(spread)

    def folded(self) -> dict[str, Tensor]:
        """Weight and bias that give the same from a state as it is."""
        weight = self.linear.weight.double() / self.unit.double()
        bias = self.linear.bias.double() - weight @ self.center.double()
        return {"weight": weight.float(), "bias": bias.float()}

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden (u, d) -> (u, k) log-probabilities of the labels, or (u, 1) the number; float32."""
        with torch.autocast(hidden.device.type, enabled=False):
            out: Tensor = self.linear((hidden.float() - self.center) / self.unit)
        return out.log_softmax(dim=-1) if self.labels else out

    def merged(self) -> nn.Module:
        """Itself: it stands beside the base's weights and not in them."""
        return self


def leaf_head(network: nn.Module) -> LeafHead | None:
    """The head a network carries, where it is switched on."""
    found = getattr(network, NAME, None)
    return found if isinstance(found, LeafHead) and found.on else None


def attach_head(network: PreTrainedModel, head: LeafHead) -> LeafHead:
    """Puts a head into a network, where it learns with what learns already."""
    setattr(network, NAME, head.to(network.device))
    return head


def without_head(network: nn.Module) -> dict[str, Tensor]:
    """A network's own tensors, as other tools know them."""
    return {name: value for name, value in network.state_dict().items() if not name.startswith(f"{NAME}.")}


def save_head(network: nn.Module, folder: Path) -> None:
    """Writes the head beside what else was learned; nothing where there is none."""
    head = getattr(network, NAME, None)
    if not isinstance(head, LeafHead):
        return
    own = {f"learned.{name}": value for name, value in head.linear.state_dict().items()}
    every = {**head.folded(), **own, **{name: getattr(head, name) for name in READ}}
    tensors = {name: value.detach().cpu().contiguous() for name, value in every.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    facts = {"labels": list(head.labels), "mean": head.mean, "spread": head.spread}
    (folder / FACTS).write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_head(folder: Path, *, folded: bool = False) -> LeafHead | None:
    """A saved head by itself; None where none was saved. Raises ModelError where it cannot be read.

    folded: by the weight and bias that other tools read, which take a state as it is.
    """
    if not (folder / FACTS).is_file():
        return None
    try:
        facts, tensors = json.loads((folder / FACTS).read_text(encoding="utf-8")), load_file(folder / WEIGHTS)
        saved = LeafHead(tensors["weight"].shape[1], facts["labels"], mean=facts["mean"], spread=facts["spread"])
        own = {} if folded else tensors
        saved.linear.load_state_dict({name: own.get(f"learned.{name}", tensors[name]) for name in ("weight", "bias")})
        saved.center, saved.unit = (own.get(name, getattr(saved, name)) for name in READ)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: its head cannot be read ({error}); use another checkpoint") from error
    return saved


def restore_head(network: PreTrainedModel, folder: Path) -> None:
    """Loads a saved head, into the network's own if it has one; nothing where none was saved.

    Raises ModelError where it cannot be read or does not fit.
    """
    saved = read_head(folder)
    if saved is None:
        return
    width = network.config.get_text_config().hidden_size
    if saved.linear.in_features != width:
        raise ModelError(f"{folder}: its head reads {saved.linear.in_features} numbers; the network has {width}")
    own = cast("LeafHead | None", getattr(network, NAME, None))
    if own is None:
        attach_head(network, saved.requires_grad_(False))
    elif own.labels != saved.labels:
        raise ModelError(f"{folder}: its head knows other labels than the network's")
    else:
        own.linear.load_state_dict(saved.linear.state_dict())
        own.center, own.unit = saved.center.to(own.center), saved.unit.to(own.unit)
