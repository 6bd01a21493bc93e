"""Lets the tests of this folder import `tiny_run`, which is also run as a program of its own; one thread is fastest."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)
