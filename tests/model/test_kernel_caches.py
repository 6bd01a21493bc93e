"""Products of ever new shapes keep a bounded memory; left alone, oneDNN and torch keep a kernel of each."""

import os
import subprocess
import sys

import pytest

from luthier.model.load import KERNEL_CACHES

GROWTH = """
import random, sys
from luthier.model.load import bound_kernel_caches
if sys.argv[1] == "bound":
    bound_kernel_caches()
import torch
torch.set_num_threads(1)

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

draw = random.Random(0)
weight = torch.randn(1536, 576, dtype=torch.bfloat16)
for step in range(301):
    x = torch.randn(draw.randint(200, 800), 576, dtype=torch.bfloat16)
    (x @ weight.T) @ weight
    if step == 100:
        before = held()
print(held() - before)
"""


def growth(how: str) -> int:
    """Bytes that 200 products of new shapes leave behind."""
    free = {name: value for name, value in os.environ.items() if name not in KERNEL_CACHES}
    done = subprocess.run([sys.executable, "-c", GROWTH, how], env=free, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_number_of_shapes() -> None:
    alone, bound = growth("free"), growth("bound")
    if alone < 60e6:
        pytest.skip("this processor needs no kernel of its own for each shape")
    assert bound < alone / 4
