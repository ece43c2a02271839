# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -I -S init.py PARENT COMMAND...``: run a command so that nothing of it outlives it, or its parent.

What ``initProcessEnabled`` is to a container: it forwards signals to the command, reaps the processes that lost
their parent, and when the command ends it kills what the command left running. SIGHUP kills everything at
once; the kernel sends it too when the process that started this one dies in whatever way, so that not even
SIGKILL leaves orphans. Only the standard library's quickest modules are imported: it starts in 20 ms.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)
PR_SET_CHILD_SUBREAPER = 36

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
CANNOT_START = 127


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process, or raise OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def descendants(root: int) -> list[int]:
    """The process ids below ``root``, nearest first."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - pathlib would double the time this takes to start
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:  # noqa: PTH123
                # The name, in parentheses, may hold spaces and parentheses itself.
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if fields[0] != b"Z":
            children.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += below
    return found


def kill_descendants() -> None:
    """Kill everything below this process, also what appears while it does so."""
    while pids := descendants(os.getpid()):
        for pid in pids:
            # Not contextlib.suppress, which takes longer to import than all that is here.
            try:  # noqa: SIM105
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, 0)[0]:
                pass
        except ChildProcessError:
            pass


def run(command: list[str]) -> int:
    """Run the command; the exit status is its own, or 128 and the number of the signal that ended it."""
    watched = {signal.SIGCHLD, signal.SIGHUP, *FORWARDED}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    child = os.fork()
    if child == 0:
        # Its own group, so that what it sends to its group does not come here.
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        try:
            os.execvp(command[0], command)  # noqa: S606 - starting commands is what it is for
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
            os._exit(CANNOT_START)
    while True:
        received = signal.sigwait(watched)
        if received == signal.SIGHUP:
            kill_descendants()
            return 128 + signal.SIGKILL
        if received != signal.SIGCHLD:
            os.kill(child, received)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == child:
                kill_descendants()
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if pid == 0:
                break


def main(arguments: list[str]) -> int:
    prctl(PR_SET_PDEATHSIG, signal.SIGHUP)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != int(arguments[0]):
        return 128 + signal.SIGKILL  # the parent died before the kernel was told to say so
    return run(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
