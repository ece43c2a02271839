# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demonstration prints: lines that stay, and on a terminal one that moves."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from typing import TextIO

_BOLD, _DIM, _GREEN, _RED, _RESET = "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m"
#: Where no terminal shows the moving line, what it says is printed at least every so many seconds.
_STEADY_SECONDS = 10.0
_CLEAR_LINE = "\r\033[K"


class Screen:
    """A terminal, or a file."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._terminal = self._out.isatty()
        self._moving = ""
        self._last_steady = 0.0
        self._begun = time.monotonic()

    def _paint(self, text: str, *codes: str) -> str:
        return f"{''.join(codes)}{text}{_RESET}" if self._terminal else text

    @property
    def _width(self) -> int:
        return min(110, shutil.get_terminal_size((100, 24)).columns)

    def line(self, text: str = "") -> None:
        """A line that stays."""
        if self._moving and self._terminal:
            self._out.write(_CLEAR_LINE)
        self._out.write(f"{text}\n")
        if self._moving and self._terminal:
            self._out.write(self._moving)
        self._out.flush()

    def heading(self, text: str) -> None:
        """The beginning of a stage, with the seconds since the demonstration began."""
        self.still()
        self.line()
        self.line(f"{self._paint(text, _BOLD)} {self._paint(f'[{self.seconds:.0f} s]', _DIM)}")

    def good(self, text: str) -> None:
        self.line(f"  {self._paint('ok', _GREEN)}  {text}")

    def bad(self, text: str) -> None:
        self.line(f"  {self._paint('!!', _RED)}  {text}")

    def note(self, text: str) -> None:
        self.line(f"      {text}")

    def quote(self, text: str) -> None:
        """A text of the model's, laid out to the width of the screen."""
        for paragraph in text.strip().splitlines():
            for part in textwrap.wrap(paragraph, self._width - 10) or [""]:
                self.line(f"      {self._paint('|', _DIM)} {part}".rstrip())

    def moving(self, text: str) -> None:
        """What is going on just now; it replaces what was said so before."""
        if self._terminal:
            self._moving = f"  ..  {text}"[: self._width]
            self._out.write(f"{_CLEAR_LINE}{self._moving}")
            self._out.flush()
            return
        now = time.monotonic()
        if text != self._moving and now - self._last_steady >= _STEADY_SECONDS:
            self._last_steady = now
            self._moving = text
            self.line(f"  ..  {text}")

    def still(self) -> None:
        """Nothing is going on any more."""
        if self._moving and self._terminal:
            self._out.write(_CLEAR_LINE)
            self._out.flush()
        self._moving = ""

    @property
    def seconds(self) -> float:
        """Since the demonstration began."""
        return time.monotonic() - self._begun
