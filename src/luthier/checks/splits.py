"""Checks of the examples of all splits together. They report; nothing is moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from luthier.data.split import normalised
from luthier.types import Example, Issue


def leak(splits: Mapping[str, Sequence[Example]]) -> Iterator[Issue]:
    """Rows whose prompt, but for case, punctuation and white space, also stands in an earlier split.

    One Issue for each such row of validation or test. Drawn splits have none; files given for them may.
    """
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for part in ("train", "validation", "test"):
        keyed = [(normalised(example.prompt), example.id) for example in splits.get(part, ())]
        for key, name in keyed:
            if key in seen:
                yield Issue(
                    check="leak",
                    examples=(name, *seen[key]),
                    severity=0.5,
                    flagged=True,
                    why=f"the prompt of {name} ({part}) also stands in {seen[key][0]}, so its result is no evidence",
                    remedy="remove it from the one file or the other",
                )
        for key, name in keyed:
            seen[key].append(name)


def unseen(splits: Mapping[str, Sequence[Example]]) -> Iterator[Issue]:
    """Labels of validation and test that no row of training has; one Issue for each label and split."""
    known = {example.label for example in splits.get("train", ())}
    for part in ("validation", "test"):
        rows: defaultdict[str, list[str]] = defaultdict(list)
        for example in splits.get(part, ()):
            if example.label is not None and example.label not in known:
                rows[example.label].append(example.id)
        for label, names in sorted(rows.items()):
            yield Issue(
                check="unseen",
                examples=tuple(names),
                severity=0.7,
                flagged=True,
                why=f"{len(names)} rows of {part} have the label {label!r}, which no row of train has",
                remedy="mend the label if it is misspelt, else add rows of it to train",
            )


def labels_alike(splits: Mapping[str, Sequence[Example]]) -> Iterator[Issue]:
    """Labels that differ only in case or white space; one Issue for each that is not the commonest of its kind."""
    rows: defaultdict[str, list[str]] = defaultdict(list)
    for part in ("train", "validation", "test"):
        for example in splits.get(part, ()):
            if example.label is not None:
                rows[example.label].append(example.id)
    usual: dict[str, str] = {}
    for label in sorted(rows, key=lambda label: (-len(rows[label]), label)):
        other = usual.setdefault(" ".join(label.casefold().split()), label)
        if other != label:
            yield Issue(
                check="labels_alike",
                examples=tuple(rows[label]),
                severity=0.5,
                flagged=True,
                why=f"labels {other!r} and {label!r} differ only in case or spacing",
                remedy="write them the same way if they mean the same",
            )
