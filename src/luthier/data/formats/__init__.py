"""The formats that others write labelled examples in: `luthier convert` writes each, and what it writes is read back.

A format of your own is a function `(Example, bool) -> record`, the shape that reads its records, and one line here.
"""

from luthier.data.formats.argilla import write_argilla
from luthier.data.formats.chat import messages, sharegpt
from luthier.data.formats.doccano import write_doccano
from luthier.data.formats.format import Format, Written
from luthier.data.formats.labelstudio import write_labelstudio
from luthier.data.formats.preference import hh, pair, unpaired, write_openai_preference
from luthier.data.formats.prodigy import write_prodigy
from luthier.data.formats.text import alpaca, label, prompt
from luthier.errors import RecipeError
from luthier.words import closest

formats: dict[str, Format] = {
    "messages": Format(
        "conversations for OpenAI's fine-tuning",
        "messages",
        messages,
        ("openai", "chat", "chatml", "trl", "trl language modeling"),
        table=True,
    ),
    "openai_preference": Format(
        "pairs for OpenAI's preference fine-tuning", "openai_preference", write_openai_preference, ("openai dpo",)
    ),
    "sharegpt": Format("ShareGPT conversations", "sharegpt", sharegpt, table=True),
    "alpaca": Format("instruction, input, output", "alpaca", alpaca, table=True),
    "prompt": Format(
        "prompt and completion, as TRL and others read them",
        "prompt",
        prompt,
        ("prompt completion", "trl prompt completion"),
        table=True,
    ),
    "label": Format("text and label", "label", label, ("text label", "classification", "csv"), table=True),
    "pair": Format(
        "prompt, chosen, rejected, as TRL reads them",
        "pair",
        pair,
        ("preference", "dpo", "trl preference"),
        table=True,
    ),
    "unpaired": Format(
        "prompt, completion, and label true or false, as TRL reads them",
        "unpaired",
        unpaired,
        ("unpaired preference", "kto", "trl unpaired preference"),
        table=True,
    ),
    "hh": Format("chosen and rejected Human/Assistant transcripts", "pair", hh, ("hh rlhf",), table=True),
    "labelstudio": Format("Label Studio tasks", "labelstudio", write_labelstudio, ("label studio",)),
    "argilla": Format("Argilla 2 records", "argilla", write_argilla),
    "doccano": Format("doccano rows", "doccano", write_doccano),
    "prodigy": Format("Prodigy annotations", "prodigy", write_prodigy),
}
"""Formats by the name `luthier convert --to` gives them."""

unheld: dict[str, str] = {
    "trl prompt only": "holds no answer, so nothing could be learned or judged by it; use prompt",
    "trl stepwise supervision": "judges an answer's steps one by one, which an example does not hold; use unpaired",
}
"""Formats that are known and not written, and why."""


def find_format(name: str) -> tuple[str, Format]:
    """A format by its name or another that it goes by. Raises RecipeError for one that is not written."""
    wanted = _plain(name)
    names = {_plain(other): key for key, one in formats.items() for other in (key, *one.aliases)}
    if wanted in names:
        return names[wanted], formats[names[wanted]]
    if wanted in unheld:
        raise RecipeError(f"--to {name}: {unheld[wanted]}")
    hint = closest(wanted, list(names))
    raise RecipeError(f"--to {name}: is not a format that is written{hint}; there are {', '.join(formats)}")


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("-", " ").replace("_", " ").split())


__all__ = ["Format", "Written", "find_format", "formats", "unheld"]
