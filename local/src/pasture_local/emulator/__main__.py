# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m pasture_local.emulator --port N``: run the emulator until SIGTERM."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pasture_local.emulator.http import PortInUseError
from pasture_local.emulator.server import serve


def main(argv: list[str] | None = None) -> int:
    """Run the emulator; the exit status is 0 after SIGTERM or Ctrl-C, 2 when the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m pasture_local.emulator", description=main.__doc__)
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--functions-url", help="where events for Lambda targets of rules are POSTed")
    parser.add_argument("--record", type=Path, help="append each AWS call as a line of JSON to this file")
    parser.add_argument(
        "--unpatched", action="store_true", help="run moto as it is, to see what each patch is there for"
    )
    args = parser.parse_args(argv)
    # Read by moto at import time, so set before anything imports it.
    os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    os.environ["MOTO_PORT"] = str(args.port)
    try:
        serve(args.port, functions_url=args.functions_url, record=args.record, patched=not args.unpatched)
    except PortInUseError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
