"""In bfloat16 a young adapter is not rounded away: what it adds is far smaller than a step of the base's output."""

import torch
from torch import nn

from luthier.methods.linear import TOGETHER, LoRALinear


def adapted(dtype: torch.dtype) -> LoRALinear:
    torch.manual_seed(0)
    base = nn.Linear(64, 48, bias=False)
    base.weight.data = base.weight.data.bfloat16().to(dtype) * 8
    layer = LoRALinear(base, rank=4, alpha=8.0)
    layer.start(torch.Generator().manual_seed(0))
    layer.lora_b.data.fill_(1e-4).mul_(torch.where(torch.rand(48, 4) > 0.5, 1.0, -1.0))
    return layer


def kept(rows: int) -> float:
    """Slope of what the adapter adds in bfloat16 on what it adds in float64: 1 where nothing is lost."""
    exact, half = adapted(torch.float64), adapted(torch.bfloat16)
    x = torch.randn(4096, 64).bfloat16()
    with torch.no_grad():
        inner = x.double() @ exact.lora_a.double().T
        truth = inner @ exact.lora_b.double().T * exact.scale
        added = torch.cat([half(part) - half.base(part) for part in x.split(rows)]).double()
    return float((added * truth).sum() / (truth * truth).sum())


def test_what_a_young_adapter_adds_survives_rounding():
    assert 0.8 < kept(1024) < 1.2


def test_rounded_after_the_base_it_is_lost():
    assert kept(TOGETHER - 1) < 0.5
