"""TRL's arm, in an environment of its own: SFTTrainer, its defaults but for what the order's settings say."""

from __future__ import annotations

import tempfile
import time
from importlib.metadata import version
from typing import Any

import torch
from datasets import Dataset  # type: ignore[import-not-found, import-untyped, unused-ignore]
from limit import rate
from peft import LoraConfig  # type: ignore[import-not-found, import-untyped, unused-ignore]
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer  # type: ignore[import-not-found, import-untyped, unused-ignore]
from work import ALPHA, CLIP, RANK, Measured, Order, Setting, Work, fingerprint, peak_bytes

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
"""Llama's, by name: `layers_to_transform` takes no "all-linear"."""
DEFAULT_BATCH = 8
"""`per_device_train_batch_size` of SFTConfig."""


class Clock(TrainerCallback):
    """Notes when each optimizer step ended, and its loss."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.began = 0.0
        self.losses: list[float] = []

    def on_train_begin(self, *_: object, **__: object) -> None:
        """Starts the first step's time."""
        self.began = time.time()
        self.times.append(time.perf_counter())

    def on_step_end(self, *_: object, **__: object) -> None:
        """Ends a step's time."""
        self.times.append(time.perf_counter())

    def on_log(self, *_: object, logs: dict[str, float] | None = None, **__: object) -> None:
        """Keeps the step's loss."""
        if logs and "loss" in logs:
            self.losses.append(logs["loss"])


def main() -> None:
    """Measures what the command line orders."""
    order = Order.from_command_line()
    torch.set_num_threads(order.threads)
    work, clock = Work.open(order.work), Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = made(work, order, folder, clock)
        rows = [(row["input_ids"], learned(row["labels"])) for row in trainer.train_dataset]
        used = time.process_time()
        trainer.train()
        used = time.process_time() - used
    peak = peak_bytes()
    batch = trainer.args.per_device_train_batch_size
    first = [len(tokens) for tokens, _ in rows[:batch]]
    padded = sum(first) if trainer.args.padding_free else batch * max(first)
    dtype = torch.bfloat16 if trainer.args.bf16 else next(trainer.model.parameters()).dtype
    found = Measured(
        arm="trl",
        work=work.key,
        seed=order.seed,
        warmup=order.warmup,
        step_s=tuple(b - a for a, b in zip(clock.times, clock.times[1:], strict=False)),
        losses=tuple(clock.losses),
        peak_bytes=peak,
        rate=rate(work.shape, rows=padded, dtype=dtype),
        rate_rows=padded,
        dtype=str(dtype).removeprefix("torch."),
        fingerprint=fingerprint(rows),
        versions={name: version(name) for name in ("trl", "peft", "torch", "transformers", "datasets", "accelerate")},
        settings=chosen(trainer.args),
        processor_s=used,
        began=clock.began,
    )
    print(found.line())


def made(work: Work, order: Order, folder: str, clock: Clock) -> Any:
    """The trainer; prompts and answers are strings already rendered, so that both sides learn the same tokens."""
    settings = dict(order.settings)
    batch = int(settings.pop("batch", None) or DEFAULT_BATCH)
    weights = settings.pop("weights", None)
    method, top = settings.pop("method", "full" if work.full else "lora"), settings.pop("top", None)
    layers = work.shape.layers
    adapted = None if top is None else list(range(layers - int(top), layers))
    arguments = SFTConfig(
        output_dir=folder,
        use_cpu=True,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=work.rows_per_step // batch,
        max_steps=order.warmup + order.steps,
        learning_rate=work.lr,
        lr_scheduler_type="constant",
        max_grad_norm=CLIP,
        seed=order.seed,
        completion_only_loss=True,
        train_sampling_strategy="sequential",
        model_init_kwargs={"dtype": weights} if weights else None,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **settings,
    )
    trainer = SFTTrainer(
        str(order.model),
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": row.prompt, "completion": row.answer} for row in work.rows]),
        peft_config=LoraConfig(
            r=RANK,
            lora_alpha=ALPHA,
            lora_dropout=0.0,
            target_modules=LINEARS if adapted else "all-linear",
            layers_to_transform=adapted,
            task_type="CAUSAL_LM",
        )
        if method == "lora"
        else None,
        callbacks=[clock],
    )
    if method == "freeze":
        trainer.model.get_input_embeddings().requires_grad_(False)
        for layer in trainer.model.model.layers[: layers - int(top or layers)]:
            layer.requires_grad_(False)
    return trainer


def learned(labels: list[int]) -> list[int]:
    """Places of the tokens that are learned."""
    return [place for place, label in enumerate(labels) if label != -100]


def chosen(arguments: Any) -> dict[str, Setting]:
    """What decides the speed, as the trainer ran it."""
    names = ("per_device_train_batch_size", "gradient_accumulation_steps", "gradient_checkpointing", "bf16")
    more = ("padding_free", "torch_compile", "optim", "weight_decay")
    return {name: value if isinstance(value := getattr(arguments, name), int) else str(value) for name in names + more}


if __name__ == "__main__":
    main()
