"""The whole of training without configuration: read -> render -> pack -> forward -> objective -> step.

python examples/loop.py            (tunes SmolLM2-135M on 64 bundled messages for a minute or two)
"""

import torch

from luthier.batch import cut, pack
from luthier.data.read import ReadOptions, read
from luthier.data.render import render_all
from luthier.demo import TRAIN
from luthier.methods import LoRA
from luthier.model.accept import open_model
from luthier.model.forward import forward
from luthier.model.load import ModelOptions
from luthier.objectives import SFT


def main(
    rows: int = 64, per_step: int = 16, lr: float = 5e-4, budget: int = 2048, model_name: str = "smollm2-135m"
) -> list[float]:
    """One pass over a few rows; returns the loss of each step."""
    examples = read(str(TRAIN), ReadOptions(input="message", output="intent", limit=rows)).examples
    model = open_model(ModelOptions(name=model_name))
    method, objective = LoRA(rank=8), SFT()
    method.attach(model.network, dtype=model.dtype)
    optimizer = torch.optim.AdamW(method.trainable(model.network).values(), lr=lr)
    sequences = [
        row.sequence for rendered in render_all(examples, model.tokenizer, max_length=None) for row in rendered
    ]

    losses = []
    for start in range(0, len(sequences), per_step):
        batches = [pack(part) for part in cut(sequences[start : start + per_step], budget=budget)]
        total = sum(batch.count(objective.unit) for batch in batches)
        losses.append(0.0)
        for batch in batches:
            summed, _ = objective(forward(model, batch), batch)  # a sum, so that the cut changes nothing
            (summed / total).backward()
            losses[-1] += summed.item() / total
        print(f"step {len(losses)}: {sum(batch.distinct for batch in batches)} tokens computed, loss {losses[-1]:.3f}")
        optimizer.step()
        optimizer.zero_grad()
    return losses


if __name__ == "__main__":
    main()
