"""Keys and values that decoding goes on from."""

from __future__ import annotations

from torch import Tensor


class Cache:
    """Keys and values of every layer, packed as the forest is, so that a shared beginning is held once.

    Token by token, so that what a row sees is gathered in whole lines.
    """

    def __init__(self, capacity: int, ahead: int = 0) -> None:
        self.capacity = capacity
        self.ahead = ahead
        """Tokens by which a path may still grow."""
        self.length = 0
        self.root: dict[int, tuple[Tensor, Tensor]] = {}
        """Keys and values of the learned tokens that every path begins with, where there are any; by layer."""
        self.masked = False
        """Whether any layer needs a mask to see its own of what is held, or will when paths have grown."""
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def layers(self) -> list[int]:
        """Those that hold anything."""
        return list(self._layers)

    def layer(self, number: int) -> tuple[Tensor, Tensor]:
        """What a layer holds, keys and values: (k, kv heads, width) each."""
        keys, values = self._layers[number]
        return keys[: self.length], values[: self.length]

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Appends (1, kv heads, q, width) behind what the layer holds; returns all of it, with the new at the end.

        Each is (k, kv heads, width).
        """
        if layer not in self._layers:
            self._layers[layer] = tuple(  # type: ignore[assignment]
                t.new_empty(self.capacity, t.shape[1], t.shape[3]) for t in (key, value)
            )
        upto = self.length + key.shape[2]
        for held, new in zip(self._layers[layer], (key, value), strict=True):
            held[self.length : upto] = new[0].transpose(0, 1)
        keys, values = self._layers[layer]
        return keys[:upto], values[:upto]
