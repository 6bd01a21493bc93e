"""Each warning is given where its curve is planted, and not where the curve is sound or the change is noise."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_run import OPTIONS, hooks, rows, tiny_model

from luthier.errors import DivergedError, RunError
from luthier.objectives.sft import SFT
from luthier.train.course import Course, Seen, read_course
from luthier.train.look import Losses
from luthier.train.loop import fit
from luthier.train.options import TrainOptions
from luthier.train.symptoms import Symptom, symptoms

Curve = Callable[[float], float]
"""Share of the run done -> nats a token."""
ROWS = 120


def losses(means: Sequence[float], *, seed: int, jitter: float = 0.15, rows: int = ROWS) -> list[Losses]:
    """Looks at the same rows, some of them hard and some easy, each moving a little on its own."""
    draw = np.random.default_rng(seed)
    hard = draw.gamma(1.0, 1.0, rows)
    tokens = draw.integers(2, 6, rows).astype(float)
    hard *= tokens.sum() / (hard * tokens).sum()
    return [
        Losses(tuple(mean * hard * tokens * np.exp(jitter * draw.normal(size=rows))), tuple(tokens), rows)
        for mean in means
    ]


def course(
    validation: Curve, train: Curve, *, looks: int = 9, seed: int = 0, jitter: float = 0.15, rows: int = ROWS
) -> Course:
    """A run of a hundred steps a look."""
    shares = [at / (looks - 1) for at in range(looks)]
    held_out = losses([validation(share) for share in shares], seed=seed, jitter=jitter, rows=rows)
    learned = losses([train(share) for share in shares], seed=seed + 1000, jitter=jitter, rows=rows)
    seen = [
        Seen(100 * at, 0.5 * at, one, other)
        for at, (one, other) in enumerate(zip(held_out, learned, strict=True))
    ]  # fmt: skip
    return Course((), tuple(seen))


def found(of: Course, *, lr: float = 2e-4, stopped_early: bool = False) -> list[Symptom]:
    return list(symptoms(of, lr=lr, best_step=300, stopped_early=stopped_early))


def names(of: Course, *, stopped_early: bool = False) -> list[str]:
    return [one.name for one in found(of, stopped_early=stopped_early)]


def falling(to: float, speed: float = 6.0) -> Curve:
    return lambda share: to + (3.0 - to) * math.exp(-speed * share)


def test_a_run_that_learned_and_levelled_out_is_not_warned_of() -> None:
    assert names(course(falling(0.4, 12), falling(0.3, 12))) == []


def test_a_warning_counts_the_loss_in_the_runs_own_unit() -> None:
    flat = course(lambda share: 3.0, lambda share: 3.0, jitter=0.0)
    assert "nats a token" in found(flat)[0].sentence
    for of in (flat, Course((1.99, 2.01) * 50, ())):
        (told,) = found(replace(of, unit="nats a row"))
        assert "to 3.00 nats a row (" in told.sentence or "to 2 nats a row (" in told.sentence


def test_validation_that_rises_while_training_falls_is_overfitting() -> None:
    (one,) = found(course(lambda share: falling(0.5)(share) + max(0.0, share - 0.4), falling(0.01)))
    assert one.name == "overfits"
    assert "from step 4" in one.sentence
    assert f"{ROWS} rows" in one.sentence
    assert "kept is that of step 300" in one.sentence
    assert "95 % interval +" in one.sentence
    assert "Fewer epochs (2" in one.remedy


def test_validation_that_rises_together_with_training_is_not_overfitting() -> None:
    def up(share: float) -> float:
        return falling(0.5)(share) + max(0.0, share - 0.4)

    assert names(course(up, up)) == ["diverges"]


def test_a_rise_within_the_noise_of_the_rows_is_none() -> None:
    """Of flat endings next to none may be called a rise, though the lowest of eight looks is compared."""
    flat = [course(falling(0.5, 40), falling(0.2, 40), seed=seed, jitter=0.6) for seed in range(15)]
    assert sum("overfits" in names(one) for one in flat) <= 1


def test_the_threshold_is_a_share_of_the_loss() -> None:
    def up(to: float) -> Course:
        return course(
            lambda share: 0.5 if share < 1 else to, lambda share: 0.3 - 0.2 * share, jitter=0.001
        )  # fmt: skip

    assert names(up(0.53)) == ["overfits"]
    assert names(up(0.52)) == []


def test_a_loss_still_falling_at_the_end_wants_more_epochs() -> None:
    slow = course(falling(0.2, 1.5), falling(0.2, 1.5))
    (one,) = found(slow)
    assert one.name == "has not converged"
    assert "More epochs would help (now 4)" in one.remedy
    assert names(slow, stopped_early=True) == []


def test_a_run_without_a_look_in_its_second_half_is_not_said_to_be_unfinished() -> None:
    """All it knows is that the end is below the beginning, which is so of every run that learned."""
    assert names(course(falling(0.2, 1.5), falling(0.2, 1.5), looks=2)) == []


def test_a_loss_that_rises_on_its_own_rows_diverges() -> None:
    (one,) = found(course(lambda share: 0.5 + 4 * share, lambda share: 0.5 + 4 * share), lr=0.1)
    assert one.name == "diverges"
    assert "Lower train.lr (now 0.1)" in one.remedy


def test_a_tiny_loss_may_double_without_diverging() -> None:
    assert names(course(lambda share: 0.3, lambda share: 3.0 if share == 0 else 0.002 * (1 + share))) == []


def test_a_loss_that_is_no_number_diverges_and_so_do_refused_steps() -> None:
    sound = course(falling(0.4, 12), falling(0.3, 12))
    assert "at step 250" in found(replace(sound, broken=250))[0].sentence
    refused = found(replace(sound, steps=(1.0,) * 97, refused=3))[0]
    assert "3 of 100 steps" in refused.sentence


def test_a_loss_that_does_not_move_is_a_rate_too_low() -> None:
    still = course(lambda share: 3.0, lambda share: 3.0)
    (one,) = found(still)
    assert one.name == "does nothing"
    assert "Raise train.lr (now 0.0002" in one.remedy
    (control,) = found(still, lr=0.0)
    assert "train.lr is 0" in control.remedy
    assert names(course(lambda share: 3 - 0.01 * share, lambda share: 3 - 0.01 * share, jitter=0.0)) == ["does nothing"]
    assert "does nothing" not in names(course(lambda share: 3 - 0.1 * share, lambda share: 3 - 0.1 * share, jitter=0.0))


def test_a_loss_that_fell_on_rows_too_few_for_any_test_is_not_said_to_stand_still() -> None:
    """Five rows cannot show anything at 95 %, however much the loss fell; six can."""
    for few in (5, 6):
        fell = course(lambda share: 3 - share, lambda share: 3 - share, rows=few)
        assert "does nothing" not in names(fell)
        still = course(lambda share: 3 - 0.01 * share, lambda share: 3 - 0.01 * share, rows=few, jitter=0.0)
        assert names(still) == ["does nothing"]


def test_a_loss_that_rose_is_not_said_to_stand_still_whether_or_not_the_rows_show_it() -> None:
    """Whoever is told so raises a rate that is too high already."""
    for jitter in (0.05, 2.0):
        up = course(lambda share: 3 + 0.5 * share, lambda share: 3 + 0.5 * share, jitter=jitter, rows=10)
        assert "does nothing" not in names(up)


def test_without_looks_the_steps_are_all_there_is() -> None:
    draw = np.random.default_rng(0)

    def steps(curve: Curve) -> Course:
        return Course(tuple(float(curve(at / 99) + 0.1 * draw.normal()) for at in range(100)), ())

    assert names(steps(falling(0.4))) == []
    assert names(steps(lambda share: 2.0)) == ["does nothing"]
    assert names(steps(lambda share: 2.0 - share if share < 0.5 else 1.5 + 3 * (share - 0.5))) == ["diverges"]
    assert names(Course((3.0, 3.0), ())) == []


def ran(folder: Path, options: TrainOptions, *, count: int = 22) -> list[Symptom]:
    """A real run of a tiny network, and what is said of it."""
    model = tiny_model(dropout=0.0)
    learned = rows(count)
    calls = hooks(model, say=lambda sentence: None, learned=learned, held_out=rows(40, seed=1))
    result = fit(model, learned, SFT(), options, folder=folder, hooks=calls)
    lr = 0.0 if options.lr is None else options.lr
    return list(symptoms(read_course(folder / "metrics.jsonl"), lr=lr, best_step=result.best_step))


REAL = replace(OPTIONS, epochs=40, evaluations_per_epoch=1, save_every=None, examples_per_step=11, token_budget=4096)


def test_a_real_run_of_rate_0_does_nothing(tmp_path: Path) -> None:
    assert [one.name for one in ran(tmp_path, replace(REAL, lr=0.0, epochs=4))] == ["does nothing"]


def test_a_real_run_over_few_rows_many_times_overfits(tmp_path: Path) -> None:
    assert [one.name for one in ran(tmp_path, replace(REAL, lr=2e-2))] == ["overfits"]


def test_a_real_run_cut_short_has_not_converged(tmp_path: Path) -> None:
    options = replace(REAL, lr=3e-3, epochs=2, evaluations_per_epoch=2, schedule="constant")
    assert [one.name for one in ran(tmp_path, options, count=200)] == ["has not converged"]


def test_a_real_run_of_a_wild_rate_diverges(tmp_path: Path) -> None:
    try:
        (one,) = ran(tmp_path, replace(REAL, lr=3.0, epochs=6, warmup=0.0, schedule="constant"))
    except DivergedError:
        return
    assert one.name == "diverges"


def test_a_course_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    ran(tmp_path, replace(REAL, lr=1e-2, epochs=4))
    read = read_course(tmp_path / "metrics.jsonl")
    assert len(read.steps) == 8
    assert [look.step for look in read.looks] == [0, 2, 4, 6, 8]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    looked = [line for line in lines if line["kind"] == "evaluation"]
    for look, line in zip(read.looks, looked, strict=True):
        assert look.validation.mean == pytest.approx(line["metrics"]["loss"], rel=1e-5)
        assert look.train.mean == pytest.approx(line["train"]["loss"], rel=1e-5)
        assert line["gap"]["low"] <= line["gap"]["value"] <= line["gap"]["high"]
        assert line["gap"]["value"] == pytest.approx(line["metrics"]["loss"] - line["train"]["loss"], rel=1e-5)


def test_a_damaged_course_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"kind": "step", "loss": 1.0, "refused": false}\n{"kind": "st')
    with pytest.raises(RunError, match=r"metrics\.jsonl:2"):
        read_course(path)
