"""`peft:NAME`: any tuner of PEFT that sits in a network's layers, by its own configuration and in its own files.

PEFT builds its layers into the network in place; the engine, the trainer and the base's weights stay as with LoRA.
Refused by name, with the reason: what works only through PEFT's own wrapper or needs a call of its own at every step.
PEFT is the extra `peft`, and is imported only where it is named.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from luthier.errors import ModelError, RecipeError
from luthier.methods.lora import freeze_base
from luthier.methods.method import PeftLayer, Rate, adapted, lora_lr
from luthier.methods.peft import CONFIG, WEIGHTS
from luthier.model.accept import accept
from luthier.model.few_bits import before_peft
from luthier.model.load import Model
from luthier.words import closest

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

INSTALL: Final = "install it with `pip install 'luthier[peft]'`"
HELD: Final = "peft_model"
"""Attribute of a network under which PEFT's wrapper of it is kept: some tuners hold state there, and saving asks it."""
NOISE: Final = 0.02
"""How far what learns is moved for the examination: at its start a tuner changes nothing, and would prove nothing."""

_PROMPT: Final = "puts its prompt before the input outside the network, and this engine calls the network itself"
REFUSED: Final[Mapping[str, str]] = {
    "LORA": "is here without PEFT: method=lora, with dora, rslora, plus, init, ranks and alphas",
    "IA3": "is here without PEFT: method=ia3",
    "PREFIX_TUNING": "is here without PEFT: method=prefix",
    "PROMPT_TUNING": "is here without PEFT: method=prompt",
    "ADALORA": "shifts ranks by a call at every step that this trainer does not make; method=lora takes `ranks`",
    "XLORA": "mixes adapters that were trained before",
    "POLY": "needs the task of every row",
    "ADAPTION_PROMPT": "has an attention of its own",
    "SHADOW": "runs a second network beside this one",
    **dict.fromkeys(("MULTITASK_PROMPT_TUNING", "P_TUNING", "CPT", "CARTRIDGE"), _PROMPT),
}
"""Tuners that are not taken, and why."""
UNMERGED: Final = ("BEFT", "LILY")
"""Tuners that PEFT cannot merge: one into layers without a bias, one at all."""
FOREIGN: Final[Mapping[str, object]] = {"bias": "none", "modules_to_save": None, "trainable_token_indices": None}
"""Options that would train the base's own parameters, which could not be switched off, and what they must be."""


@dataclass(frozen=True, slots=True)
class Peft:
    """A tuner of PEFT, named `peft:VERA`."""

    kind: str = ""
    """Which: PEFT's own name, such as VERA, LOHA, LOKR or OFT; as a method's name, `peft:VERA`."""
    config: Mapping[str, object] = field(default_factory=dict)
    """Settings of its own configuration (`r`, `target_modules`, ...); PEFT's defaults for the rest."""

    def __post_init__(self) -> None:
        name = self.kind.upper()
        if not name:
            raise RecipeError("kind: names no tuner; write peft:VERA, for instance")
        if name in REFUSED:
            raise RecipeError(f"kind: {name} {REFUSED[name]}")
        if find_spec("peft") is None:
            raise RecipeError(f"kind: peft:{name} needs PEFT; {INSTALL}")
        self._configuration()

    @property
    def starts_as_base(self) -> bool:
        """False: most do, and not all."""
        return False

    @property
    def removable(self) -> bool:
        """True: the base is frozen, and PEFT's layers can be switched off."""
        return True

    @property
    def mergeable(self) -> bool:
        """Whether PEFT folds this kind into the weights it stands for."""
        return self.kind.upper() not in UNMERGED

    def usual_lr(self, network: PreTrainedModel) -> float:
        """LoRA's, for want of a better: what suits a tuner is its own, and often far higher; set train.lr."""
        return lora_lr(network)

    def attach(self, network: PreTrainedModel, *, dtype: torch.dtype, seed: int = 0) -> None:
        """Freezes the network in the compute dtype and lets PEFT build its layers into it.

        Raises ModelError if it carries adapters already, or if PEFT refuses the configuration for this network.
        """
        if adapted(network):
            raise ModelError("the network carries adapters already; merge them first, or restore into them")
        freeze_base(network, dtype)
        _build(network, self._configuration(), seed)
        if not self.trainable(network):
            raise ModelError(f"peft:{self.kind} leaves nothing to learn in {type(network).__name__}")

    def trainable(self, network: PreTrainedModel) -> dict[str, nn.Parameter]:
        """What PEFT left open."""
        return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}

    def rates(self, network: PreTrainedModel) -> dict[str, Rate]:
        """None: all learn alike."""
        return {}

    def _configuration(self) -> PeftConfig:
        """PEFT's own; raises RecipeError for a tuner or an option that there is not, or that is not taken here."""
        before_peft()
        from peft import PeftType, get_peft_config
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

        name, known = self.kind.upper(), {one.value: shape for one, shape in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
        if name not in known:
            taken = sorted(known.keys() - REFUSED.keys())
            raise RecipeError(f"kind: PEFT has no {name}{closest(name, taken) or '; there are ' + ', '.join(taken)}")
        options = {one.name for one in fields(known[name]) if one.init}
        for option in self.config.keys() - options:
            raise RecipeError(f"config: {option!r} is no setting of {name}{closest(option, options)}")
        try:
            made: PeftConfig = get_peft_config({"peft_type": PeftType(name), "task_type": "CAUSAL_LM", **self.config})
        except (TypeError, ValueError) as error:
            raise RecipeError(f"config: {name} refuses it: {error}") from error
        _refuse_foreign(made)
        return made


def built_in(network: nn.Module) -> PeftModel | None:
    """PEFT's wrapper of a network that it built its layers into; None once they were merged or taken off."""
    found: PeftModel | None = getattr(network, HELD, None)
    return found if any(isinstance(module, PeftLayer) for module in network.modules()) else None


def save_tuner(network: PreTrainedModel, folder: Path) -> None:
    """Writes what PEFT built into a network into an existing folder, in its own layout."""
    from peft import get_peft_model_state_dict

    wrapped = built_in(network)
    if wrapped is None:
        raise ModelError("the network carries no tuner of PEFT to save")
    tensors = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(own, folder / WEIGHTS, metadata={"format": "pt"})
    wrapped.peft_config["default"].save_pretrained(str(folder))


def restore_tuner(network: PreTrainedModel, folder: Path) -> None:
    """Loads what PEFT saved, into what it built, or into a bare network after building it.

    Raises ModelError where PEFT is not installed, or the files are not of this network or are refused.
    """
    if find_spec("peft") is None:
        raise ModelError(f"{folder}: was saved by PEFT, which is not installed; {INSTALL}")
    before_peft()
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    try:
        tensors = load_file(folder / WEIGHTS)
        wrapped = built_in(network) or _open(network, folder)
        own = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
        odd = sorted(own.keys() ^ tensors.keys())
        if odd:
            raise ModelError(f"{folder}: the saved tuner and the network's differ in {len(odd)} tensors: {odd[0]!r}")
        set_peft_model_state_dict(wrapped, tensors)
    except (OSError, SafetensorError, RuntimeError, TypeError, KeyError) as error:
        raise ModelError(f"{folder}: not a tuner of PEFT that fits {type(network).__name__}: {error}") from error


def kind_in(folder: Path) -> str:
    """What PEFT calls the kind of adapter that a folder holds; raises ModelError where it cannot be read."""
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / CONFIG}: no readable adapter configuration ({error})") from error
    return str(found.get("peft_type") if isinstance(found, dict) else None)


def examine(model: Model, moving: Iterable[nn.Parameter] = ()) -> None:
    """Asks again whether the model may share, with a tuner of PEFT on it; sets `model.shared` and `model.reason`.

    moving: parameters that are moved while it is asked, and put back.
    """
    if not model.shared:
        return
    model.network.set_attn_implementation(model.plain)
    with _moved(list(moving)):
        accept(model)


@contextmanager
def _moved(parameters: list[nn.Parameter]) -> Iterator[None]:
    before = [parameter.detach().clone() for parameter in parameters]
    draw = torch.Generator().manual_seed(0)
    try:
        for parameter in parameters:
            parameter.data.add_(torch.randn(parameter.shape, generator=draw).to(parameter), alpha=NOISE)
        yield
    finally:
        for parameter, was in zip(parameters, before, strict=True):
            parameter.data.copy_(was)


def _open(network: PreTrainedModel, folder: Path) -> PeftModel:
    from peft import PeftConfig

    kind = kind_in(folder)
    if kind in REFUSED or adapted(network):
        raise ModelError(f"{folder}: peft_type {kind!r} {REFUSED.get(kind, 'does not fit the adapters attached here')}")
    try:
        config = PeftConfig.from_pretrained(str(folder))
        _refuse_foreign(config)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder}: peft_type {kind!r} cannot be opened: {error}") from error
    config.inference_mode = False
    freeze_base(network, network.dtype)
    return _build(network, config, seed=0)


def _build(network: PreTrainedModel, config: PeftConfig, seed: int) -> PeftModel:
    """Lets PEFT build its layers into the network, drawing from the seed alone; what learns is float32."""
    from peft import get_peft_model

    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            wrapped = get_peft_model(network, config)
    except (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError, AttributeError) as error:
        raise ModelError(
            f"PEFT cannot put {type(config).__name__.removesuffix('Config')} on {type(network).__name__}: {error}"
        ) from error
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    object.__setattr__(network, HELD, wrapped)  # not as a module: it holds the network
    return wrapped


def _refuse_foreign(config: PeftConfig) -> None:
    for option, must in FOREIGN.items():
        if getattr(config, option, must) not in (must, None):
            raise RecipeError(
                f"config: {option} is {getattr(config, option)!r}, which trains the base's own parameters, so that "
                f"they could not be switched off; leave it at {must}"
            )
