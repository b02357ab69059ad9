"""The console script, installed as ``cortexsnn_start``: it imports nothing before Ctrl-C has a message.

Importing the package takes seconds; an interruption meanwhile would be a traceback of imports.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from cortexsnn.cli import main as run

        run()
    except KeyboardInterrupt:
        print("cortexsnn: interrupted; nothing was written", file=sys.stderr)
        sys.exit(2)
