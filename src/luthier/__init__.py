"""Luthier: supervised fine-tuning of language models, with the evidence that it worked."""

__version__ = "0.1.0"
