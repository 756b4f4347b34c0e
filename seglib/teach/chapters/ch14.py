"""Chapter 14, training: the learning rate, the parameter groups, and the loss."""

from __future__ import annotations

from seglib.teach.chapters import ch14_groups, ch14_loss, ch14_rates
from seglib.teach.tasks import MISTAKES_OF, Exercise, Task

_SPECS = (
    (
        "predict_lr", "warm-up", 1, ch14_rates.judge_prediction,
        "dict {step: learning rate} at steps 0, 500, 1000, 1200: "
        "poly, power 0.9, 1000 steps, rate 0.01 at the start",
    ),
    ("poly_factor", "implement", 3, ch14_rates.judge_factor, "poly(step, total, power) -> float"),
    (
        "parameter_groups", "debug", 3, ch14_groups.judge,
        "groups(model) -> [backbone's parameters, the rest], two lists",
    ),
    (
        "pixel_loss", "extend", 3, ch14_loss.judge,
        "pixel_loss(logits, mask, ignore_index=255) -> scalar tensor, by hand",
    ),
)  # fmt: skip
TASKS = tuple(
    Task(Exercise(f"14.{name}", 14, kind, signature, points), judge, MISTAKES_OF[f"14.{name}"])
    for name, kind, points, judge, signature in _SPECS
)
