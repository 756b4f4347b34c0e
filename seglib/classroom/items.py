"""What a judge file is made of: items with parts, hidden cases and known mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy

Answer = Callable[..., object]
STAGES = ("eval", "gradients", "train")


@dataclass(frozen=True)
class Call:
    """A hidden case of a function: it is called with these arguments.

    Attributes:
        arguments: numbers, strings, None, lists, tuples, dicts, and arrays; the function gets
            arrays as tensors.
        gradient: also compare the gradient of the result with respect to each floating-point
            array; the result is then a tensor.
    """

    arguments: tuple[object, ...]
    gradient: bool = False


@dataclass(frozen=True)
class Build:
    """A hidden case of a module: it is built, given random weights by name, and run.

    Weights and BatchNorm statistics are random, follow from `seed`, and are matched by the names
    in the state_dict, in double precision.

    Attributes:
        arguments: of the constructor, by name.
        inputs: of `forward`: arrays, or lists of arrays.
        seed: of the weights.
        stages: what is compared: "eval" (the output in eval mode), "gradients" (of the inputs and
            of every parameter), "train" (the output in train mode, and the buffers after it).
    """

    arguments: Mapping[str, object]
    inputs: tuple[numpy.ndarray | list[numpy.ndarray], ...]
    seed: int = 0
    stages: tuple[str, ...] = ("eval",)

    def __post_init__(self) -> None:
        if not self.stages or not set(self.stages) <= set(STAGES):
            raise ValueError(f"stages is {self.stages}, allowed are {', '.join(STAGES)}")


Case = Call | Build


@dataclass(frozen=True)
class Part:
    """A share of an item's points, given if all of its cases are right.

    Attributes:
        name: what it is about, in words for the feedback: "ordinary values".
        points: above 0.
        cases: hidden cases.
    """

    name: str
    points: float
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that is known.

    Attributes:
        hint: what it is and what to look at, for the feedback; it doesn't give the answer away.
        answer: an implementation with this mistake.
    """

    hint: str
    answer: Answer


@dataclass(frozen=True)
class Item:
    """One task of an assignment.

    Attributes:
        name: of the function or class in the notebook, and of the cell that carries its points.
        answer: the reference implementation.
        parts: the first must be right for the others to count.
        mistakes: {slug: known mistake}; of several that fit, the first is named.
        tolerance: largest difference from the reference, relative to the largest value.
    """

    name: str
    answer: Answer
    parts: tuple[Part, ...]
    mistakes: Mapping[str, Mistake] = field(default_factory=dict)
    tolerance: float = 1e-6

    @property
    def points(self) -> float:
        """The parts' points together."""
        return sum(part.points for part in self.parts)

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases of all parts, in order."""
        return tuple(case for part in self.parts for case in part.cases)
