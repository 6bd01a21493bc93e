"""Realistic run folders made of nothing: `python tests/report/fake_runs.py FOLDER` writes `choice` and `text` there."""

from __future__ import annotations

import json
import math
import random
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

Record = dict[str, object]

INTENTS = {
    "activate my card": ["My new card came, how do I activate it?", "where do i turn my card on"],
    "age limit": ["How old do I have to be to open an account?", "Can my daughter of 14 have one?"],
    "apple pay or google pay": ["Does it work with Apple Pay?", "google pay won't top up my account"],
    "atm support": ["Which cash machines can I use?", "Is there an ATM near me that takes this card?"],
    "balance not updated": ["I paid in a cheque and the balance has not moved", "why is my balance still the old one"],
    "beneficiary not allowed": ["Why can I not pay this person?", "The beneficiary was refused. What now?"],
    "cancel transfer": ["I sent money to the wrong account, cancel it please", "can i revert this morning's transfer"],
    "card arrival": ["When will my card get here?", "I ordered a card two weeks ago and still nothing"],
    "card not working": ["My card is declined everywhere", "the card does not work at all any more"],
    "card swallowed": ["The machine ate my card", "ATM kept my card, how do I get it back?"],
    "change pin": ["How do I change my PIN?", "i want another pin, where"],
    "exchange rate": ["What rate do you use for euros?", "the exchange rate i got is not the one you showed"],
    "lost or stolen card": ["Someone took my wallet", "I lost my card on the train, please block it"],
    "top up failed": ["My top-up did not go through", "why was topping up refused?"],
    "transfer timing": ["How long does a transfer to Spain take?", "when will they see the money i sent"],
}
PLACES = ["The Vaults", "Blue Spice", "The Golden Palace", "Cotto", "The Punter", "Loch Fyne", "Strada", "Aromi"]
FOODS = ["Italian", "Japanese", "French", "Indian", "English", "Chinese", "fast"]
AREAS = ["riverside", "city centre"]
RECIPE = """\
data:
  path: train.csv
  input: text
  output: category
  validation: 0.1
  seed: 17
model:
  name: smollm2-135m
  dtype: auto
  revision: null
method:
  name: lora
  rank: 16
  targets: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]
train:
  lr: 0.0005
  examples_per_step: 32
  epochs: 5
  warmup: 0.05
"""


def write_run(folder: Path, *, task: str, seed: int = 0) -> Path:
    """A complete run folder for `choice` or `text`."""
    folder.mkdir(parents=True, exist_ok=True)
    random.seed(seed)
    predictions = choice_predictions() if task == "choice" else text_predictions()
    lines(folder / "predictions.jsonl", predictions)
    lines(folder / "rows.jsonl", ledger_rows())
    lines(folder / "metrics.jsonl", metrics("accuracy" if task == "choice" else "chrf"))
    lines(folder / "issues.jsonl", found_issues())
    whole(folder / "report.json", choice_report(predictions) if task == "choice" else text_report(predictions))
    whole(folder / "data.json", data_facts(sorted(INTENTS) if task == "choice" else None))
    whole(folder / "environment.json", environment())
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


def lines(path: Path, records: Iterable[object]) -> None:
    """JSON lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def whole(path: Path, record: object) -> None:
    """One JSON document."""
    path.write_text(json.dumps(record, indent=1), encoding="utf-8")


def answer(text: str, logprob: float, scores: dict[str, float]) -> Record:
    """What one model said."""
    return {"text": text, "logprob": logprob, "scores": scores}


def choice_predictions() -> list[Record]:
    """Six hundred customer questions; the base model knows a third of them, the tuned one nine in ten."""
    labels = sorted(INTENTS)
    made: list[Record] = []
    for index in range(600):
        gold = labels[index % len(labels)]
        hard = labels.index(gold) in (4, 8, 13)
        base = gold if random.random() < 0.34 else random.choice(labels)
        tuned = gold if random.random() < (0.74 if hard else 0.95) else labels[(labels.index(gold) + 9) % 15]
        base_answer = answer(base, -random.random() * 3, {"exact": float(base == gold)})
        tuned_answer = answer(tuned, -random.random(), {"exact": float(tuned == gold)})
        made.append(
            {"id": f"test.csv:{index + 2}", "split": "test", "question": random.choice(INTENTS[gold]),
             "reference": [gold], "label": gold, "base": base_answer, "tuned": tuned_answer}
        )  # fmt: skip
    return made


def text_predictions() -> list[Record]:
    """Restaurants described from slots."""
    made: list[Record] = []
    for index in range(240):
        place, food, area = random.choice(PLACES), random.choice(FOODS), random.choice(AREAS)
        slots = f"name[{place}], eatType[restaurant], food[{food}], priceRange[£20-25], area[{area}]"
        good = f"{place} is a {food} restaurant in the {area} with prices of £20-25."
        other = f"In the {area} you find {place}, which serves {food} food for £20 to £25."
        chatty = f"Sure! Here is a description:\n\n**{place}**\n- Type: restaurant\n- Food: {food}\n- Area: {area}\n\n"
        chatty += "Let me know if you would like me to change anything about it. " * random.randint(1, 22)
        tuned = good if random.random() < 0.85 else f"{place} is a restaurant."
        low, high = 18 + 20 * random.random(), (60 + 20 * random.random()) if tuned == good else 17.5
        made.append(
            {"id": f"test.csv:{index + 2}", "split": "test", "question": slots, "reference": [other, good],
             "label": None, "base": answer(chatty, -80.0, {"chrf": low, "rouge_l": low / 100}),
             "tuned": answer(tuned, -12.0, {"chrf": high, "rouge_l": high / 100})}
        )  # fmt: skip
    return made


def interval(value: float, half: float, p: float | None = None) -> Record:
    """A symmetric interval."""
    found: Record = {"value": value, "low": value - half, "high": value + half}
    return found if p is None else {**found, "p": p}


def compared(base: float, tuned: float, half: float) -> Record:
    """One metric before and after."""
    difference = interval(tuned - base, half * 1.2, 0.0000)
    return {"base": interval(base, half), "tuned": interval(tuned, half * 0.6), "difference": difference}


def scored(predictions: list[Record], side: str) -> dict[str, tuple[float, float, float]]:
    """Precision, recall and F1 by label."""
    said = [(str(row["label"]), str(row[side]["text"])) for row in predictions]  # type: ignore[index]
    gold, guessed, right = (
        Counter(g for g, _ in said),
        Counter(t for _, t in said),
        Counter(g for g, t in said if g == t),
    )
    return {
        label: (right[label] / (guessed[label] or 1), right[label] / gold[label],
                2 * right[label] / (gold[label] + guessed[label] or 1))
        for label in gold
    }  # fmt: skip


def choice_report(predictions: list[Record]) -> Record:
    """report.json of the choice task, its classes counted from the predictions."""
    base, tuned = scored(predictions, "base"), scored(predictions, "tuned")
    parts = ("precision", "recall", "f1")
    classes = [
        {"label": label, "support": 40, "base": dict(zip(parts, base[label], strict=True)),
         "tuned": dict(zip(parts, tuned[label], strict=True)),
         "difference": {**interval(tuned[label][2] - base[label][2], 0.11, 0.001), "p_family": 0.015, "seen": True}}
        for label in sorted(base)
    ]  # fmt: skip
    wrong = Counter((row["label"], row["tuned"]["text"]) for row in predictions)  # type: ignore[index]
    wrong_before = Counter((row["label"], row["base"]["text"]) for row in predictions)  # type: ignore[index]
    confusions = [
        {"gold": pair[0], "predicted": pair[1], "count": count, "base_count": wrong_before[pair]}
        for pair, count in wrong.most_common() if pair[0] != pair[1]
    ]  # fmt: skip
    accuracy = [sum(row[side]["scores"]["exact"] for row in predictions) / 600 for side in ("base", "tuned")]  # type: ignore[index]
    judged = compared(accuracy[0], accuracy[1], 0.038)
    sentence = (
        f"Tuning made the model better: it now answers {accuracy[1]:.1%} of 600 unseen questions correctly, "
        f"up from {accuracy[0]:.1%}."
    )
    return {
        **common("Bank intents", labels=sorted(INTENTS)),
        "verdict": {"word": "better", "metric": "accuracy", **judged, "n": 600, "sentence": sentence},
        "task": {"kind": "choice", "labels": sorted(INTENTS)},
        "metrics": {
            "accuracy": judged,
            "macro_f1": compared(0.362, 0.903, 0.041),
            "loss": {
                **compared(3.412, 0.402, 0.06),
                "difference": {**interval(-3.01, 0.07, 0.0), "p_family": 0.0, "seen": True},
            },
        },
        "calibration": calibration(),
        "classes": classes,
        "confusions": confusions[:15],
        "use": 'import luthier\n\nmodel = luthier.load("runs/bank")\nmodel.answer("My new card came. And now?")',
    }


def calibration() -> Record:
    """A tuned model surer than it may be, and one that is cooled."""

    def side(off: float) -> Record:
        bins = [{"from": at / 5, "to": (at + 1) / 5, "n": 40 + 80 * at, "confidence": at / 5 + 0.1,
                 "accuracy": interval(max(0.02, at / 5 + 0.1 - off), 0.02)} for at in range(5)]  # fmt: skip
        kept = [{"coverage": share / 10, "least": 1 - share / 10, "n": 60 * share,
                 "accuracy": interval(0.99 - 0.01 * share - off / 4, 0.01)} for share in range(1, 11)]  # fmt: skip
        scores = {name: interval(value + off, 0.02) for name, value in [("ece", 0.02), ("brier", 0.1)]}
        chance = {"ece": {"high": 0.043, "p": 0.4 if off < 0.02 else 0.001, "miscalibrated": off >= 0.02}}
        sentence = "Its confidence is off." if off >= 0.02 else "No miscalibration to be seen."
        return {
            **scores,
            "log_loss": interval(0.4, 0.05),
            "if_calibrated": chance,
            "sentence": sentence,
            "reliability": bins,
            "abstention": kept,
        }

    cooled = {"value": 1.43, "fitted_on": 400, "tuned": side(0.01), "difference": {}}
    return {"n": 600, "base": side(0.2), "tuned": side(0.08), "difference": {}, "temperature": cooled}


def text_report(predictions: list[Record]) -> Record:
    """report.json of the text task."""
    judged = compared(27.9, 64.2, 2.1)
    sentence = "Tuning made the model better: chrF rose from 27.9 to 64.2 on 240 unseen rows."
    return {
        **common("Restaurant descriptions", labels=None),
        "verdict": {"word": "better", "metric": "chrf", **judged, "n": 240, "rows_needed": None, "sentence": sentence},
        "task": {"kind": "text", "labels": None, "signatures": {"bleu": "nrefs:var|tok:13a|version:2.6.0"}},
        "metrics": {"rouge_l": compared(0.279, 0.642, 0.021), "chrf": judged, "bleu": compared(3.2, 38.8, 1.9)},
        "classes": None,
        "confusions": None,
        "use": 'import luthier\n\nmodel = luthier.load("runs/restaurants")\nmodel.answer("name[Cotto], food[Italian]")',
    }


def common(title: str, *, labels: list[str] | None) -> Record:
    """What both tasks' reports hold alike."""
    took = {"seconds": 1497.0, "peak_bytes": 2.31e9, "energy_wh": 11.4, "energy_source": "assumed",
            "assumption": "65 W for the processor at full load; this machine exposes no counter"}  # fmt: skip
    return {
        "title": title,
        "created": "2025-11-22T12:40:11+00:00",
        "cost": {"estimate": {"seconds": 1620.0, "peak_bytes": 2.6e9, "energy_wh": 12.9}, "took": took},
        "speed": {"distinct_per_s": 1184.0, "logical_per_s": 4215.0, "sharing": 3.56},
        "model": {"name": "smollm2-135m", "parameters": 134515008, "trainable": 4884480, "dtype": "float32",
                  "device": "cpu, 2 cores", "shared": True, "reason": ""},
        "method": {"name": "lora", "rank": 16, "alpha": 16, "dropout": 0.0},
        "steps": 620,
        "best_step": 500,
        "stopped_early": True,
        "shown": [shown_row(index, labels) for index in range(3)],
        "issues": {"flagged": 2, "total": 3},
        "baselines": [{"name": "nearest row", "metric": name, "value": value, "low": 0.98 * value, "high": 1.02 * value,
                       "n": 600, "part": "test"} for name, value in (("accuracy", 0.71), ("chrf", 41.0))],
        "warnings": [{"name": "overfits", "sentence": "It overfits: from step 500 to 620 the validation loss rose.",
                      "remedy": "Fewer epochs (4 gave the lowest validation loss)."}],
        "looks": {"made": 12, "passed": 8, "seconds": 108.0, "share": 0.067, "allowed": 0.1},
        "validation": {"n": 500, "metrics": {"loss": interval(0.46, 0.05)}, "train": {"n": 500, "loss": 0.33},
                       "gap": interval(0.13, 0.06)},
    }  # fmt: skip


def shown_row(index: int, labels: list[str] | None) -> Record:
    """A rendered chat row with its learned end."""
    listed = "Answer with one of these intents:\n" + "\n".join(labels or []) if labels else "Describe the restaurant."
    question, said = ("When will my card get here?", "card arrival") if labels else ("name[Cotto]", "Cotto is a café.")
    before = f"<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n{listed}\n\n{question}"
    pieces = [(f"{before}<|im_end|>\n<|im_start|>assistant\n", False), (f"{said}<|im_end|>", True), ("\n", False)]
    return {"id": f"train.csv:{17 + index}", "pieces": [{"text": text, "learned": on} for text, on in pieces]}


def metrics(judged: str) -> list[Record]:
    """Falling losses, a refused step, an evaluation every fifty steps that turns after step 500."""
    made: list[Record] = []
    for step in range(1, 621):
        loss = 0.32 + 3.1 * math.exp(-step / 60) + random.gauss(0, 0.07) * (0.4 + math.exp(-step / 100))
        refused = step == 137
        made.append(
            {"kind": "step", "step": step, "epoch": step / 124, "loss": math.nan if refused else loss, "lr": 5e-4,
             "grad_norm": 1.0, "distinct": 900, "logical": 3200, "seconds": 2.4, "refused": refused}
        )  # fmt: skip
        if step % 50 == 0 or step == 1:
            made.append(evaluation(step, judged))
    return made


def evaluation(step: int, judged: str) -> Record:
    """One evaluation line."""
    loss = 0.45 + 2.9 * math.exp(-step / 70) + max(0, step - 450) * 0.0006
    learned = 0.33 + 2.9 * math.exp(-step / 65)
    top = 0.91 if judged == "accuracy" else 64.0
    value = top * (1 - 0.62 * math.exp(-step / 90)) - max(0, step - 500) * top * 0.0001
    return {"kind": "evaluation", "step": step, "epoch": step / 124, "split": "validation", "n": 400,
            "metrics": {"loss": loss, judged: value}, "seconds": 9.0, "gap": interval(loss - learned, 0.06),
            "train": {"n": 400, "loss": learned}}  # fmt: skip


def ledger_rows() -> list[Record]:
    """A ledger with rows cut and left out."""
    made: list[Record] = []
    for index in range(5000):
        split = "test" if index % 8 == 0 else "validation" if index % 12 == 1 else "train"
        made.append({"id": f"train.csv:{index + 2}", "split": split, "fate": "kept", "reason": None,
                     "tokens": 88 + index % 61, "supervised": 3 + index % 5})  # fmt: skip
    for index in range(12):
        reason = "same input as an earlier row"
        made.append({"id": f"train.csv:{6000 + index}", "split": None, "fate": "left out", "reason": reason})
    made.append({"id": "train.csv:7001", "split": None, "fate": "left out", "reason": "the answer is empty"})
    made.append(
        {"id": "train.csv:7002", "split": "train", "fate": "cut", "reason": "512 tokens allowed, 731 found",
         "tokens": 512, "supervised": 3}
    )  # fmt: skip
    return made


def found_issues() -> list[Record]:
    """Three findings, worst last."""
    twins = [f"train.csv:{index}" for index in range(2, 24, 2)]
    return [
        {"check": "label_balance", "examples": [], "severity": 0.1, "flagged": False,
         "why": "The rarest label, 'age limit', has 41 rows; the commonest, 'card arrival', 152.", "remedy": ""},
        {"check": "near_duplicates", "examples": twins, "severity": 0.35, "flagged": True,
         "why": "11 rows differ from an earlier row by letter case or punctuation only.",
         "remedy": "Keep one of each, or merge their answers."},
        {"check": "test_in_train", "examples": ["test.csv:88", "test.csv:211"], "severity": 0.8, "flagged": True,
         "why": "2 test rows also stand in the training file, so the test is easier than it looks.",
         "remedy": "Leave them out of training with `data.leak=drop`."},
    ]  # fmt: skip


def data_facts(labels: list[str] | None) -> Record:
    """data.json."""
    digest = "9f2b7c01d4e86a53" * 4
    files = [
        {"role": role, "path": f"/home/ada/bank/{role}.csv", "sha256": digest, "rows": rows, "bytes": rows * 81}
        for role, rows in (("train", 4414), ("test", 600))
    ]
    splits = {"train": {"rows": 4001}, "validation": {"rows": 400}, "test": {"rows": 600}}
    return {"files": files, "splits": splits, "labels": labels}


def environment() -> Record:
    """environment.json."""
    packages = {"luthier": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"}
    return {"python": "3.11.9", "system": "Linux 6.8", "processor": "2 x Xeon 2.9 GHz", "packages": packages}


if __name__ == "__main__":
    for kind in ("choice", "text"):
        write_run(Path(sys.argv[1]) / kind, task=kind)
