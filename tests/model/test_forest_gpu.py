"""The cascade through CUDA's flash kernels, against the dense mask and one sequence at a time."""

import families
import numpy as np
import pytest
import torch

from luthier.batch import pack
from luthier.model.accept import accept
from luthier.model.forward import forward, head, trunk
from luthier.model.load import Model
from luthier.model.plan import plan
from luthier.types import TokenSequence

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def test_the_cascade_agrees_with_the_dense_mask_on_cuda():
    device = torch.device("cuda")
    network = families.network("llama", dtype=torch.bfloat16).to(device)
    model = Model(network, None, "llama", device, torch.bfloat16, frozenset({2}), max_length=128)
    accept(model)
    assert model.shared, model.reason
    draw = np.random.default_rng(0)
    stem = draw.integers(0, 61, 40)
    rows = [np.concatenate((stem, draw.integers(0, 61, k))) for k in (3, 17, 60, 1)]
    batch = pack([TokenSequence(r, (np.arange(len(r)) > 0).astype(np.float32), "r") for r in rows]).to(device)
    grads = {}
    for dense in (False, True):
        network.zero_grad()
        hidden = trunk(model, batch, plan(batch, dense=dense))
        parents, row = batch.parent[batch.target].unique(return_inverse=True)
        scored, _ = head(network).logprobs(hidden[parents], row, batch.tokens[batch.target], uniform=False)
        scored.sum().backward()
        grads[dense] = torch.cat([p.grad.float().flatten() for p in network.parameters() if p.grad is not None])
    assert float((grads[True] - grads[False]).norm() / grads[True].norm()) < 0.05
    assert forward(model, batch).logprobs.isfinite().all()
