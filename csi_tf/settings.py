"""What all settings have in common: their types are checked when they are made.

A setting's type is all that the flags and the JSON reader know of it: `Literal` lists the valid
names, `| None` makes it optional.
"""

import math
import types
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

FEWEST = 10  # images for an interval by percentiles; from fewer these are much too narrow


@dataclass(frozen=True)
class CheckedSettings:
    """Checks every field's type, then whatever `check` adds."""

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            object.__setattr__(self, name, typed(name, kind, getattr(self, name)))
        self.check()

    def check(self) -> None:
        """Ranges and impossible pairs; ValueError naming the setting."""

    def _require(self, holds: bool, name: str, rule: str) -> None:
        if not holds:
            raise ValueError(f"{name} must be {rule}, not {getattr(self, name)}")

    def _at_least(self, low: int, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            self._require(value is None or value >= low, name, f"at least {low}")

    def _above_zero(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            self._require(value is None or value > 0, name, "above 0")

    def _at_most_31_bits(self, name: str) -> None:
        """Of a seed: generators of other libraries take no more."""
        self._require(0 <= getattr(self, name) < 2**31, name, "from 0 to 2147483647")


def optional(kind: Any) -> tuple[Any, bool]:
    """A setting's type without None, and whether None was allowed."""
    if get_origin(kind) in (Union, types.UnionType):
        (inner,) = (arm for arm in get_args(kind) if arm is not type(None))
        return inner, True
    return kind, False


def expectation(kind: Any) -> str:
    """What a setting's type asks for, in words."""
    inner, is_optional = optional(kind)
    if get_origin(inner) is Literal:
        words = "one of " + ", ".join(get_args(inner))
    else:
        words = {int: "a whole number", float: "a finite number", bool: "true or false"}.get(
            inner, "a single line of text" if inner is str else f"a {inner.__name__}"
        )
    return words + (", or none" if is_optional else "")


def typed(name: str, kind: Any, value: Any) -> Any:
    """The value as its type, integers standing in for floats; ValueError for anything else."""
    inner, is_optional = optional(kind)
    if value is None and is_optional:
        return None
    if get_origin(inner) is Literal:
        fits = isinstance(value, str) and value in get_args(inner)
    elif inner is float:
        fits = type(value) in (int, float) and math.isfinite(value)
    elif inner is str:
        # Flagfiles hold one flag a line and strip it.
        fits = isinstance(value, str) and len(value.splitlines()) <= 1 and value == value.strip()
    else:
        fits = type(value) is inner
    if not fits:
        raise ValueError(f"{name} must be {expectation(kind)}, not {said(value)}")
    return float(value) if inner is float else value


def said(value: Any) -> str:
    return "true" if value is True else "false" if value is False else repr(value)


def reject_unknown(what: str, given: dict[str, Any], valid: list[str]) -> None:
    for name in given:
        if name not in valid:
            raise ValueError(f"unknown {what}: {name!r}; valid are {', '.join(valid)}")


def as_flag(value: Any) -> str:
    """A value as a flag takes it, floats in the shortest form that keeps every digit."""
    if value is None:
        return "none"
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
