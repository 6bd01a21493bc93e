"""What people write around a wish: a greeting, anger, another language's greeting, the story of their day."""

from __future__ import annotations

from random import Random
from typing import Final

_GREETINGS: Final = ("Hello! ", "Hi there, ", "Good morning. ", "Hey, hope you are well. ", "Dear team,\n\n")
_FOREIGN: Final = (
    "Bonjour, ", "Guten Tag, ", "Hola, ¿qué tal? ", "Buongiorno! ", "Olá! ", "Merhaba, ", "Dzień dobry, ",
    "Здравствуйте! ", "こんにちは。", "你好！", "नमस्ते, ", "السلام عليكم، ",
)  # fmt: skip
_ANGER: Final = (
    ("This is ridiculous! ", " I am really fed up with this!"),
    ("I can't believe it. ", " Sort yourselves out!"),
    ("For heaven's sake. ", " I have had enough!!"),
    ("Unbelievable!! ", " This makes me so angry."),
)
_PREFACES: Final = (
    "It has been raining here since the early morning, and the garden is under water again. My neighbour came over "
    "for coffee, as she does every week, and we talked about her trip to the mountains, about the new bakery at the "
    "corner and about the film that everyone is watching. Later I tidied the kitchen, fed the cat and listened to the "
    "radio for a while. Anyway, here is what I wanted to write to you: ",
    "I hope you had a pleasant weekend. Ours was quiet: we walked along the river, my brother cooked soup for all of "
    "us, and in the evening we played cards until the children fell asleep on the sofa. The trees are turning yellow "
    "already, which always makes me think of school. I do not want to keep you with all this, so let me come to the "
    "point: ",
)


def greeting(text: str, rng: Random) -> str | None:
    """A greeting before it."""
    return rng.choice(_GREETINGS) + text if text.strip() else None


def foreign_greeting(text: str, rng: Random) -> str | None:
    """Another language's greeting before it."""
    return rng.choice(_FOREIGN) + text if text.strip() else None


def anger(text: str, rng: Random) -> str | None:
    """Angry sentences before and after it."""
    before, after = rng.choice(_ANGER)
    return before + text + after if text.strip() else None


def preface(text: str, rng: Random) -> str | None:
    """A long paragraph before it that has nothing to do with it."""
    return rng.choice(_PREFACES) + text if text.strip() else None
