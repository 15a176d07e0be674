"""``countersign``: each command is a module of ``harness.commands``, loaded only when it is called."""

from __future__ import annotations

import importlib
import sys

import click

from backends.errors import Mistakes

COMMANDS = {
    "scan": "find who acted without authority, or without evidence, in logs",
    "validate": "check records against the schema, line by line",
    "rules": "list the rules, or check them with every SigmaHQ validator",
    "explain": "say what a rule or a finding means, or why a rule does not fire",
    "compile": "write the rules in the language of a SIEM, ready to paste",
    "build": "build the packages that SIEMs import",
    "drift": "compare what a SIEM has installed with the pack, changing nothing",
    "replay": "make a kit that sends attacks into a SIEM and asks which rules fired",
    "test": "prove rules and filters, also your own, by their cases and variants",
    "generate": "write synthetic logs with labelled attacks",
    "matrix": "run every rule on every engine, and write how each stands",
    "quality": "measure every rule on labelled and benign logs, and write the page on it",
    "reference": "write the generated reference pages, or check that they are fresh",
}

EXIT_FINDINGS, EXIT_MISTAKE, EXIT_DEFECT = 1, 2, 70
"""0: done; 1: ``--fail-on`` was met or a check failed; 2: a mistake in the input or the call; 70: a defect of ours."""


class LazyGroup(click.Group):
    """Lists every command without importing it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import the command's module; its command object is named ``command``."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"harness.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """One line a command, from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--debug", is_flag=True, help="Show a traceback when something goes wrong.")
@click.version_option(package_name="countersign")
@click.pass_context
def cli(ctx: click.Context, *, debug: bool) -> None:
    """Who authorised this action? Detections for the authorisation surface of MCP."""
    ctx.obj = {"debug": debug}


def main(arguments: list[str] | None = None) -> None:
    """Entry point: turns mistakes into sentences and exit codes."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        sys.exit(cli.main(args=arguments, prog_name="countersign", standalone_mode=False) or 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as mistake:
        mistake.show()
        sys.exit(mistake.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except Mistakes as mistakes:
        if "--debug" in arguments:
            raise
        click.echo("\n".join(map(str, mistakes.found)), err=True)
        sys.exit(EXIT_MISTAKE)
    except Exception as defect:
        if "--debug" in arguments:
            raise
        click.echo(f"countersign: a defect of ours: {type(defect).__name__}: {defect} (--debug shows where)", err=True)
        sys.exit(EXIT_DEFECT)


if __name__ == "__main__":
    main()
