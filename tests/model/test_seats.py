"""Rows in seats go on as those whose keys are gathered from the cache do, whoever sits down, moves and leaves."""

from __future__ import annotations

import families
import numpy as np
import pytest
import torch

from luthier.model import generate as made
from luthier.model.accept import accept
from luthier.model.cache import Cache
from luthier.model.decoder import Decoder
from luthier.model.generate import generate
from luthier.model.load import Model
from luthier.model.seats import Seats


def opened(family: str, stop: frozenset[int]) -> Model:
    network = families.network(family)
    model = Model(network, None, family, torch.device("cpu"), torch.float32, stop, max_length=128)
    accept(model)
    return model


MODEL = opened("llama", frozenset({2, 17, 18, 19, 20}))


def prompts(seed: int, count: int) -> list[list[int]]:
    draw = np.random.default_rng(seed)
    stem = draw.integers(3, 61, 11).tolist()
    return [stem[: draw.integers(2, 12)] + draw.integers(3, 61, draw.integers(1, 30)).tolist() for _ in range(count)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("seats", "budget"), [(1, 40), (3, 40), (3, 8192), (50, 8192)])
def test_they_say_what_rows_with_gathered_keys_say(
    monkeypatch: pytest.MonkeyPatch, seed: int, seats: int, budget: int
) -> None:
    asked = prompts(seed, 23)
    monkeypatch.setattr(made, "AT_ONCE", seats)
    mine = generate(MODEL, asked, max_new_tokens=20, temperature=1.0, seed=seed, budget=budget)
    assert len({len(one.tokens) for one in mine}) > 3, "rows that all end together would test nothing"

    def gathered(model: Model, _: Seats, line: made.Line, prompts: list[np.ndarray], writing: made.Writing) -> None:
        for some, _ in line._groups:
            roomy = Decoder(model, [prompts[i] for i in some], room=len(some) * writing.limit, ahead=writing.limit)
            made._in_rows(roomy, some, writing, len(prompts))

    monkeypatch.setattr(made, "_in_seats", gathered)
    assert mine == generate(MODEL, asked, max_new_tokens=20, temperature=1.0, seed=seed, budget=budget)


def test_a_seat_that_is_not_moved_into_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = prompts(0, 23)
    right = generate(MODEL, asked, max_new_tokens=20)
    monkeypatch.setattr(Seats, "move", lambda self, seats, to: None)
    assert generate(MODEL, asked, max_new_tokens=20) != right


def test_whoever_waits_is_told_how_many_are_done() -> None:
    told: list[int] = []
    generate(MODEL, prompts(1, 9), max_new_tokens=20, budget=40, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 9


def test_a_window_that_paths_will_outgrow_is_no_case_for_seats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "_in_seats", lambda *_: pytest.fail("a window needs a mask"))
    generate(opened("mistral", frozenset({2})), prompts(0, 4), max_new_tokens=60)


def test_long_prompts_of_their_own_take_fewer_seats(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[tuple[int, int]] = []
    sit = Seats.__init__

    def counted(self: Seats, cache: Cache, shared: torch.Tensor, count: int, room: int) -> None:
        counts.append((count, room))
        sit(self, cache, shared, count, room)

    monkeypatch.setattr(Seats, "__init__", counted)
    short = prompts(0, 23)
    asked = [short[0] + short[1], *short, short[2] + short[3] + short[4]]
    right = generate(MODEL, asked, max_new_tokens=20)
    assert [count for count, _ in counts] == [25]
    monkeypatch.setattr(made, "SEATED", made.AT_ONCE * 25)
    counts.clear()
    assert generate(MODEL, asked, max_new_tokens=20) == right
    rooms = [room for _, room in counts]
    assert len(rooms) > 1
    assert rooms == sorted(rooms)
    assert all(count * room <= made.SEATED for count, room in counts)
    monkeypatch.setattr(made, "SEATED", 10)
    assert generate(MODEL, asked, max_new_tokens=20) == right
    assert counts[-1][0] == 1, "one sits down however little room there is"


def test_no_room_and_no_prompts_say_nothing() -> None:
    assert generate(MODEL, [], max_new_tokens=3) == []
    assert [one.tokens for one in generate(MODEL, prompts(0, 2), max_new_tokens=0)] == [[], []]


def test_scores_are_not_rounded_where_products_are() -> None:
    draw = torch.Generator().manual_seed(0)
    keys, values = (torch.randn(9, 1, 8, generator=draw).to(torch.bfloat16) for _ in range(2))
    keys = (3 + keys / 8).to(torch.bfloat16)  # scores about 72, where half precision knows halves
    cache = Cache(9)
    cache.extend(0, keys.transpose(0, 1)[None], values.transpose(0, 1)[None])
    cache.length = 9
    seats = Seats(cache, torch.arange(0), 1, 16)
    seats.sit([0], cache, torch.arange(8)[None], torch.tensor([8]))
    seats.open(1)
    query = torch.full((1, 1, 1, 8), 3.0, dtype=torch.bfloat16)
    new = (one[8:].transpose(0, 1)[None] for one in (keys, values))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = seats.attend(0, query, *new, None, 1.0)
    right = torch.softmax(query.double() @ keys[:, 0].double().T, -1)[0, 0] @ values[:, 0].double()
    torch.testing.assert_close(found[0, 0].double(), right, rtol=0, atol=0.01)
    rounded = torch.softmax((query @ keys[:, 0].T).double(), -1)[0, 0] @ values[:, 0].double()
    assert (rounded - right).abs().max() > 0.03, "a control"
