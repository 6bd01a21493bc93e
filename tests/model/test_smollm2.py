"""SmolLM2-135M-Instruct out of its 4-bit file: the tokens, the end of turn and the sense it was released with."""

from __future__ import annotations

import pytest
import torch

from luthier.errors import ModelError
from luthier.model.accept import open_model
from luthier.model.generate import generate
from luthier.model.load import Model, ModelOptions, load

START, END = 1, 2


@pytest.fixture(scope="module")
def model() -> Model:
    """The model in float32; converted on the first run on a machine."""
    try:
        return load(ModelOptions(dtype="float32"))
    except ModelError as error:
        pytest.skip(str(error))


def test_each_marker_of_a_turn_is_one_token_and_the_turn_ends_the_answer(model: Model) -> None:
    assert model.tokenizer.encode("<|im_start|>") == [START]
    assert model.tokenizer.encode("<|im_end|>") == [END]
    assert model.stop == {END}
    assert (model.tokenizer.bos_token_id, model.tokenizer.eos_token_id) == (START, END)
    assert model.network.generation_config.eos_token_id == END


def test_company_and_padding_side_change_no_generated_token(model: Model) -> None:
    shared = open_model(ModelOptions(dtype="float32"))
    assert shared.shared
    asked = ("What is the capital of France?", "Name a colour.", "Count from one to five, please, in words.", "Hi!")
    prompts = [
        list(
            model.tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=True
            )["input_ids"]
        )
        for text in asked
    ]
    together = generate(shared, prompts, max_new_tokens=10)
    shared.tokenizer.padding_side = "left" if shared.tokenizer.padding_side == "right" else "right"
    assert generate(shared, prompts[::-1], max_new_tokens=10) == together[::-1]
    assert [generate(shared, [prompt], max_new_tokens=10)[0] for prompt in prompts] == together


def test_nothing_is_put_before_a_text(model: Model) -> None:
    assert model.tokenizer.encode("hello") == model.tokenizer.encode("hello", add_special_tokens=False)


@pytest.mark.parametrize(
    "text",
    [
        "hello  world\n\n  x",
        "😀 naïve\t\t  日本",
        "12,345 67",
        " , . ! ?  lead",
        "<|im_start|>user\nhi<|im_end|>\n",
        "a\r\nb  ",
    ],
)
def test_text_comes_back_as_it_went_in(model: Model, text: str) -> None:
    assert model.tokenizer.decode(model.tokenizer.encode(text)) == text


def test_digits_are_cut_off_before_words(model: Model) -> None:
    pieces = [model.tokenizer.decode([token]) for token in model.tokenizer.encode("a\n\n12  3")]
    assert pieces == ["a", "\n\n", "1", "2", "  ", "3"]


def test_it_knows_the_capital_of_france_and_stops(model: Model) -> None:
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = model.tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.no_grad():
        answer = model.network.generate(**prompt, max_new_tokens=16, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert "Paris" in model.tokenizer.decode(answer)
    assert int(answer[-1]) == END
