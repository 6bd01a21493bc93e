"""What a run will take, told before it starts: steps, tokens, sharing, time, memory, energy."""

from __future__ import annotations

from dataclasses import dataclass, replace

from luthier.batch import pack
from luthier.evaluate.forgetting import tokens_of_forgetting
from luthier.model.quantize import parameters
from luthier.run.prepare import Prepared
from luthier.train.forecast import Estimate, Forecast, estimate, forecast
from luthier.train.log import spoken
from luthier.train.pace import rows_per_look
from luthier.words import counted

FORWARD_SHARE = 0.4
"""Of a training step's time, what a forward alone takes; an evaluated row is asked and scored, so it counts twice."""
DECODING = 4
"""Times a forward that a generated token takes: few rows go on at a time, and each reads all weights."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The run that is about to start."""

    size: Forecast
    cost: Estimate
    """Training and evaluating together."""
    trainable: int
    parameters: int
    forgetting_s: float
    """Of that, what measuring the forgetting takes."""
    asked_row_s: float
    """What asking and scoring one more row takes."""
    base_bytes: int = 0
    """Of the memory, the copy of the base that the objective is held to."""

    def told(self) -> str:
        """For people."""
        return f"{self.size_told()}\n{self.cost_told()}"

    def size_told(self) -> str:
        """What is computed and learned."""
        size = self.size
        return (
            f"{counted(size.steps, 'step')} over {counted(size.examples, 'row')}: {size.logical:,} tokens, "
            f"of which {size.distinct:,} are computed (D = {size.sharing:.2f}: tokens read for each one computed); "
            f"{self.trainable:,} of {self.parameters:,} parameters learn "
            f"({self.trainable / self.parameters:.2%})"
        )

    def cost_told(self) -> str:
        """What it takes."""
        cost = self.cost
        return (
            f"estimate: {spoken(cost.seconds)}, {cost.peak_bytes / 2**30:.1f} GiB, {cost.energy_wh:.2g} Wh "
            f"({cost.assumption})"
            + (f"; of it {spoken(self.forgetting_s)} to see what it forgets" if self.forgetting_s else "")
            + (f"; {self.base_bytes / 2**30:.1f} GiB of memory hold the model as it was" if self.base_bytes else "")
        )


def expect(prepared: Prepared) -> Expected:
    """Judged from a real micro-batch, computed forward and backward, that changes nothing. Attach the method first."""
    size = size_of(prepared)
    cost = estimate(prepared.model, prepared.recipe.objective, size, prepared.recipe.train)
    return with_evaluation(prepared, size, cost)


def size_of(prepared: Prepared) -> Forecast:
    """Steps and tokens, counted."""
    replay = prepared.replayed.replay if prepared.replayed else None
    return forecast(prepared.sequences, prepared.recipe.train, replay, prepared.mixture)


def with_evaluation(prepared: Prepared, size: Forecast, cost: Estimate) -> Expected:
    """The whole run, by what training alone is judged to cost."""
    network = prepared.model.network
    forgetting = _forgetting_tokens(prepared)
    more = 1 + (_evaluation_tokens(prepared, size.distinct) + forgetting) / max(1, size.distinct)
    a_token_s = cost.seconds / max(1, size.distinct)
    cost = replace(cost, seconds=cost.seconds * more, energy_wh=cost.energy_wh * more)
    learned = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    beside = prepared.model.base.bytes if prepared.model.base is not None else 0
    asked_row_s = a_token_s * FORWARD_SHARE * _asked_tokens(prepared)
    return Expected(size, cost, learned, parameters(network), a_token_s * forgetting, asked_row_s, beside)


def _forgetting_tokens(prepared: Prepared) -> int:
    """What measuring the forgetting costs, both sides together, in tokens of training."""
    if not prepared.recipe.forgetting.measure:
        return 0
    read, written = tokens_of_forgetting(prepared.model)
    rows = 2 * sum(len(one.examples) for one in prepared.earlier)
    return round(FORWARD_SHARE * (read + DECODING * written + rows * _asked_tokens(prepared)))


def _evaluation_tokens(prepared: Prepared, trained: int) -> int:
    """What evaluating costs, in tokens of training: the test twice, all validation rows once, and the looks between.

    Looks take no more than their share, the last one apart.
    """
    train = prepared.recipe.train
    a_row = FORWARD_SHARE * _asked_tokens(prepared)
    trained_rows = len(prepared.sequences) * train.epochs
    rows = rows_per_look(len(prepared.watched), share=train.evaluation_share, rows_trained=round(trained_rows))
    looks = train.evaluations_per_epoch * train.epochs * rows * a_row
    if train.evaluation_share < 1:
        looks = min(looks, max(rows * a_row, trained * train.evaluation_share / (1 - train.evaluation_share)))
    held_out = len(prepared.asked) + len(prepared.compared) + len(prepared.splits["validation"])
    held_out += 2 * sum(len(one.asked) for one in prepared.mixed)
    return round(held_out * a_row + looks)


def _asked_tokens(prepared: Prepared) -> float:
    """Tokens of a forward that asking and scoring one row takes, judged from training rows."""
    some = prepared.sequences[:64]
    written = sum(one.supervised for one in some) / len(some) if prepared.task.kind == "text" else 0
    return 2 * pack(some).distinct / len(some) + DECODING * written
