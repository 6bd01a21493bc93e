"""The frozen trunk, computed once: hidden states at the cut by the path of tokens that leads to them, kept on disk.

What a token's hidden state is depends on the weights below the cut and on its path from the root alone, so one entry
serves every epoch, every run with these weights, every evaluation and the base that an objective holds a model to.
What was used once is used ever after: a batch that is not wholly known is computed whole, what is known of it stays as
it was kept, and the rest is kept before it is used. So a resumed run has the bits of the uninterrupted one.
Decoding, which goes on from the keys of every layer, computes the trunk; so does a model that cannot share.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b, sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from luthier.batch import Batch
from luthier.model.attention import NAME
from luthier.model.cut import Cut, find_cut
from luthier.model.gguf import cache_folder
from luthier.model.kept import Bytes, Kept, Words
from luthier.model.layers import layer_list
from luthier.model.load import Model
from luthier.model.quantize import QuantizedLinear
from luthier.types import Json
from luthier.words import counted

LAYOUT = 1
"""Raised whenever the same states would be stored or found in another way."""
KEY = 16
"""Bytes of a path's key."""
PLACES = frozenset({"transformers_version", "dtype", "torch_dtype", "architectures"})
"""Entries of a configuration that change nothing that is computed; those that begin with `_` neither."""


def trunk_folder() -> Path:
    """Where the hidden states of frozen trunks lie."""
    return cache_folder() / "trunk"


@dataclass(slots=True, eq=False)
class KeptTrunk:
    """The layers below the cut, as what they computed."""

    cut: int
    """How many layers are below it."""
    layers: int
    """How many the network has."""
    kept: Kept
    stored: torch.dtype
    """What is on disk."""
    stream: torch.dtype
    """What the network goes on with."""
    read: int = 0
    """Tokens taken from disk."""
    computed: int = 0
    """Tokens that went through the trunk."""

    def below(self, batch: Batch) -> Known:
        """What is known of a batch."""
        keys = path_keys(batch)
        rows, known = self.kept.find(keys)
        if not known.all():
            self.kept.refresh()
            rows, known = self.kept.find(keys)
        whole = bool(known.all())
        self.read, self.computed = self.read + len(keys) * whole, self.computed + len(keys) * (not whole)
        return Known(self, keys, rows, known, batch.tokens.device)

    def told(self) -> str:
        """What it saved, for people."""
        total = self.read + self.computed
        if not total:
            return ""
        said = f"{self.read / total:.0%} of the tokens that went through the layers began above the frozen ones"
        if self.kept.damaged:
            said += f"; damaged on disk and computed anew: {counted(self.kept.damaged, 'hidden state')}"
        if self.kept.refused:
            said += f"; no room was left for {counted(self.kept.refused, 'hidden state')} (train.trunk_gb)"
        return said


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of one batch's hidden states at the cut."""

    trunk: KeptTrunk
    keys: Words
    """(n, 2)"""
    rows: Bytes
    """(n, bytes of one state)"""
    known: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """(n,)"""
    device: torch.device

    @property
    def hidden(self) -> Tensor | None:
        """(n, d) where every token's is known."""
        return self._opened(self.rows) if self.known.all() else None

    def completed(self, computed: Tensor) -> Tensor:
        """Keeps what was not known, (n, d), and gives every token's as it will be read from now on: (n, d)."""
        fresh: Bytes = computed.detach().to(self.trunk.stored).cpu().contiguous().view(torch.uint8).numpy()
        rows = np.where(self.known[:, None], self.rows, fresh)
        _, first, inverse = np.unique(self.keys, axis=0, return_index=True, return_inverse=True)
        new = first[~self.known[first]]
        self.trunk.kept.add(self.keys[new], rows[new])
        return self._opened(rows[first][inverse.reshape(-1)])

    def _opened(self, rows: Bytes) -> Tensor:
        return torch.from_numpy(rows).view(self.trunk.stored).to(self.device).to(self.trunk.stream)


def keep_trunk(model: Model, *, exact: bool, gigabytes: float, folder: Path | None = None) -> Cut:
    """Finds the cut of a model whose method is attached, and keeps what is below it as `model.trunk`.

    exact: as the stream of hidden states is; otherwise in the number format of the products, which rounds each state
    once. gigabytes: most that all kept trunks may hold together. folder: by default the user's cache folder.
    """
    model.trunk = None
    cut = find_cut(model) if gigabytes > 0 else Cut(0)
    if not cut.layer:
        return cut
    stored = cut.dtype if exact else model.dtype
    width = cut.width * stored.itemsize
    if width % 8:
        return Cut(0, f"a hidden state of {width} bytes is not kept; only multiples of 8 are")
    try:
        about = _about(model, cut, stored)
        kept = Kept(
            (folder or trunk_folder()) / str(about["key"]), width=width, limit=int(gigabytes * 1e9), about=about
        )
    except (OSError, RuntimeError, TypeError, NotImplementedError) as error:
        return Cut(0, f"they cannot be kept: {error}")
    layers = len(layer_list(model.network))
    model.trunk = KeptTrunk(cut.layer, layers, kept, stored, cut.dtype)
    if model.base is not None:
        model.base.model.trunk = model.trunk
    return cut


def path_keys(batch: Batch) -> Words:
    """128 bits for each token's path from its root, itself included: (n, 2). Equal paths have equal keys."""
    keys: list[bytes] = []
    for token, parent in zip(batch.tokens.tolist(), batch.parent.tolist(), strict=True):
        before = keys[parent] if parent >= 0 else b""
        keys.append(blake2b(before + token.to_bytes(8, "little"), digest_size=KEY).digest())
    return np.frombuffer(b"".join(keys), np.uint64).reshape(-1, 2)


def _about(model: Model, cut: Cut, stored: torch.dtype) -> dict[str, Json]:
    """What computed the states, with the key that follows from all of it."""
    facts: dict[str, Json] = {
        "layout": LAYOUT,
        "weights": _weights(model, cut.layer),
        "cut": cut.layer,
        "products": str(model.dtype).removeprefix("torch."),
        "stored": str(stored).removeprefix("torch."),
        "stream": str(cut.dtype).removeprefix("torch."),
        "attention": NAME,
        "device": model.device.type,
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }
    key = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    return {"key": key, "model": model.name, "layers": len(layer_list(model.network)), **facts}


def _weights(model: Model, cut: int) -> str:
    """SHA-256 of the configuration and of every tensor that can have a part in the states at the cut."""
    network = model.network
    config = network.config.get_text_config().to_dict()
    plain = {name: value for name, value in config.items() if name not in PLACES and not name.startswith("_")}
    digest = sha256(json.dumps(plain, sort_keys=True, default=str).encode())
    above = {module for layer in layer_list(network)[cut:] for module in layer.modules()}
    for path, module in network.base_model.named_modules():
        if module not in above:
            for name, tensor in sorted(_tensors(module).items()):
                digest.update(f"{path}.{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's own tensors that never change, by name; a weight in few bits as it is computed with."""
    found = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
    if isinstance(module, QuantizedLinear):
        found["weight"] = module.weight
    return {name: tensor for name, tensor in found.items() if not tensor.requires_grad}
