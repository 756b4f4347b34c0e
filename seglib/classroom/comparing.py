"""Whether two plain values are equal, and if not, in what they differ."""

from __future__ import annotations

import math

import numpy


def compare(right: object, given: object, tolerance: float) -> str:
    """ "" for equal values, else "wrong-type", "wrong-shape", "wrong-dtype" or "wrong-values"."""
    right, given = _plain(right), _plain(given)
    if isinstance(right, numpy.ndarray):
        if not isinstance(given, numpy.ndarray):
            return "wrong-type"
        return _compare_arrays(right, given, tolerance)
    if isinstance(right, list):
        if isinstance(given, numpy.ndarray) and not any(
            isinstance(r, numpy.ndarray) for r in right
        ):
            given = given.tolist()
        if not isinstance(given, list):
            return "wrong-type"
        if len(given) != len(right):
            return "wrong-shape"
        kinds = (compare(a, b, tolerance) for a, b in zip(right, given, strict=True))
        return next(filter(None, kinds), "")
    if isinstance(right, dict):
        if not isinstance(given, dict):
            return "wrong-type"
        if set(right) != set(given):
            return "wrong-shape"
        return next(filter(None, (compare(right[k], given[k], tolerance) for k in right)), "")
    if isinstance(right, (bool, str)) or right is None:
        return "" if type(right) is type(given) and right == given else _kind(right, given)
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return "wrong-type"
    if isinstance(right, int) and isinstance(given, int):  # of any size
        return "" if right == given else "wrong-values"
    if not isinstance(right, (int, float)):
        return "wrong-type"
    return "" if _close(right, given, tolerance) else "wrong-values"


def _kind(right: object, given: object) -> str:
    return "wrong-values" if type(right) is type(given) else "wrong-type"


def _plain(value: object) -> object:
    """A zero-dimensional array as the number it holds."""
    return value.item() if isinstance(value, numpy.ndarray) and value.ndim == 0 else value


def _close(right: float, given: float, tolerance: float) -> bool:
    try:
        right, given = float(right), float(given)
    except OverflowError:
        return False
    if not math.isfinite(right) or not math.isfinite(given):
        return right == given or (math.isnan(right) and math.isnan(given))
    return abs(right - given) <= tolerance * max(1.0, abs(right))


def _compare_arrays(right: numpy.ndarray, given: numpy.ndarray, tolerance: float) -> str:
    if right.shape != given.shape:
        return "wrong-shape"
    if right.dtype != given.dtype:
        return "wrong-dtype"
    a, b = right.astype(numpy.float64), given.astype(numpy.float64)
    finite = numpy.isfinite(a)
    scale = max(1.0, float(numpy.abs(a[finite]).max(initial=0.0)))
    close = numpy.isclose(a, b, rtol=0, atol=tolerance * scale, equal_nan=True)
    return "" if close.all() else "wrong-values"
