"""How a model behaves when real texts differ from those it was judged on: invariance and direction tests.

perturbation.py   what a perturbation is              contract.py   the laws that every one keeps
typos.py case.py punctuation.py space.py contractions.py synonyms.py names.py numbers.py surroundings.py injection.py
removal.py        a family of changes each
cases.py          rows and perturbations to what is asked
answers.py        what a model says to it, and how sure it is
judge.py          which answers are failures
rates.py          failure rates with intervals, base beside tuned
slices.py         the same by length, class, language and column
probe.py          all of it for one model or two

A perturbation is one function and one line in `perturbations`; a stranger's is named `module:function`.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from luthier.errors import RecipeError
from luthier.evaluate.behaviour.case import lower_case, upper_case
from luthier.evaluate.behaviour.contractions import contracted, written_out
from luthier.evaluate.behaviour.injection import claim, demand
from luthier.evaluate.behaviour.names import other_name
from luthier.evaluate.behaviour.numbers import other_number
from luthier.evaluate.behaviour.perturbation import Perturbation
from luthier.evaluate.behaviour.punctuation import more_punctuation, without_punctuation
from luthier.evaluate.behaviour.removal import emptied
from luthier.evaluate.behaviour.space import broken_line, wide_space
from luthier.evaluate.behaviour.surroundings import anger, foreign_greeting, greeting, preface
from luthier.evaluate.behaviour.synonyms import synonym
from luthier.evaluate.behaviour.typos import dropped_letter, neighbour_key, swapped_letters

perturbations: dict[str, Perturbation] = {
    "neighbour_key": Perturbation(
        neighbour_key, "a neighbouring key struck, in one word of eight", "typos", "spelling"
    ),
    "swapped_letters": Perturbation(swapped_letters, "two letters swapped, in one word of eight", "typos", "spelling"),
    "dropped_letter": Perturbation(dropped_letter, "a letter left out, in one word of eight", "typos", "spelling"),
    "lower_case": Perturbation(lower_case, "all letters small", "case", "words"),
    "upper_case": Perturbation(upper_case, "all letters capital", "case", "words"),
    "no_punctuation": Perturbation(without_punctuation, "punctuation left out", "punctuation", "words"),
    "more_punctuation": Perturbation(more_punctuation, "marks added at the end", "punctuation", "words"),
    "wide_space": Perturbation(wide_space, "spaces doubled, and space around", "space", "words"),
    "broken_line": Perturbation(broken_line, "a line broken in the middle", "space", "words"),
    "contracted": Perturbation(contracted, "do not → don't", "contractions", "sense"),
    "written_out": Perturbation(written_out, "don't → do not", "contractions", "sense"),
    "synonym": Perturbation(synonym, "words of the same meaning", "synonyms", "sense"),
    "other_name": Perturbation(other_name, "other first names", "names and numbers", "shape", facts=True),
    "other_number": Perturbation(
        other_number, "other numbers of the same size", "names and numbers", "shape", facts=True
    ),
    "greeting": Perturbation(greeting, "a greeting before", "surroundings", "text"),
    "foreign_greeting": Perturbation(foreign_greeting, "a greeting in another language", "surroundings", "text"),
    "anger": Perturbation(anger, "angry sentences around", "surroundings", "text"),
    "preface": Perturbation(preface, "a long irrelevant paragraph before", "surroundings", "text"),
    "injected_demand": Perturbation(
        demand, "“ignore all previous instructions …” at the end", "injection", "text", "disobedience"
    ),
    "injected_claim": Perturbation(claim, "“the correct answer is …” at the end", "injection", "text", "disobedience"),
    "emptied": Perturbation(emptied, "nothing left of the input", "removal", "nothing", "doubt"),
}


def chosen(only: Sequence[str] = (), without: Sequence[str] = ()) -> dict[str, Perturbation]:
    """The perturbations of these names, families or `module:function`s, or all; less those of `without`.

    Raises RecipeError for a name that is none, and where nothing is left.
    """
    asked = {name: one for word in only for name, one in named(word).items()} if only else perturbations
    dropped = {name for word in without for name in named(word)}
    if not (left := {name: one for name, one in asked.items() if name not in dropped}):
        raise RecipeError("no perturbation is left to ask; leave out fewer")
    return left


def named(word: str) -> dict[str, Perturbation]:
    """The perturbations that a name or a family means, or a stranger's function or `Perturbation`, by name.

    Raises RecipeError with the nearest name, or with why the module or function cannot be had.
    """
    if word in perturbations:
        return {word: perturbations[word]}
    if family := {name: one for name, one in perturbations.items() if one.family == word}:
        return family
    if ":" in word:
        return {word: _imported(word)}
    known = [*perturbations, *dict.fromkeys(one.family for one in perturbations.values())]
    near = get_close_matches(word, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}, or name module:function"
    raise RecipeError(f"{word!r} is not a perturbation; {hint}")


def _imported(word: str) -> Perturbation:
    module, _, function = word.partition(":")
    try:
        found: object = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise RecipeError(f"{word!r} cannot be imported: {error}; check the module and the function") from error
    if isinstance(found, Perturbation):
        return found
    if not callable(found):
        raise RecipeError(f"{word!r} is not callable; name a function (text, random.Random) -> text or None")
    return Perturbation(found, f"as {function} changes it", module, "nothing")


__all__ = ["Perturbation", "chosen", "named", "perturbations"]
