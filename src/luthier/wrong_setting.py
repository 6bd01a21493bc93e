"""What is wrong with a setting, in words: a name that there is not, a value that does not fit.

Not here: which settings there are, and which values they take (`recipe.py` and the options of each room).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pydantic_core import ErrorDetails

from luthier.words import closest

CALLED: Mapping[str, Mapping[str, str]] = {
    "method": {
        "dora": "method=lora method.dora=true",
        "rslora": "method=lora method.rslora=true",
        "pissa": "method=lora method.init=pissa",
        "lora+": "method=lora method.plus=16",
        "qlora": "method=lora model.quantize=nf4",
    }
}
"""What the field gives a name of its own, and how it is written here."""
PLAIN: Mapping[str, str] = {
    "float_parsing": "takes a number",
    "float_type": "takes a number",
    "int_parsing": "takes a whole number",
    "int_type": "takes a whole number",
    "int_from_float": "takes a whole number",
    "bool_parsing": "is true or false",
    "bool_type": "is true or false",
    "tuple_type": "takes a list, [...]",
}
"""pydantic's findings by type, in our words."""
NESTED = ("tuple_type",)
"""Those whose remedy is to look up what goes inside."""


def instead(name: str, chosen: str, shapes: Mapping[str, type]) -> str:
    """What may have been meant by a name that no plug-in has."""
    if written := CALLED.get(name, {}).get(chosen.casefold()):
        return f"; it is written {written}"
    return closest(chosen, shapes, cutoff=0.75) or f"; there are {', '.join(shapes)}, or module:Class"


def unknown(name: str, known: Iterable[str], *, of: type | None = None) -> str:
    """A key that is no setting; of: the options that have none by that name."""
    known = list(known)
    if of is not None and not known:
        return f"{name}: is no setting; {of.__name__} has none"
    own = name.rpartition(".")[2]
    near = [one for one in known if closest(own, [one.rpartition(".")[2]])]  # all of a section begin alike
    hint = closest(name, near) or f"; there are {', '.join(known)}"
    return f"{name}: is no setting{hint}"


def misfit(section: str, error: ErrorDetails, known: Iterable[str]) -> str:
    """One of pydantic's findings in our words; what an options class found itself begins with its field's name."""
    place = ".".join([section, *(str(part) for part in error["loc"][:1])])
    message, given = error["msg"].removeprefix("Value error, "), error["input"]
    if not error["loc"]:
        own = re.match(r"\w+(?= is |:)", message)
        return f"{place}.{message}" if own and own[0] in known else f"{place}: {message}"
    if error["type"] == "literal_error":
        taken = str(error["ctx"]["expected"])
        near = closest(str(given), re.findall(r"'([^']*)'", taken))
        return f"{place}: {given!r} is none; there are {taken}{near}"
    more = f"; `luthier settings {place}` says of what" if error["type"] in NESTED else ""
    return f"{place}: {PLAIN.get(error['type'], message)}, not {given!r}{more}"
