"""The head that learns nothing: the same scores and gradients as plain torch, and as the head that may learn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from luthier.model import settled as module
from luthier.model.head import Head, _Scored

VOCABULARY, WIDTH, ROWS = 41, 8, 13


def case(dtype: torch.dtype = torch.float64, *, bias: bool = False) -> tuple[nn.Linear, Tensor, Tensor, Tensor, Tensor]:
    """A frozen layer, states, and pairs: some rows predict several tokens, some pairs stand twice, one row none."""
    draw = torch.Generator().manual_seed(3)
    layer = nn.Linear(WIDTH, VOCABULARY, bias=bias, dtype=dtype).requires_grad_(False)
    with torch.no_grad():
        for part in layer.parameters():
            part.copy_(torch.randn(part.shape, generator=draw))
    hidden = torch.randn(ROWS, WIDTH, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
    row = torch.tensor([0, 0, 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12])
    token = torch.randint(0, VOCABULARY, (len(row),), generator=draw)
    token[1] = token[0]
    pulls = torch.randn(len(row), generator=draw, dtype=torch.float64)
    return layer, hidden, row, token, pulls


def plain(head: Head, hidden: Tensor, row: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
    """Written out over the whole table."""
    table = head.logits(hidden).log_softmax(-1)
    return table[row, token], table.mean(-1)[row]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [128, 3])
@pytest.mark.parametrize(("scale", "softcap", "uniform"), [(1.0, None, False), (0.3, None, True), (0.7, 2.0, False)])
def test_scores_and_gradients_are_those_of_plain_torch(
    monkeypatch: pytest.MonkeyPatch, scale: float, softcap: float | None, uniform: bool, rows: int, bias: bool
) -> None:
    monkeypatch.setattr(module, "ROWS", rows)
    layer, hidden, row, token, pulls = case(bias=bias)
    head = Head(layer, scale, softcap)
    assert not head.learns
    scored, mean = head.logprobs(hidden, row, token, uniform=uniform)
    wanted, wanted_mean = plain(head, hidden, row, token)
    torch.testing.assert_close(scored, wanted, rtol=0, atol=1e-12)
    if uniform:
        torch.testing.assert_close(mean, wanted_mean, rtol=0, atol=1e-12)
    loss = (scored * pulls).sum() + (0.0 if mean is None else (mean * pulls.flip(0)).sum())
    expected = (wanted * pulls).sum() + (wanted_mean * pulls.flip(0) * uniform).sum()
    (got,), (right,) = torch.autograd.grad(loss, hidden), torch.autograd.grad(expected, hidden)
    torch.testing.assert_close(got, right, rtol=0, atol=1e-11)
    assert right[3].abs().max() == got[3].abs().max() == 0, "a row that predicts nothing is pulled nowhere"


def test_it_agrees_with_the_head_that_may_learn_in_half_precision() -> None:
    layer, hidden, row, token, pulls = case(torch.bfloat16)
    scored, _ = Head(layer).logprobs(hidden, row, token, uniform=False)
    twin, _ = _Scored.apply(hidden, layer.weight, None, row, token, 1.0, None)
    assert torch.equal(scored, twin), "the base beside a model that learns is the base to the bit"
    (got,), (right,) = (torch.autograd.grad((one * pulls).sum(), hidden) for one in (scored, twin))
    assert float((got.double() - right.double()).norm() / right.double().norm()) < 0.01


def test_a_token_that_is_all_but_certain_keeps_its_small_gradient() -> None:
    layer, hidden, *_ = case(torch.bfloat16)
    row, token = torch.arange(ROWS), torch.arange(ROWS)
    with torch.no_grad():
        hidden.copy_(layer.weight[:ROWS] * 4)
    scored, _ = Head(layer).logprobs(hidden, row, token, uniform=False)
    sure = scored.detach().exp() > 0.999
    assert sure.sum() > 2
    (got,) = torch.autograd.grad(scored.sum(), hidden)
    exact = hidden.detach().double().requires_grad_()
    table = exact @ layer.weight.double().T
    (right,) = torch.autograd.grad(table.log_softmax(-1)[row, token].sum(), exact)
    rounded = layer.weight[:ROWS] - Head(layer).logits(hidden).softmax(-1).to(torch.bfloat16) @ layer.weight
    gap, control = ((one.double() - right)[sure].norm(dim=-1) / right[sure].norm(dim=-1) for one in (got, rounded))
    assert float(gap.max()) < 0.2 < 0.7 < float(control.max()), "the logits' own rounding; and that of p - 1 beside it"


def test_nothing_is_computed_for_a_backward_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, hidden, row, token, _ = case()
    asked: list[None] = []
    monkeypatch.setattr(module, "_others", lambda *_: asked.append(None) or torch.zeros(WIDTH))
    with torch.no_grad():
        Head(layer).logprobs(hidden, row, token, uniform=False)
    assert not asked
    Head(layer).logprobs(hidden, row, token, uniform=False)
    assert asked


def test_a_head_that_learns_keeps_its_own_way() -> None:
    layer, hidden, row, token, pulls = case()
    layer.weight.requires_grad_()
    head = Head(layer)
    assert head.learns
    scored, _ = head.logprobs(hidden, row, token, uniform=False)
    wanted, _ = plain(head, hidden, row, token)
    got, right = (torch.autograd.grad((one * pulls).sum(), layer.weight)[0] for one in (scored, wanted))
    torch.testing.assert_close(got, right, rtol=0, atol=1e-11)
