# SPDX-License-Identifier: GPL-3.0-or-later
"""When a schedule of EventBridge is due. Pure; times are seconds since the epoch.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

from __future__ import annotations

import calendar
import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_MINUTE = 60.0
_UNITS = {"minute": 1, "hour": 60, "day": 1440}
_RATE = re.compile(r"^rate\(([1-9]\d*) (minute|hour|day)(s?)\)$")
_CRON = re.compile(r"^cron\((\S+(?: +\S+){5})\)$")
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
# In EventBridge the week begins on Sunday, which is 1.
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}


class ScheduleError(ValueError):
    """The expression is none that EventBridge knows; the message names it."""


@dataclass(frozen=True)
class Rate:
    """``rate(4 hours)``: counted from the moment at which the rule was made."""

    minutes: int

    def due(self, made: float, since: float, until: float) -> bool:
        """Whether it was due in (since, until]; ``made`` is when the rule came to be."""
        interval = self.minutes * _MINUTE
        return math.floor((until - made) / interval) > max(0, math.floor((since - made) / interval))


@dataclass(frozen=True)
class Cron:
    """``cron(0 12 * * ? *)``: minutes, hours, day of month, month, day of week, year; in UTC."""

    minutes: frozenset[int]
    hours: frozenset[int]
    day_of_month: str
    months: frozenset[int]
    day_of_week: str
    years: frozenset[int]

    def due(self, made: float, since: float, until: float) -> bool:
        """Whether it was due in (since, until], to the minute."""
        del made
        moment = datetime.fromtimestamp((math.floor(since / _MINUTE) + 1) * _MINUTE, UTC)
        end = datetime.fromtimestamp(until, UTC)
        while moment <= end:
            if self._on(moment):
                return True
            moment += timedelta(minutes=1)
        return False

    def _on(self, moment: datetime) -> bool:
        return (
            moment.minute in self.minutes
            and moment.hour in self.hours
            and moment.month in self.months
            and moment.year in self.years
            and _is_day_of_month(self.day_of_month, moment.date())
            and _is_day_of_week(self.day_of_week, moment.date())
        )


def parse(expression: str) -> Rate | Cron:
    """Read a schedule.

    :raises ScheduleError: when it is neither a rate nor a cron expression.
    """
    if found := _RATE.match(expression):
        value, unit, plural = int(found[1]), found[2], bool(found[3])
        if (value == 1) != plural:
            return Rate(value * _UNITS[unit])
    elif found := _CRON.match(expression):
        minutes, hours, day_of_month, month, day_of_week, year = found[1].upper().split()
        # "You can't specify the Day-of-month and Day-of-week fields in the same cron expression."
        if "?" in {day_of_month, day_of_week}:
            try:
                return _cron(minutes, hours, day_of_month, month, day_of_week, year)
            except ValueError:
                pass
    raise ScheduleError(f"'{expression}' is no schedule of EventBridge")


def _cron(minutes: str, hours: str, day_of_month: str, month: str, day_of_week: str, year: str) -> Cron:
    made = Cron(
        _values(minutes, 0, 59),
        _values(hours, 0, 23),
        day_of_month,
        _values(month, 1, 12, _MONTHS),
        day_of_week,
        _values(year, 1970, 2199),
    )
    # Whatever is wrong with the days shows now rather than at the first look.
    _is_day_of_month(day_of_month, date(1970, 1, 1))
    _is_day_of_week(day_of_week, date(1970, 1, 1))
    return made


def _values(text: str, low: int, high: int, names: dict[str, int] | None = None) -> frozenset[int]:
    """The numbers of a field: ``*``, ``1,5``, ``9-17``, ``0/15``, names of months or days.

    :raises ValueError: when it is none of these, or out of bounds.
    """
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            begin, end = low, high
        else:
            begin = _number(first, names)
            end = _number(last, names) if dash else high if slash else begin
        width = int(step) if slash else 1
        if not low <= begin <= end <= high or width < 1:
            raise ValueError(text)
        found.update(range(begin, end + 1, width))
    return frozenset(found)


def _number(text: str, names: dict[str, int] | None) -> int:
    return names[text] if names and text in names else int(text)


def _is_day_of_month(text: str, day: date) -> bool:
    length = calendar.monthrange(day.year, day.month)[1]
    if text == "?":
        return True
    if text == "L":
        return day.day == length
    if text.endswith("W"):
        return day == _nearest_weekday(day.replace(day=min(int(text[:-1]), length)), length)
    return day.day in _values(text, 1, 31)


def _nearest_weekday(day: date, length: int) -> date:
    """The weekday nearest to a day, in the same month."""
    if day.weekday() == calendar.SATURDAY:
        return day + timedelta(days=-1 if day.day > 1 else 2)
    if day.weekday() == calendar.SUNDAY:
        return day + timedelta(days=1 if day.day < length else -2)
    return day


def _is_day_of_week(text: str, day: date) -> bool:
    number = day.isoweekday() % 7 + 1
    if text == "?":
        return True
    if text == "L":
        return number == _DAYS["SAT"]
    if "#" in text:
        wanted_day, _, which = text.partition("#")
        return number == _number(wanted_day, _DAYS) and (day.day - 1) // 7 + 1 == int(which)
    return number in _values(text, 1, 7, _DAYS)
