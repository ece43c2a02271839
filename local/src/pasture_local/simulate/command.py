# SPDX-License-Identifier: GPL-3.0-or-later
"""``pasture-local simulate``: what will this load cost, and when is it done?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from pasture_local.simulate import report
from pasture_local.simulate.baseline import Lakechain
from pasture_local.simulate.deployed import Delays, Deployed, Scaling, ScalingError, read
from pasture_local.simulate.plant import Controller, Load, simulate
from pasture_local.simulate.report import Comparison, Run
from pasture_local.simulate.results import summarise
from pasture_local.simulate.trace import Trace, TraceError, parse_trace

# After the last document a run goes on until all is at zero, but no longer than this.
_TAIL_SECONDS = 400 * 86_400


def run(arguments: argparse.Namespace) -> int:
    """Simulate, and show the runs side by side. Return the exit status."""
    console = Console()
    try:
        traces = _traces(arguments)
        scalings = _scalings(arguments)
    except (TraceError, ScalingError) as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 2
    except (ClientError, BotoCoreError) as error:
        console.print(f"[red]The deployed scaling could not be read: {error}[/red]", highlight=False)
        return 2
    compared = [Comparison(trace.name, tuple(_runs(arguments, trace, scalings))) for trace in traces]
    if arguments.brief:
        wide = Console(width=max(console.width, report.BRIEF_WIDTH))
        wide.print(report.brief(compared, arguments.currency))
    else:
        for one in compared:
            console.print(report.table(one, arguments.currency))
    if arguments.json:
        report.write_json(arguments.json, compared)
    if arguments.picture:
        report.draw(arguments.picture, compared[0])
    for path in (*([arguments.json] if arguments.json else []), *arguments.picture):
        console.print(f"written: {path}", highlight=False)
    return 0


def _traces(arguments: argparse.Namespace) -> list[Trace]:
    if arguments.picture and len(arguments.traces) > 1:
        raise TraceError("A picture shows one trace: give one, or leave --picture out.")
    return [parse_trace(text) for text in arguments.traces]


def _runs(arguments: argparse.Namespace, trace: Trace, scalings: Sequence[Scaling]) -> Iterator[Run]:
    delays = Delays(arguments.metric_delay, arguments.metric_revival)
    for scaling in scalings:
        load = _load(arguments, scaling.max_instances)
        yield _run(arguments, scaling.name, trace, load, Deployed(scaling, delays))
    if not arguments.no_baseline:
        load = _load(arguments, max(scaling.max_instances for scaling in scalings))
        yield _run(arguments, report.BASELINE, trace, load, Lakechain(load.max_tasks))


def _run(arguments: argparse.Namespace, name: str, trace: Trace, load: Load, controller: Controller) -> Run:
    tick = trace.tick_seconds()
    record = simulate(trace.per_tick(tick), tick, load, controller, _TAIL_SECONDS)
    return Run(summarise(name, record, load.document_seconds, arguments.price), record)


def _load(arguments: argparse.Namespace, max_instances: int) -> Load:
    return Load(
        document_seconds=arguments.document_seconds,
        slots=arguments.slots,
        tasks_per_instance=arguments.tasks_per_instance,
        max_instances=max_instances,
        boot_seconds=arguments.boot_seconds,
        pull_seconds=arguments.pull_seconds,
        load_seconds=arguments.load_seconds,
        provider_seconds=arguments.provider_delay,
    )


def _scalings(arguments: argparse.Namespace) -> Sequence[Scaling]:
    # Named by their files: what is compared may have been read from the same processor at two times.
    found = [replace(Scaling.load(path), name=path.stem) for path in arguments.scaling]
    if arguments.stack and arguments.processor:
        found.append(read(boto3.Session(), arguments.stack, arguments.processor))
        if arguments.save_scaling:
            found[-1].save(arguments.save_scaling)
    elif arguments.stack or arguments.processor or not found:
        raise ScalingError("Name a deployed processor with --stack and --processor, or give --scaling FILE.")
    return found
