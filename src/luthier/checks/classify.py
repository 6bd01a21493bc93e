"""Labels by the words of a prompt: what label checks and baselines measure by. A linear model, in seconds.

The n-grams and the SVM's `ease` were chosen on folds of banking77's training rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from luthier.stats import Floats
from luthier.types import Example

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FOLDS = 5
"""Parts of the rows, each judged by a model of the others."""
CLIPPED = 1000
"""Characters of a text that are looked at, half from its beginning and half from its end."""


def prompt_text(example: Example) -> str:
    """All turns of the prompt, clipped; a lone mark where there is none, so that every text has a word."""
    return clipped("\n".join(message.content for message in example.prompt)) or "."


def clipped(text: str) -> str:
    """The text without what lies between its first and last CLIPPED / 2 characters."""
    text = text.strip()
    return text if len(text) <= CLIPPED else f"{text[: CLIPPED // 2]} {text[-CLIPPED // 2 :]}"


def wording(known: Sequence[str], *others: Sequence[str]) -> tuple[csr_matrix, ...]:
    """TF-IDF of one- and two-word runs beside that of two to four letters; the vocabulary is that of `known`.

    Texts without a letter in common with another are no error: every text that is not blank has a word.
    """
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]")
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, dtype=np.float64)
    fitted = hstack((words.fit_transform(known), letters.fit_transform(known))).tocsr()
    return (fitted, *(hstack((words.transform(some), letters.transform(some))).tocsr() for some in others))


def decisions(
    known: csr_matrix, labels: NDArray[np.int64], asked: csr_matrix, *, classes: int, ease: float = 0.5
) -> Floats:
    """(n, v), (n,) and (m, v) -> (m, c): a linear SVM's distance to each label; -1 for labels that none of n rows has.

    ease: the SVM's C, the larger the closer it follows the n rows.
    """
    from sklearn.svm import LinearSVC

    found = np.full((asked.shape[0], classes), -1.0)
    present = np.unique(labels)
    if len(present) < 2:
        found[:, present] = 1.0
        return found
    distance = LinearSVC(C=ease, random_state=0).fit(known, labels).decision_function(asked)
    found[:, present] = distance if distance.ndim == 2 else np.column_stack((-distance, distance))
    return found


def folds(keys: NDArray[np.uint64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) prompts by number and (n,) labels -> (n,) the fold of each row, in [0, FOLDS).

    Rows of one prompt share a fold, whatever their labels. The prompts of a label are dealt in the order of their
    numbers, which are hashes, so that a label of FOLDS prompts stands in every fold.
    """
    distinct, first, place = np.unique(keys, return_index=True, return_inverse=True)
    label = labels[first]
    order = np.argsort(label, kind="stable")
    begins = np.searchsorted(label[order], label[order])
    dealt = np.empty(len(distinct), np.int64)
    dealt[order] = (np.arange(len(distinct)) - begins) % FOLDS
    return dealt[place.reshape(-1)]
