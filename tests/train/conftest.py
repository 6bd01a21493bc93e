"""Lets the tests of this folder import `tiny_run`, which is also run as a program of its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
