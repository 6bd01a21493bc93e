"""Searches as records, for pages."""

from dataclasses import replace

from luthier.report.search import Confirmation, SearchFound, TrialLine, Weight


def line(number, rate, value, state="complete", *, own=False, reason=None, looks=4):
    curve = tuple((at, value * (0.6 + 0.4 * at / looks)) for at in range(1, looks + 1)) if value is not None else ()
    settings = {"train.lr": rate, "train.examples_per_step": (8, 16, 32)[number % 3], "method.rank": 16}
    return TrialLine(number, state, settings, value, curve, 61.0 + number, 48_000, 120_000, 4_884_480, reason, own)


SEARCH_CONFIRMED = SearchFound(
    title="bank-search",
    word="better",
    sentences=(
        "The setting found is better than the recipe: accuracy 81.2 % against 77.9 % on 3,080 test rows with 3 seeds "
        "(difference +3.3 points, 95 % interval +1.1 to +5.5 points, p = 0.006).",
        "On the validation rows it had 83.4 %: the best of 7 trials and of each trial's evaluations, so chance chose "
        "it, too. On rows it was not chosen by it reaches 81.2 %.",
        "7 trials computed 240,000 tokens in 7 min 20 s.",
    ),
    metric="accuracy",
    higher_is_better=True,
    objectives=("quality",),
    validation_rows=300,
    space={"train.lr": "log(0.0001, 0.01)", "train.examples_per_step": "[8, 16, 32]"},
    trials=(
        line(0, 1.05e-3, 0.801, own=True),
        line(1, 3.5e-4, 0.742),
        line(2, 2.1e-3, 0.834),
        line(3, 9.7e-3, 0.113, "stopped early", looks=1),
        line(4, 1.2e-4, 0.331, "stopped early", looks=3),
        line(5, 3.0e-3, 0.790),
        line(6, 5.0e-3, None, "failed", reason="out of memory; halve train.token_budget"),
    ),
    winner=2,
    best=(2,),
    importance=(Weight("train.lr", 0.87), Weight("train.examples_per_step", 0.11), Weight("method.rank", 0.02)),
    importance_by="Share of the spread of 4 whole trials by fANOVA. With so few this is a hint.",
    confirmation=Confirmation(
        3080, (0, 1, 2), (0.779, 0.781, 0.777), (0.812, 0.818, 0.806), 0.033, 0.011, 0.055, 0.006, 812.0, 300_000, 0
    ),
    seconds=440.0,
    distinct=240_000,
    logical=700_000,
    full_trials=3.4,
    use="luthier train runs/bank-search/recipe.yaml train.lr=0.0021 train.examples_per_step=32",
)
SEARCH_EQUAL = replace(
    SEARCH_CONFIRMED,
    word="nothing better",
    sentences=("Nothing better than the recipe was found: of 7 trials none did better than its own settings.",),
    winner=0,
    best=(0,),
    importance=(),
    importance_by="Too few different trials went to their end to tell (1; it takes 4).",
    confirmation=None,
    use="",
)
