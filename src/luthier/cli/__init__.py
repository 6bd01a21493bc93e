"""The command line: `luthier COMMAND`. Exit 0 when done, 1 when a gate failed, 2 for bad input, 130 when interrupted.

A command says to a person on stderr what it does, and prints its result on stdout; with `--json` the result is JSON.
A command is one file, and one name in `COMMANDS`. What takes seconds to import is imported by the command that needs
it, so that help comes at once.

app.py     the program and the options that every command has
words.py   files, `key=value` words and flags, made into a recipe
ending.py  exit codes, errors as sentences, JSON
"""

from luthier.cli.app import QUIET, app, main
from luthier.cli.cache import cache
from luthier.cli.chat import chat
from luthier.cli.check import check
from luthier.cli.compare import compare
from luthier.cli.convert import convert
from luthier.cli.demo import demo
from luthier.cli.evaluate import evaluate
from luthier.cli.export import export
from luthier.cli.models import models
from luthier.cli.probe import probe
from luthier.cli.report import report
from luthier.cli.search import search
from luthier.cli.settings import settings
from luthier.cli.train import train

COMMANDS = (
    train,
    search,
    check,
    evaluate,
    compare,
    models,
    probe,
    report,
    chat,
    export,
    convert,
    settings,
    cache,
    demo,
)
"""In the order of the help."""

for command in COMMANDS:
    app.command()(command)

__all__ = ["COMMANDS", "QUIET", "app", "main"]
