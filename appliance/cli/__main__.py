"""The command `appliance`: the edge where every failure becomes a message and an exit code."""

from __future__ import annotations

import sys

from appliance import __version__


def main() -> None:
    """Run one command and end the process with its exit code."""
    if sys.argv[1:] in (["version"], ["--version"]):
        # Scripts ask this often, and typer would import pydantic to parse nothing.
        print(__version__)
        return
    from appliance.cli.app import app
    from appliance.cli.errors import exit_code, print_error

    debug = _take_debug(sys.argv)
    try:
        app(prog_name="appliance")
    except Exception as error:  # noqa: BLE001 - the edge: whatever is left is told and ends here
        print_error(error, debug=debug)
        sys.exit(int(exit_code(error)))


def _take_debug(arguments: list[str]) -> bool:
    """Whether --debug stands anywhere before `--`; it is taken out, since every command has it."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    found = "--debug" in arguments[1:end]
    arguments[1:end] = [word for word in arguments[1:end] if word != "--debug"]
    return found


if __name__ == "__main__":
    main()
