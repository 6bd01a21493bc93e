"""Makes `tuned_runs` importable by the tests beside it; one thread is fastest for what is this small."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)
