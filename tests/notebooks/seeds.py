"""A chapter with other seeds: the seeds that its cells set, and that of `fit`, moved by a number.

What a page concludes must not hang on one seed, so its asserts must hold under others. The cells'
source is changed before it runs. A cell tagged `fixed-seed` stays as it is.
"""

from __future__ import annotations

import ast

VARIABLE = "SEGLIB_SEED_SHIFT"
FIXED = "fixed-seed"
SETTERS = {"manual_seed", "default_rng", "RandomState", "PCG64", "Random", "seed"}
FIT = """import sys as _sys
if "seglib.training" in _sys.modules:
    _sys.modules["seglib.training"].fit.__kwdefaults__["seed"] = {default}
"""


def shifted(source: str, shift: int, *, fixed: bool = False) -> str:
    """A cell's source with every seed in it moved by `shift`, and `fit`'s default with them."""
    default = FIT.format(default=0 if fixed else shift)
    if fixed:
        return default + source
    lines = source.encode().splitlines(keepends=True)
    for node in sorted(_seeds(ast.parse(source)), key=_start, reverse=True):
        line, column = node.end_lineno, node.end_col_offset
        assert line is not None
        assert column is not None
        _insert(lines, line, column, f") + {shift}")
        _insert(lines, node.lineno, node.col_offset, "(")
    return default + b"".join(lines).decode()


def _seeds(tree: ast.Module) -> list[ast.expr]:
    """The expressions that give a seed: `manual_seed(0)`, `seed=0`, `{"seed": 0}`."""
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            if name in SETTERS and node.args:
                found.append(node.args[0])
            found += [keyword.value for keyword in node.keywords if keyword.arg == "seed"]
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            found += [v for k, v in pairs if isinstance(k, ast.Constant) and k.value == "seed"]
    return found


def _start(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _insert(lines: list[bytes], line: int, column: int, text: str) -> None:
    whole = lines[line - 1]
    lines[line - 1] = whole[:column] + text.encode() + whole[column:]
