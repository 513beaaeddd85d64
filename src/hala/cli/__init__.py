"""The command line: words in, calls out. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hala.cli import runs, training, translate, weights
from hala.cli.torchrun import is_extra

if TYPE_CHECKING:
    from hala.errors import HalaError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
EXIT_INTERRUPTED, EXIT_BUG = 130, 9
# In the order of `hala --help`.
COMMANDS = (
    *(runs.run, runs.plan, runs.status, runs.report, runs.verify, runs.repair),
    *(weights.compress, translate.translate, training.filter_, training.mix, training.preview, training.tune, weights.merge),
    *(training.evaluate, weights.export, training.release, runs.show, runs.stats, runs.new_language),
)
for command in COMMANDS:
    app.command(command.__name__.rstrip("_").replace("_", "-"))(command)


def _say_version(wanted: bool) -> None:
    if wanted:
        from hala import __version__

        print(f"hala {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True)] = False,
) -> None:
    """Give a language its own models: compress a translator, translate instruction data, tune, merge, evaluate."""


def _forbidden(error: PermissionError) -> HalaError:
    """What the operating system did not permit: InputError where a file cannot be read, DiskError where none can be written."""
    from hala.errors import DiskError, InputError

    place, as_now = error.filename, os.access in os.supports_effective_ids
    if place is None or (os.path.exists(place) and not os.access(place, os.R_OK, effective_ids=as_now)):
        return InputError(f"cannot read {place or 'a file'}: {error.strerror or error}.", "Mend its permissions.")
    return DiskError(f"cannot write {place}: {error.strerror}.", "Mend its permissions, or choose another place.")


def main() -> None:
    """Entry point: expected errors become one clear message and a documented exit code."""
    from hala.errors import HalaError
    from hala.progress import clean

    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        if is_extra():
            return
        app(standalone_mode=True)
    except (HalaError, PermissionError) as error:
        if debug:
            raise
        told = error if isinstance(error, HalaError) else _forbidden(error)
        print("\n".join(clean(line) for line in f"hala: {told}".splitlines()), file=sys.stderr)
        raise SystemExit(told.exit_code) from None
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:  # what typer makes of Ctrl-C
            print("\nhala: stopped. Run the same command again to continue.", file=sys.stderr)
        raise
    except BrokenPipeError:  # `hala show ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        if debug:
            raise
        print(f"hala: internal error, our bug: {type(error).__name__}: {error}", file=sys.stderr)
        print("Run it again with --debug and report what it prints.", file=sys.stderr)
        raise SystemExit(EXIT_BUG) from error
