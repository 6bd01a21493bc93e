"""From a run folder outward: the page for people and the table for the terminal. It reads files, never the trainer."""

from luthier.report.page import write
from luthier.report.terminal import summary

__all__ = ["summary", "write"]
