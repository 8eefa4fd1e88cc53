"""The calendar as features: parts of a time, each a sine and a cosine."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from s2s.forecast.data import Feature

Floats = NDArray[np.float64]
FIRST = np.datetime64("0001-01-01", "s")
"""Midnight from which local days are counted, of a Monday."""
PERIODS: dict[Feature, int] = {
    "minute": 60, "hour": 24, "weekday": 7, "day_of_month": 31, "day_of_year": 366, "month": 12,
}  # fmt: skip
"""Values that each part has."""


def calendar_features(local: Floats, parts: Sequence[Feature]) -> Floats:
    """(N,) days by the local clock -> (N, 2 P), the sine and the cosine of each part."""
    seconds = FIRST + np.round(local * 86400).astype("timedelta64[s]")
    days, months = seconds.astype("datetime64[D]"), seconds.astype("datetime64[M]")
    within = (seconds - days).astype(int)
    values = {
        "minute": within // 60 % 60,
        "hour": within // 3600,
        "weekday": (days - FIRST.astype("datetime64[D]")).astype(int) % 7,
        "day_of_month": (days - months).astype(int),
        "day_of_year": (days - seconds.astype("datetime64[Y]")).astype(int),
        "month": months.astype(int) % 12,
    }
    angles = [2 * np.pi * values[part] / PERIODS[part] for part in parts]
    return np.stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)], axis=1)


def months_later(local: float, months: int) -> float:
    """The same day of the month and time of day some months later, or the month's last day, in local days."""
    seconds = FIRST + np.timedelta64(round(local * 86400), "s")
    day, month = seconds.astype("datetime64[D]"), seconds.astype("datetime64[M]")
    later = month + months
    last = ((later + 1).astype("datetime64[D]") - later.astype("datetime64[D]")).astype(int) - 1
    ahead = later.astype("datetime64[D]") + min((day - month.astype("datetime64[D]")).astype(int), last)
    return float((ahead + (seconds - day) - FIRST) / np.timedelta64(1, "D"))
