"""What a run folder holds before its first step, what it has cost so far, and whether its data is still the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from luthier.data.ledger import write_ledger
from luthier.data.read import FileFacts
from luthier.data.split import PARTS
from luthier.errors import RunError
from luthier.recipe import to_yaml
from luthier.report.audit import as_json
from luthier.report.audit import write as write_audit
from luthier.run.environment import environment
from luthier.run.files import read_json, write_json, write_text
from luthier.run.lineage import begin_lineage
from luthier.run.prepare import Prepared
from luthier.run.replay import write_replay
from luthier.train.meter import Cost, Meter
from luthier.types import Json


def write_beginning(prepared: Prepared, folder: Path) -> None:
    """What is known before the first step; recipe.yaml comes last, so that a folder with one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "environment.json", environment())
    write_ledger(folder / "rows.jsonl", prepared.rows)
    if prepared.replayed is not None:
        write_replay(prepared.replayed.rows, folder)
    issues = "".join(json.dumps(asdict(issue), ensure_ascii=False) + "\n" for issue in prepared.issues)
    write_text(folder / "issues.jsonl", issues)
    paths = [facts.path for facts in prepared.files.values()]
    write_json(folder / "audit.json", as_json(prepared.audit, prepared.corpus, paths))
    write_audit(folder, prepared.audit, prepared.corpus, paths)
    files: list[Json] = [{"role": role, **asdict(facts)} for role, facts in prepared.files.items()]
    splits: dict[str, Json] = {part: {"rows": len(prepared.splits[part])} for part in PARTS}
    labels: dict[str, Json] = {
        "labels": list(prepared.task.labels) or None,
        "shown_labels": list(prepared.shown_labels) or None,
    }
    write_json(folder / "data.json", {"files": files, "splits": splits, **labels})
    begin_lineage(prepared.recipe, folder)
    write_text(folder / "recipe.yaml", to_yaml(prepared.recipe))


def same_data(folder: Path, files: Mapping[str, FileFacts]) -> None:
    """Raises RunError where a file is not the one the run was made from: its splits would be others.

    files: by role; what a run reads beside its splits, of other tasks or what it should not forget, may be left out.
    """
    for known in read_json(folder / "data.json").get("files", []):
        facts = files.get(known["role"])
        if facts is None and known["role"] not in PARTS:
            continue
        if facts is None or facts.sha256 != known["sha256"]:
            raise RunError(
                f"{known['path']}: has changed since {folder} was made from it, so its splits would be others; "
                "bring the file back, train anew, or name rows with --data"
            )


class Spent:
    """What a run has cost over all its sittings, noted at every save."""

    def __init__(self, folder: Path, meter: Meter) -> None:
        self.meter, self._path = meter, folder / "spent.json"
        self._before = Cost(**read_json(self._path)) if self._path.exists() else None

    def read(self) -> Cost:
        """This sitting and those before it."""
        now = self.meter.read()
        return now if self._before is None else now.after(self._before)

    def note(self) -> None:
        """Writes the figures down, for a run that goes on later."""
        write_json(self._path, asdict(self.read()))
