"""The commands in one program, and its one way to say what went wrong."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Sequence

import typer

from seglib.cli.classroom import classroom
from seglib.cli.common import one_line
from seglib.cli.data import data
from seglib.cli.evaluate import evaluate
from seglib.cli.export import export
from seglib.cli.info import models, start
from seglib.cli.predict import predict
from seglib.cli.train import train

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(start)
for function in (train, evaluate, predict, export, models):
    app.command()(function)
app.add_typer(data, name="data")
app.add_typer(classroom, name="class")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done; 2: what was asked for is wrong or can't be done, said in one line on stderr; 130:
    interrupted. Any other exception is an error of this library.

    Args:
        arguments: as after `seglib`; default: the process's own. None at all shows the help.
    """
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:  # what a library warns of is no answer to what was asked
                warnings.simplefilter("ignore")
            _run(list(sys.argv[1:] if arguments is None else arguments))
    except typer.Exit as wish:
        return wish.exit_code
    except (KeyboardInterrupt, typer.Abort) as interrupt:
        text = ": ".join(["interrupted", *map(str, interrupt.args)])
        return _complain(text, 128 + signal.SIGINT)
    except BrokenPipeError:  # `seglib … | head`: nobody listens any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (ValueError, OSError) as error:
        return _complain(one_line(error))
    except Exception as error:
        # Typer's errors about options; the module of their class differs from version to version.
        say = getattr(error, "format_message", None)
        if say is None:
            raise
        return _complain(" ".join(str(say()).split()))
    return 0


def _run(arguments: list[str]) -> None:
    command = typer.main.get_command(app)
    with command.make_context("seglib", arguments or ["--help"]) as context:
        command.invoke(context)
    sys.stdout.flush()


def _complain(text: str, code: int = 2) -> int:
    print(f"seglib: error: {text}", file=sys.stderr)
    return code
