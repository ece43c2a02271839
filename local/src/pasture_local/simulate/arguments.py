# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of ``pasture-local simulate``; kept apart so that the other commands start without numpy."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_simulation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    what = parser.add_argument_group("what is simulated")
    what.add_argument(
        "traces", nargs="+", metavar="TRACE",
        help="arrivals: burst:1000 | constant:2,hours=3 | trickle:600 | daily:5000,days=7 | csv:FILE",
    )  # fmt: skip
    what.add_argument("--stack", help="the deployed stack whose scaling is read")
    what.add_argument("--processor", help="the processor of that stack")
    what.add_argument(
        "--scaling", type=Path, action="append", default=[], metavar="FILE",
        help="a scaling saved by --save-scaling, run without the account; several are compared",
    )  # fmt: skip
    what.add_argument("--save-scaling", type=Path, metavar="FILE", help="save what was read of the stack")
    what.add_argument("--no-baseline", action="store_true", help="leave Project Lakechain's algorithm out")
    load = parser.add_argument_group("documents and instances (times in seconds)")
    load.add_argument("--document-seconds", type=_positive, default=15.0, help="inference of one")
    load.add_argument("--slots", type=_whole, default=1, help="documents at a time in a task")
    load.add_argument("--tasks-per-instance", type=_whole, default=1)
    load.add_argument("--price", type=float, default=1.0, help="of an instance, per hour")
    load.add_argument("--currency", default="USD")
    load.add_argument("--boot-seconds", type=float, default=60.0, help="launch to ECS agent ready")
    load.add_argument("--pull-seconds", type=float, default=40.0, help="image, on a new instance")
    load.add_argument("--load-seconds", type=float, default=20.0, help="model, in each new task")
    load.add_argument(
        "--provider-delay", type=float, default=60.0, help="until a capacity provider starts instances"
    )
    load.add_argument("--metric-delay", type=float, default=60.0, help="until an alarm sees SQS's metrics")
    load.add_argument(
        "--metric-revival",
        type=float,
        default=900.0,
        help="until they come back after six idle hours",
    )
    out = parser.add_argument_group("output")
    out.add_argument("--brief", action="store_true", help="a line for each trace and scaling")
    out.add_argument("--json", type=Path, metavar="FILE", help="all figures, and the instances over time")
    out.add_argument(
        "--picture",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="of one trace; a .png, .svg or .pdf",
    )


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be more than zero")
    return value


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value
