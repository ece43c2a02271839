# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudWatch's metric math, as far as the alarms and dashboards of a stack use it.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import reduce

Series = dict[datetime, float]
Value = Series | float | list["Series | float"]


class ExpressionError(ValueError):
    """The expression is not metric math, or uses a part of it that is not known here."""


_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.BitXor: operator.pow,  # written ^
}
_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_EACH: dict[str, Callable[[float], float]] = {"ABS": abs, "CEIL": math.ceil, "FLOOR": math.floor}
_ACROSS: dict[str, Callable[[Sequence[float]], float]] = {
    "SUM": math.fsum,
    "MAX": max,
    "MIN": min,
    "AVG": lambda values: math.fsum(values) / len(values),
}


def evaluate(expression: str, series: Mapping[str, Series], periods: Sequence[datetime]) -> Series:
    """The time series that an expression makes.

    :param series: the time series by their ids.
    :param periods: the starts of all periods that were asked for, which FILL fills.
    :raises ExpressionError: when the expression cannot be evaluated.
    """
    text = re.sub(r"&&", " and ", re.sub(r"\|\|", " or ", expression))
    text = re.sub(r"\bAND\b", "and", re.sub(r"\bOR\b", "or", text))
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(f"Error in expression '{expression}': {error.msg}") from error
    value = _Evaluation(expression, series, periods).value(tree)
    if isinstance(value, list):
        raise ExpressionError(f"Expression '{expression}' returns more than one time series")
    return dict.fromkeys(periods, value) if isinstance(value, float) else value


class _Evaluation:
    def __init__(self, expression: str, series: Mapping[str, Series], periods: Sequence[datetime]) -> None:
        self._expression = expression
        self._series = series
        self._periods = periods

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name) if name in self._series:
                return self._series[name]
            case ast.List(elts=elements):
                return [self.single(element) for element in elements]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _combine(lambda numbers: -numbers[0], [self.single(operand)])
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                function = _BINARY[type(op)]
                return _combine(
                    lambda n: _finite(function, n[0], n[1]), [self.single(left), self.single(right)]
                )
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
                compare = _COMPARE[type(op)]
                return _combine(lambda n: float(compare(n[0], n[1])), [self.single(left), self.single(right)])
            case ast.BoolOp(op=op, values=operands):
                test = all if isinstance(op, ast.And) else any
                return _combine(lambda numbers: float(test(numbers)), [self.single(o) for o in operands])
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self.call(name, arguments)
        raise self.unknown(node)

    def single(self, node: ast.expr) -> Series | float:
        value = self.value(node)
        if isinstance(value, list):
            raise self.unknown(node)
        return value

    def call(self, name: str, arguments: list[ast.expr]) -> Value:
        if name == "METRICS" and not arguments:
            return list(self._series.values())
        if name == "FILL" and len(arguments) == 2:
            return self.fill(self.single(arguments[0]), arguments[1])
        if name == "IF" and len(arguments) == 3:
            return self.choose(*(self.single(argument) for argument in arguments))
        if name in _EACH and len(arguments) == 1:
            function = _EACH[name]
            return _combine(lambda numbers: float(function(numbers[0])), [self.single(arguments[0])])
        if name in _ACROSS and len(arguments) == 1:
            return _aggregate(_ACROSS[name], self.value(arguments[0]))
        raise ExpressionError(
            f"Expression '{self._expression}': the emulator does not know {name} with these arguments"
        )

    def fill(self, value: Series | float, filler: ast.expr) -> Series | float:
        """The series with its missing periods filled by a number, or by what was there before (REPEAT)."""
        if isinstance(value, float):
            return value
        filled: Series = {}
        repeat = isinstance(filler, ast.Name) and filler.id == "REPEAT"
        constant = None if repeat else self.single(filler)
        last: float | None = None
        for period in self._periods:
            last = value.get(period, last)
            number = value.get(period)
            if number is None:
                number = last if repeat else constant.get(period) if isinstance(constant, dict) else constant
            if number is not None:
                filled[period] = number
        return filled

    def choose(
        self, condition: Series | float, then: Series | float, otherwise: Series | float
    ) -> Series | float:
        if isinstance(condition, float):
            return then if condition else otherwise
        chosen: Series = {}
        for period, truth in condition.items():
            source = then if truth else otherwise
            number = source.get(period) if isinstance(source, dict) else source
            if number is not None:
                chosen[period] = number
        return chosen

    def unknown(self, node: ast.expr) -> ExpressionError:
        part = ast.unparse(node)
        return ExpressionError(f"Expression '{self._expression}': the emulator cannot evaluate '{part}'")


def _combine(
    function: Callable[[Sequence[float]], float], values: Sequence[Series | float]
) -> Series | float:
    """Apply a function period by period; a period that one of the series lacks is lacking in the result."""
    series = [value for value in values if isinstance(value, dict)]
    if not series:
        return function([value for value in values if isinstance(value, float)])
    common = reduce(lambda a, b: a & b, (set(one) for one in series))
    return {
        period: result
        for period in sorted(common)
        if not math.isnan(
            result := function([value[period] if isinstance(value, dict) else value for value in values])
        )
    }


def _finite(function: Callable[[float, float], float], left: float, right: float) -> float:
    # A division by zero gives no data point.
    try:
        return float(function(left, right))
    except (ZeroDivisionError, OverflowError):
        return math.nan


def _aggregate(function: Callable[[Sequence[float]], float], value: Value) -> Series | float:
    """Of several series one series, period by period; of one series one number."""
    if isinstance(value, float):
        return value
    if isinstance(value, dict):
        return function(list(value.values())) if value else math.nan
    numbers = [one for one in value if isinstance(one, float)]
    series = [one for one in value if isinstance(one, dict)]
    periods = sorted({period for one in series for period in one})
    return {p: function([*numbers, *(one[p] for one in series if p in one)]) for p in periods}
