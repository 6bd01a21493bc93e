"""How labels are written: two spellings of one, several in one cell, and words that stand where there is none.

Not here: how many rows a label has (`balance`), and whether it is the right one (`labels`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, TypeAlias

from luthier.checks.check import Corpus
from luthier.types import Issue
from luthier.words import counted

Labelled: TypeAlias = Mapping[str, Sequence[str]]
"""Ids of the rows of each label."""

OFTENER: Final = 10
"""Times as many rows as a label one edit away has, from which that one is taken for a slip."""
LETTERS: Final = 5
"""Letters of a word from which one edit of it is a slip rather than another word."""
LONGEST: Final = 60
"""Characters of a label up to which slips are looked for; a longer one is a text."""
MODELS: Final = 5_000
"""Labels, the commonest, that others are held against."""
TOGETHER: Final = 50
"""Joined labels above which one Issue names them all."""
CLASS: Final = (10, 0.01)
"""Rows, and share of the labelled rows, from which a word such as `none` is a class rather than a gap."""

_LEFT_OVER: Final = frozenset(
    {"n/a", "n.a.", "#n/a", "nan", "nat", "<na>", "null", "undefined", "tbd", "k.a."}
    | {"#ref!", "#value!", "#name?", "#div/0!", "#null!", "#num!"}
)
"""What programs leave where there is nothing, and people where they have not decided: never a class."""
_NONE: Final = frozenset({"none", "na", "unknown", "todo", "to do", "xxx"})
"""What may also be a class of its own: `none` of these topics, an `unknown` sender."""
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_BLANKS: Final = re.compile(r"[\s_]+|(?<=[^\W\d_])-(?=\w)|(?<=\d)-(?=[^\W\d_])")
_MARKS: Final = re.compile(r"(?<!\d)[.,:;'\"!?()\[\]/&’](?!\d)")
_BETWEEN: Final = re.compile(r"(?<!\d) | (?!\d)")
_JOINTS: Final = ";|\n\t,/+"


def labels_alike(corpus: Corpus) -> Iterator[Issue]:
    """Labels that differ only in case, spacing or punctuation; one Issue for each but the commonest of its kind."""
    rows = corpus.labelled()
    for label, other in variants(rows).items():
        what = "case or spacing" if _spaced(label) == _spaced(other) else "case, spacing or punctuation"
        yield Issue(
            check="labels_alike",
            examples=tuple(rows[label]),
            severity=0.5,
            flagged=True,
            why=f"labels {other!r} ({counted(len(rows[other]), 'row')}) and {label!r} ({len(rows[label]):,}) differ "
            f"only in {what}",
            remedy="write them the same way if they mean the same",
        )


def misspelt_label(corpus: Corpus) -> Iterator[Issue]:
    """Rare labels one edit of a word away from a label OFTENER times as frequent; one Issue each."""
    rows = corpus.labelled()
    for label, other in slips(rows).items():
        yield Issue(
            check="misspelt_label",
            examples=tuple(rows[label]),
            severity=0.5,
            flagged=True,
            why=f"the label {label!r} of {counted(len(rows[label]), 'row')} is one letter away from {other!r} with "
            f"{len(rows[other]):,}",
            remedy=f"write {other!r} if that is meant; as it is, it is learned as a label of its own",
        )


def joined_labels(corpus: Corpus) -> Iterator[Issue]:
    """Labels made of others, `billing;refund` where both are labels; one Issue each, or one where there are many."""
    rows = corpus.labelled()
    found = joined(rows)
    if len(found) > TOGETHER:
        label, parts = next(iter(found.items()))
        names = tuple(name for one in found for name in rows[one])
        yield _joined(names, f"{len(found):,} labels hold several, such as {label!r}", parts)
        return
    for label, parts in found.items():
        yield _joined(tuple(rows[label]), f"the label {label!r} holds several", parts)


def placeholder(corpus: Corpus) -> Iterator[Issue]:
    """Labels that say that there is none; one Issue each, with all its rows."""
    rows = corpus.labelled()
    for label in placeholders(rows):
        yield Issue(
            check="placeholder",
            examples=tuple(rows[label]),
            severity=0.6,
            flagged=True,
            why=f"the label {label!r} of {counted(len(rows[label]), 'row')} is a placeholder: it says that nobody has "
            "labelled them",
            remedy="label these rows, or leave them out",
        )


def miswritten(corpus: Corpus) -> set[str]:
    """The labels that a check of this file tells of, unless it is silenced."""
    checks: dict[str, Callable[[Labelled], Iterable[str]]] = {
        "labels_alike": variants,
        "misspelt_label": slips,
        "joined_labels": joined,
        "placeholder": placeholders,
    }
    rows = corpus.labelled()
    return {label for name, find in checks.items() if name not in corpus.options.silent for label in find(rows)}


def variants(rows: Labelled) -> dict[str, str]:
    """Labels written as another but for case, spacing or punctuation, with the commonest way."""
    usual: dict[str, str] = {}
    ways = {label: usual.setdefault(_bare(label), label) for label in _by_count(rows)}
    return {label: other for label, other in ways.items() if other != label}


def slips(rows: Labelled) -> dict[str, str]:
    """Rare labels with the frequent one that each is one slip away from. Cost: linear in labels and their length."""
    spelt: dict[str, str] = {}
    for label in _by_count(rows):
        if len(label) <= LONGEST:
            spelt.setdefault(_words(label), label)
    near: dict[str, list[str]] = {}
    for words in [words for words, label in islice(spelt.items(), MODELS) if len(rows[label]) >= OFTENER]:
        for less in _one_less(words):
            near.setdefault(less, []).append(words)
    found: dict[str, str] = {}
    for words, label in spelt.items() if near else ():
        others = {other for less in _one_less(words) for other in near.get(less, ()) if is_slip(words, other)}
        fit = [spelt[one] for one in others if len(rows[spelt[one]]) >= OFTENER * len(rows[label])]
        if fit:
            found[label] = min(fit, key=lambda other: (-len(rows[other]), other))
    return found


def joined(rows: Labelled) -> dict[str, list[str]]:
    """Labels that are made of several others, with those."""
    known = {_bare(label) for label in rows}
    return {label: parts for label in sorted(rows) if (parts := _parts(label, known))}


def placeholders(rows: Labelled) -> list[str]:
    """Labels that people and programs write where there is none.

    `none`, `-` and the like are a class where they are frequent (CLASS); `nan`, `#N/A` and the like never are.
    """
    least, share = CLASS
    fewest = max(least, share * sum(map(len, rows.values())))
    return sorted(label for label in rows if _left_over(label) or (_says_none(label) and len(rows[label]) < fewest))


def is_slip(one: str, other: str) -> bool:
    """Whether two labels, as words between blanks, are one slip of a letter apart.

    A letter too many, too few, another, or two changed over (Damerau 1964); not of a word's first letter, nor in a word
    with digits or of fewer than LETTERS letters: `A1` and `A2`, `typical` and `atypical` stay apart.
    """
    start = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    room = min(len(one), len(other)) - start
    tail = next((at for at in range(room) if one[-1 - at] != other[-1 - at]), room)
    a, b = one[start : len(one) - tail], other[start : len(other) - tail]
    if not (len(a) + len(b) == 1 or len(a) == len(b) == 1 or (len(a) == 2 and a == b[::-1])):
        return False
    words = _word(one, start), _word(other, start)
    return (a + b).isalpha() and all(words) and max(map(len, words)) >= LETTERS


def _joined(names: tuple[str, ...], what: str, parts: Sequence[str]) -> Issue:
    return Issue(
        check="joined_labels",
        examples=names,
        severity=0.5,
        flagged=True,
        why=f"{what}: {' and '.join(map(repr, parts))} are labels of other rows",
        remedy="keep the one that matters most; as it is, it is learned as a label of its own",
    )


def _by_count(rows: Labelled) -> Iterable[str]:
    return sorted(rows, key=lambda label: (-len(rows[label]), label))


def _words(label: str) -> str:
    """A label as lower-case words with one blank between; its marks stay where they may tell labels apart."""
    plain = _CAMEL.sub(" ", unicodedata.normalize("NFKC", label))
    return _BLANKS.sub(" ", _MARKS.sub("", plain)).strip().casefold()


def _bare(label: str) -> str:
    """A label without case, blanks and marks; as it is where nothing else is in it."""
    return _BETWEEN.sub("", _words(label)) or label


def _spaced(label: str) -> str:
    return " ".join(label.casefold().split())


def _one_less(words: str) -> Iterator[str]:
    """The words without one of their characters, and as they are: two within one edit have one of these in common."""
    yield words
    for at in range(len(words)):
        yield words[:at] + words[at + 1 :]


def _word(text: str, at: int) -> str:
    """The word that holds a place past its first letter; empty where there is none, or it is not of letters alone."""
    begin = text.rfind(" ", 0, at) + 1
    word = text[begin:].partition(" ")[0]
    return word if at > begin and word.isalpha() else ""


def _parts(label: str, known: set[str]) -> list[str]:
    """The labels that one is made of, if it is made of several."""
    inner = label.strip(" []{}()")
    for joint in (one for one in _JOINTS if one in inner):
        parts = [part.strip(" '\"") for part in inner.split(joint)]
        bare = [_bare(part) for part in parts]
        numbers = joint in ",/" and joint + " " not in inner and all(part.isdigit() for part in parts)
        if len(set(bare)) > 1 and known.issuperset(bare) and all(parts) and not numbers:
            return parts
    return []


def _left_over(label: str) -> bool:
    return label.strip().casefold() in _LEFT_OVER


def _says_none(label: str) -> bool:
    bare = label.strip().casefold()
    return bare in _NONE or (bool(bare) and not bare.strip("?-_.–— "))
