"""Chat templates: messages to text, and the default for models that have none.

Templates are programs out of model folders. transformers runs them in jinja's immutable sandbox, which has no files,
no imports and ranges of at most 100,000; nothing here runs them any other way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from luthier.errors import DataError, GateError
from luthier.types import Json, Message

Tools: TypeAlias = "list[dict[object, object] | Callable[..., object]]"

DEFAULT_TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token + '\n\n' }}"
    "{% elif message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% else %}{{ message['role'] | capitalize + ': ' + message['content'] + '\n\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""For models without a template: `User: ...` and `Assistant: ...` in paragraphs, each answer ended by the model's own
end-of-text token, the whole begun by its beginning-of-text token where it has one. The space before an answer is
learned with it, since most tokenizers join it to the first word."""


def ensure_template(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Give a tokenizer without a chat template the default one; True where it did.

    Raises GateError where it has no end-of-text token, which the default template needs.
    """
    if tokenizer.chat_template:
        return False
    if tokenizer.eos_token is None:
        remedy = "set tokenizer.eos_token, or give the model a chat template"
        raise GateError(f"template: the tokenizer has neither a chat template nor an end-of-text token; {remedy}")
    tokenizer.chat_template = DEFAULT_TEMPLATE
    return True


@dataclass(frozen=True, slots=True)
class Chat:
    """One tokenizer's template, asked for text; the name of the example stands in what it raises."""

    tokenizer: PreTrainedTokenizerBase
    tools: tuple[Mapping[str, Json], ...]
    example: str

    def text(self, messages: Sequence[Message], *, generation: bool) -> str:
        """The conversation as the template writes it; with `generation`, up to where the assistant's turn goes on.

        Raises DataError where the template refuses the conversation.
        """
        turns, tools = as_turns(messages), as_tools(self.tools)
        try:
            text = self.tokenizer.apply_chat_template(
                turns, tools=tools, add_generation_prompt=generation, tokenize=False
            )
        except (TemplateError, TypeError, ValueError) as error:
            remedy = "change the roles or their order, or move a system message into the instruction"
            raise DataError(f"{self.example}: the model's chat template refuses it ({error}); {remedy}") from error
        return str(text)


def as_turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as templates take them; transformers' annotation forgets that fields hold more than text."""
    turns = [{**message.fields, "role": message.role, "content": message.content} for message in messages]
    return cast("list[dict[str, str]]", turns)


def as_tools(tools: Sequence[Mapping[str, Json]]) -> Tools | None:
    """Tool definitions as templates take them."""
    return cast("Tools", [dict(tool) for tool in tools]) or None
