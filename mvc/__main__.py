"""The `mvc` command."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line of this process and return its exit code."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        # The commonest question of scripts needs none of the modules below.
        from mvc._version import VERSION

        sys.stdout.write(f"mvc {VERSION}\n")
        return 0
    try:
        from mvc.cli.main import run

        return run(arguments)
    except KeyboardInterrupt:
        # While modules were loading; `run` deals with every later one.
        return 130


if __name__ == "__main__":
    sys.exit(main())
