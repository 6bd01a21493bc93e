"""`luthier convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from luthier.cli.app import AsJson
from luthier.cli.ending import printed, told


@told
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="Rows: a file or hub name.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    to: Annotated[str, typer.Option(help="Format to write, of those above.")],
    from_: Annotated[
        str, typer.Option("--from", help="Format of IN, where it is not recognised (data.format).")
    ] = "auto",
    input: Annotated[str | None, typer.Option(help="Column of the input (data.input).")] = None,
    output: Annotated[str | None, typer.Option(help="Column of the wanted answer (data.output).")] = None,
    group: Annotated[
        str | None, typer.Option(help="Column of rows that belong together; told where it is lost (data.group).")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of IN, where it is not UTF-8 (data.encoding); OUT is UTF-8.")
    ] = None,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help="Leave bad rows out, by name.")] = False,
    allow_loss: Annotated[bool, typer.Option("--allow-loss", help="Write rows with what can be held of them.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it is there.")] = False,
    as_json: AsJson = False,
) -> int:
    """Write rows in a format of others, and list what it cannot hold.

    OUT ends in .jsonl, .json, .csv, .tsv (each also with .gz) or .parquet. What was written is read back and compared
    row by row. A row that would teach something else is left out and named, and the exit code is 1; the row of a
    column that cannot be held is written, and the column named. Formats, and other names they go by:

    messages: conversations for OpenAI's fine-tuning (openai, trl)

    openai_preference: pairs for OpenAI's preference fine-tuning

    sharegpt: ShareGPT conversations

    alpaca: instruction, input, output

    prompt: prompt and completion, as TRL and others read them (trl-prompt-completion)

    label: text and label (csv, classification)

    pair: prompt, chosen, rejected, as TRL reads them (dpo, trl-preference)

    unpaired: prompt, completion, and label true or false, as TRL reads them (kto, trl-unpaired-preference)

    hh: chosen and rejected Human/Assistant transcripts

    labelstudio, argilla, doccano, prodigy: what these tools export and import
    """
    from luthier.data.convert import convert as carry_out
    from luthier.data.read import ReadOptions
    from luthier.report.convert import as_json as facts
    from luthier.report.convert import told

    options = ReadOptions(
        format=from_, input=input, output=output, group=group, encoding=encoding, skip_bad_rows=skip_bad_rows
    )
    done = carry_out(source, target, to, options, allow_loss=allow_loss, overwrite=overwrite)
    if as_json:
        printed(facts(done), as_json=True)
    else:
        Console(emoji=False, highlight=False).print(told(done))
    return 1 if done.unheld and not allow_loss else 0
