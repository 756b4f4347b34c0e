"""Chapter 09, atrous spatial pyramid pooling: one exercise of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from seglib.teach.answers import Calls, function_answer, judge_values, plain, whole_number
from seglib.teach.chapters import ch09_modules
from seglib.teach.receptive_field import Layer, backbone_layers, valid_taps
from seglib.teach.tasks import MISTAKES_OF, Exercise, Task, Wrong

# The warm-up: ASPP(160, rates=(4, 8, 12), out_channels=128) on a 21×21 map.

_IN, _OUT, _RATES, _SIZE = 160, 128, (4, 8, 12), 21


def _aspp_parameters(branches: int = 5, kernel: int = 9) -> tuple[int, int]:
    """Weights and BatchNorm parameters; four branches are ASPP without image pooling."""
    dense = sum(kernel if kernel == 9 else (2 * rate + 1) ** 2 for rate in _RATES)
    weights = _IN * _OUT * (branches - 3 + dense) + branches * _OUT * _OUT
    return weights, 2 * _OUT * (branches + 1)


def _prediction() -> tuple[dict[str, object], dict[str, dict[object, str]]]:
    """The right answer, and what known mistakes give for each of its parts."""
    rate = _RATES[-1]
    taps = valid_taps(_SIZE, _SIZE, rate)
    module = ch09_modules.library_aspp(_IN, _RATES, _OUT)
    right: dict[str, object] = {
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "span": 2 * rate + 1,
        "taps_at_corner": int(taps[0, 0]),
        "taps_at_centre": int(taps[_SIZE // 2, _SIZE // 2]),
    }
    weights, norms = _aspp_parameters()
    fewer, fewer_norms = _aspp_parameters(branches=4)
    holes, _ = _aspp_parameters(kernel=0)
    project = 5 * _OUT * _OUT
    free = weights - _IN * _OUT  # image pooling without its convolution …
    wrong: dict[str, dict[object, str]] = {
        "parameters": {
            weights: "forgot-batchnorm",
            weights + norms - 2 * _OUT: "forgot-batchnorm",  # of the projection, or of pooling
            weights + norms // 2: "bias-counted",
            weights + norms + norms // 2: "bias-counted",
            weights + 2 * norms: "buffers-counted",
            weights + 2 * norms + 6: "buffers-counted",  # num_batches_tracked, too
            fewer: "branch-forgotten",
            fewer + fewer_norms: "branch-forgotten",
            weights + norms - _OUT * _OUT: "branch-forgotten",  # by the projection alone
            weights + norms - 9 * _IN * _OUT - _OUT * _OUT - 2 * _OUT: "branch-forgotten",
            free: "pooling-counted-free",
            free + norms - 2 * _OUT: "pooling-counted-free",
            free + norms: "pooling-counted-free",
            fewer + fewer_norms + _IN * _OUT: "pooling-counted-free",  # … or in the concatenation
            weights - project: "projection-forgotten",
            weights - project + norms - 2 * _OUT: "projection-forgotten",
            weights - project + norms: "projection-forgotten",
            weights - project + _OUT * _OUT + norms: "sum-instead-of-concatenation",
            weights - project + _OUT * _OUT: "sum-instead-of-concatenation",
            holes: "holes-counted-as-weights",
            holes + norms: "holes-counted-as-weights",
        },
        "span": {
            2 * rate: "one-pixel-short",
            rate: "one-side-only",
            rate + 1: "one-side-only",
            3 * rate: "kernel-times-rate",
            2 * rate - 1: "rate-is-no-gap",
            2 * rate + 3: "rate-is-no-gap",
            3: "holes-not-spanned",
        },
        "taps_at_corner": {
            9: "padding-counted",
            1: "edge-taken-for-centre",
            3: "diagonal-forgotten",
            2: "diagonal-forgotten",
        },
        "taps_at_centre": {
            9: "padding-counted",
            4: "edge-taken-for-centre",
            5: "diagonal-forgotten",
            0: "own-tap-forgotten",
        },
    }
    wrong["taps_at_corner"][0] = "own-tap-forgotten"
    return right, wrong


def _judge_prediction(answer: object) -> Iterator[str]:
    yield from judge_values(answer, *_prediction(), convert=lambda _, value: whole_number(value))


# The extension: the receptive field of a list of layers.


def field(layers: Sequence[Layer], mistake: str = "") -> tuple[int, int]:
    """(size, stride) of a chain of layers; with `mistake`, as that mistake gives it."""
    size, jump = (0 if mistake == "starts-at-zero" else 1), 1
    if mistake == "last-layer-first":
        layers = layers[::-1]
    if mistake == "first-layer-forgotten":
        layers = layers[1:]
    if mistake == "last-layer-forgotten":
        layers = layers[:-1]
    for kernel, stride, dilation in layers:
        if mistake == "own-stride-counted":
            jump *= stride
        reach = {
            "dilation-forgotten": kernel - 1,
            "dilation-added": kernel - 1 + dilation - 1,
            "kernel-counted-whole": dilation * kernel,
            "span-counted-whole": dilation * (kernel - 1) + 1,
            "holes-counted-once": kernel - 1 + dilation,
            "half-a-kernel": dilation * (kernel - 1) // 2,
        }.get(mistake, dilation * (kernel - 1))
        if mistake == "sizes-multiplied":
            size *= reach + 1
        elif mistake == "kernels-multiplied":
            size *= kernel
        elif mistake == "multiplied-by-own-stride":
            size += reach * stride
        else:
            size += reach * (1 if mistake == "strides-forgotten" else jump)
        if mistake == "strides-added":
            jump += stride
        elif mistake == "strides-less-one-added":
            jump += stride - 1
        elif mistake == "dilation-in-stride":
            jump *= stride * dilation
        elif mistake == "last-stride-only":
            jump = stride
        elif mistake != "own-stride-counted":
            jump *= stride
    return size, jump


# How `field` makes a mistake, and what that mistake is called.
_FIELD_MISTAKES = {
    **{
        slug: slug
        for slug in (
            "dilation-forgotten", "strides-forgotten", "own-stride-counted", "starts-at-zero",
            "kernel-counted-whole", "sizes-multiplied", "strides-added", "last-stride-only",
            "last-layer-first", "last-layer-forgotten", "first-layer-forgotten", "dilation-added",
            "dilation-in-stride", "half-a-kernel",
        )
    },
    "span-counted-whole": "kernel-counted-whole",
    "holes-counted-once": "dilation-added",
    "kernels-multiplied": "sizes-multiplied",
    "multiplied-by-own-stride": "strides-forgotten",
    "strides-less-one-added": "strides-added",
}  # fmt: skip


def _questions() -> list[list[Layer]]:
    aspp = [*backbone_layers("mobilenetv2", 16), (3, 1, 12)]
    return [
        [(3, 1, 1)],
        [(3, 2, 1), (3, 1, 1)],
        [(7, 2, 1), (3, 2, 1), (1, 1, 1), (3, 1, 2), (5, 2, 3), (2, 2, 1), (3, 1, 4)],
        [(1, 2, 1), (1, 3, 1), (3, 1, 5)],
        aspp,
        [],
    ]


def _pair(result: object) -> tuple[object, object]:
    if result is None:
        raise Wrong("wrong-type", "It returns None: is there a return?")
    if isinstance(result, (str, bytes)) or not isinstance(result, Sequence) or len(result) != 2:
        raise Wrong("wrong-shape", "Two numbers are asked for: (size, stride).")
    return result[0], result[1]


def _judge_field(answer: object) -> Iterator[str]:
    yield "shape"
    function = function_answer(answer, 1)
    calls = Calls()
    questions = _questions()
    found: list[tuple[object, object]] = []
    for layers in questions:
        given = list(layers)
        try:
            result = calls(function, given)
        except Wrong as wrong:
            if wrong.name == "raised-exception" and not layers:
                raise Wrong("no-layers", f"{wrong.detail} Expected (1, 1).") from None
            raise
        result = plain(result)
        if not layers and (result is None or result == []):
            raise Wrong("no-layers", f"Expected (1, 1), got {result}.")
        if given != layers:
            raise Wrong("changes-layers")
        found.append(_pair(result))
    yield "dtype"
    numbers = [(whole_number(size), whole_number(stride)) for size, stride in found]
    yield "values"
    right = [field(layers) for layers in questions]
    if numbers == right:
        return
    if numbers == [(stride, size) for size, stride in right]:
        raise Wrong("wrong-order")
    if numbers == [(1 + (size - 1) // 2, stride) for size, stride in right]:
        raise Wrong("half-a-kernel")
    for mistake, slug in _FIELD_MISTAKES.items():
        flawed = [field(layers, mistake) for layers in questions]
        if numbers[:-1] == flawed[:-1]:  # the empty list may be treated in some way of its own
            raise Wrong(slug)
    place = next(i for i, (a, b) in enumerate(zip(numbers, right, strict=True)) if a != b)
    if place == len(questions) - 1:
        raise Wrong("no-layers", f"Expected {right[place]}, got {numbers[place]}.")
    if [size for size, _ in numbers] == [size for size, _ in right]:
        raise Wrong("wrong-stride")
    shown = questions[place] if len(questions[place]) < 8 else "a whole backbone and a branch"
    raise Wrong("wrong-values", f"{shown}: expected {right[place]}, got {numbers[place]}.")


_ASPP = "class of nn.Module: __init__(in_channels, rates, out_channels), forward(x), no dropout"
_SPECS: tuple[tuple[str, str, int, Callable[[object], Iterator[str]], str], ...] = (
    (
        "predict", "warm-up", 1, _judge_prediction,
        "dict of parameters, span, taps_at_corner, taps_at_centre: "
        "ASPP(160, rates=(4, 8, 12), out_channels=128) on a 21×21 map",
    ),
    ("aspp", "implement", 4, ch09_modules.judge_aspp, _ASPP),
    (
        "pooling", "debug", 2, ch09_modules.judge_pooling,
        "class of nn.Module: __init__(in_channels, out_channels), forward(x)",
    ),
    (
        "receptive_field", "extend", 3, _judge_field,
        "receptive_field([(kernel, stride, dilation), …]) -> (size, stride)",
    ),
)  # fmt: skip
TASKS = tuple(
    Task(Exercise(f"09.{name}", 9, kind, signature, points), judge, MISTAKES_OF[f"09.{name}"])
    for name, kind, points, judge, signature in _SPECS
)
