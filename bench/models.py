"""Writes docs/models.md: which decoder families of transformers the forest engine accepts, found out by trying.

python bench/models.py            (about a minute; tiny random models, float32)
"""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stderr
from pathlib import Path

import families
import torch
import transformers

from luthier.errors import ModelError
from luthier.model.accept import accept
from luthier.model.load import Model

HEAD = """# Which models share

A model shares when its layers attend over the prefix forest, so that a beginning common to many rows is computed once.
Whether it does is found out when it is opened, by a small random forest run through the engine and, one sequence at a
time, through transformers' own forward; no list of names is consulted. A model that cannot share trains all the same,
one row beside the other, and the run says why. This table is written by `python bench/models.py` from tiny random
models (transformers {version}, torch {torch}); your own model is tried anew each time.

| family | shares | why not |
|---|---|---|
"""


def main() -> None:
    """Tries every family and writes the table."""
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    rows = [f"| {family} | {answer} | {why} |" for family, (answer, why) in ((f, tried(f)) for f in families.every())]
    head = HEAD.format(version=transformers.__version__, torch=torch.__version__.split("+")[0])
    page = Path(__file__).parents[1] / "docs" / "models.md"
    page.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    print(f"{page}: {sum('| yes |' in row for row in rows)} of {len(rows)} families share")


def tried(family: str) -> tuple[str, str]:
    """`yes`, `no` or `cannot be scored`, and the engine's own reason."""
    network = families.network(family)
    model = Model(network, None, family, torch.device("cpu"), torch.float32, frozenset({2}), max_length=128)  # type: ignore[arg-type]
    try:
        with redirect_stderr(io.StringIO()):
            accept(model)
    except ModelError as error:
        return "cannot be used", str(error)
    return ("yes", "") if model.shared else ("no", model.reason.removeprefix(f"{family}: "))


if __name__ == "__main__":
    main()
