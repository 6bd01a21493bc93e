"""What an export format is, and what every one of them carries beside the weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from transformers import GenerationConfig

from luthier.methods.tuned import Tuned
from luthier.model.leaf import save_head
from luthier.model.load import Model


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an export's log-probabilities may lie from the tuned model's, in nats a token, both in float32."""

    mean: float
    largest: float
    tie: float
    """Two next tokens this close may change places in a greedy answer."""


FLOAT32 = Tolerance(mean=1e-4, largest=1e-3, tie=2e-3)
"""Weights kept in float32. SmolLM2-135M with an adapter: 8e-6 and 3e-5; what is left is the order of summation."""
FLOAT16 = Tolerance(mean=0.01, largest=0.1, tie=0.1)
"""Weights rounded once to 11 significant bits. SmolLM2-135M tuned with an adapter: 7e-4 and 0.011; in full: 0.003 and
0.04."""
BFLOAT16 = Tolerance(mean=0.1, largest=1.0, tie=0.5)
"""Weights rounded once to 8 significant bits. SmolLM2-135M tuned with an adapter: 0.04 and 0.44, no more than
computing the untuned model in bfloat16 costs (0.06 and 0.38). Tuned in full, 25 steps at 3e-5: 0.36 and 3.6, since its
many small updates are of the size of the rounding; that is refused."""


class Format(Protocol):
    """One way to hand a tuned model on."""

    @property
    def name(self) -> str:
        """As the command line names it."""

    def write(self, model: Model, tuned: Tuned, folder: Path) -> None:
        """Fills an empty folder from the tuned model, which was opened in float32 and may be used up by it.

        Raises RunError where the run holds nothing that this format can carry.
        """

    def read(self, folder: Path, *, device: Literal["auto", "cpu", "cuda"] = "auto") -> Model:
        """What transformers makes of the folder, in float32; raises ModelError."""

    def tolerance(self, folder: Path) -> Tolerance:
        """What this folder's number format allows."""


def write_companions(model: Model, folder: Path) -> None:
    """Writes the tokenizer with its chat template, generation settings that answer as the run was judged, and the head
    that answers where there is one.
    """
    model.tokenizer.save_pretrained(folder)
    settings(model).save_pretrained(folder)
    save_head(model.network, folder)


def settings(model: Model) -> GenerationConfig:
    """Greedy, without the base's penalties, stopping on everything that ends an answer."""
    stop = sorted(model.stop)
    pad = model.tokenizer.pad_token_id
    return GenerationConfig(
        do_sample=False,
        bos_token_id=model.tokenizer.bos_token_id,
        eos_token_id=stop,
        pad_token_id=stop[0] if pad is None else pad,
    )
