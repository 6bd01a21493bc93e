"""Several recipes over one base in one process: each ends as alone, to the bit; what cannot stand together says so."""

import csv
import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from luthier.cli import app

QUICK = {
    "model": {"max_length": 400, "dtype": "float32"},
    "train": {"epochs": 1, "lr": 0.01, "examples_per_step": 8, "evaluations_per_epoch": 1, "evaluation_share": 1},
    "forgetting": {"measure": False},
}
METHODS = {"sounds": {"name": "lora", "rank": 4}, "numbers": {"name": "lora", "rank": 2, "targets": ["q_proj"]}}


def luthier(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second task."""
    path = tmp_path_factory.mktemp("numbers") / "numbers.csv"
    with path.open("w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["text", "label"])
        write.writerows([f"{i} is", "even" if i % 2 == 0 else "odd"] for i in range(80))
    return path


def recipes(base: Path, files: dict[str, Path], place: Path, **more: dict) -> list[Path]:
    place.mkdir(parents=True, exist_ok=True)
    made = []
    for name, file in files.items():
        tree = {**QUICK, "data": {"train": str(file)}, "method": METHODS[name], "run": str(place / "runs" / name)}
        tree["model"] = {**QUICK["model"], "name": str(base), **more.get(name, {}).get("model", {})}
        made.append(place / f"{name}.yaml")
        made[-1].write_text(yaml.safe_dump({**tree, **{k: v for k, v in more.get(name, {}).items() if k != "model"}}))
    return made


@pytest.fixture(scope="module")
def files(rows, numbers):
    return {"sounds": rows, "numbers": numbers}


@pytest.fixture(scope="module")
def trained(base, files, tmp_path_factory):
    """The fleet, and beside it each recipe alone."""
    place = tmp_path_factory.mktemp("fleet")
    done = luthier("train", *recipes(base, files, place / "fleet"), "--together")
    assert done.exit_code == 0, done.output
    for recipe in recipes(base, files, place / "solo"):
        alone = luthier("train", recipe)
        assert alone.exit_code == 0, alone.output
    return place, done.output


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["kind"] == "step"]


@pytest.mark.parametrize("name", METHODS)
def test_each_run_of_a_fleet_is_its_solo_run_to_the_bit(trained, name):
    fleet, solo = (trained[0] / which / "runs" / name for which in ("fleet", "solo"))
    assert losses(fleet) == losses(solo)
    assert len(losses(fleet)) > 5
    one, other = (load_file(run / "best" / "adapter_model.safetensors") for run in (fleet, solo))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    for file in ("base.jsonl", "predictions.jsonl"):
        assert (fleet / file).read_text() == (solo / file).read_text()
    assert (fleet / "report.html").exists()


def test_control_the_runs_of_a_fleet_are_not_each_other(trained):
    sounds, numbers = (trained[0] / "fleet" / "runs" / name for name in METHODS)
    assert losses(sounds)[0] != losses(numbers)[0]
    assert (
        load_file(sounds / "best/adapter_model.safetensors").keys()
        > load_file(numbers / "best/adapter_model.safetensors").keys()
    )


def test_a_fleet_tells_how_each_run_ended(trained):
    output = trained[1]
    assert "2 runs over one" in output
    assert output.count("which is opened once") == 1
    assert "fleet/runs/sounds (1 of 2)" in output
    assert "fleet/runs/sounds/report.html" in output.replace("\n", "")


def test_all_that_keeps_recipes_apart_is_told_before_anything_is_opened(base, files, tmp_path):
    more = {"numbers": {"model": {"max_length": 300}, "method": "full", "run": str(tmp_path / "runs" / "sounds")}}
    done = luthier("train", *recipes(base, files, tmp_path, **more), "--together")
    assert done.exit_code == 2
    for problem in ("model.max_length is 300, and 400 in", "moves the weights of the base", "several recipes would"):
        assert problem in done.output
    assert not (tmp_path / "runs").exists()


def test_a_run_that_is_refused_does_not_stop_the_others(base, files, tmp_path):
    done = luthier(
        "train",
        *recipes(base, files, tmp_path, sounds={"data": {"train": str(files["sounds"]), "input": "no"}}),
        "--together",
    )
    assert done.exit_code == 2
    assert not (tmp_path / "runs" / "sounds").exists()
    assert (tmp_path / "runs" / "numbers" / "report.json").exists()
    assert "runs/sounds: " in done.output


def test_a_fleet_is_tasted_dry_and_told_to_machines(base, files, tmp_path):
    done = luthier("train", *recipes(base, files, tmp_path), "--together", "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)["runs"]
    assert [one["recipe"]["method"]["rank"] for one in told] == [4, 2]
    assert not (tmp_path / "runs").exists()
