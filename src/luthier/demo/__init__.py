"""A help desk's messages, each with its intent and an ideal reply: enough to see a tuning from end to end."""

from pathlib import Path

TRAIN = Path(__file__).parent / "helpdesk-train.jsonl"
"""455 messages over 15 intents."""
TEST = Path(__file__).parent / "helpdesk-test.jsonl"
"""150 more, ten of each intent, never trained on."""
