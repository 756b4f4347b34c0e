"""`parity`: does an implementation compute what an independent one computes?"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seglib.teach.agreement_report import ParityReport, ParityRow
from seglib.teach.randomness import randomize

Computation = nn.Module | Callable[..., object]
EXACT = 1e-12  # relative; what rounding in double precision can leave, on any CPU


def parity(
    a: Computation,
    b: Computation,
    *inputs: Tensor | Sequence[int],
    rename: Callable[[str], str] | Mapping[str, str] | None = None,
    seed: int = 0,
    tolerance: float = 1e-9,
    train: Sequence[bool] = (False, True),
) -> ParityReport:
    """Compare `a` with the reference `b`, on random weights *and* BatchNorm statistics, in double.

    For every mode: outputs, gradients by the inputs and by the parameters, and in train mode the
    running statistics that the forward pass leaves. Dropout draws the same numbers in both. Copies
    are compared; `a` and `b` stay as they are.

    Args:
        a: the module or function in question.
        b: the reference.
        inputs: tensors, or shapes of random ones.
        rename: gives for each name in `a`'s state_dict the one in `b`'s. By default equal names,
            else equal shapes in order.
        seed: seed of weights, inputs and of the directions in which gradients are taken.
        tolerance: largest |Δ| that counts as agreement, relative to the larger of 1 and the largest
            value.
        train: the modes, as `module.train(mode)` takes them.
    Returns:
        A report with `.passed`, `.max_delta` and one row for each comparison.
    Raises:
        ValueError: if the weights can't be matched, or `inputs` or `train` is empty.
    """
    if not inputs:
        raise ValueError("inputs is empty, must hold at least one tensor or shape")
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance}, must be above 0")
    if not len(train):
        raise ValueError("train is empty, must hold True, False or both")
    names = (_name(a), _name(b))
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        generator = torch.Generator().manual_seed(seed)
        values = [_input(value, generator) for value in inputs]
        first, second, pairs, mapping = _prepare(a, b, rename, seed)
        modules = isinstance(first, nn.Module) or isinstance(second, nn.Module)
        rows: list[ParityRow] = []
        for mode in train if modules else (False,):
            label = ("train" if mode else "eval") if modules else "–"
            found = [_observe(model, values, mode, seed) for model in (first, second)]
            rows += _compare(label, found[0], found[1], pairs, mode, tolerance)
    return ParityReport(names, tuple(rows), mapping)


@dataclass
class _Observation:
    outputs: list[Tensor]
    input_gradients: list[Tensor | None]
    gradients: dict[str, Tensor | None]
    buffers: dict[str, Tensor]


def _name(computation: Computation) -> str:
    if isinstance(computation, nn.Module):
        return type(computation).__name__
    return str(getattr(computation, "__name__", type(computation).__name__))


def _input(value: Tensor | Sequence[int], generator: torch.Generator) -> Tensor:
    if isinstance(value, Tensor):
        copied = value.detach().clone()
        return copied.double() if copied.is_floating_point() else copied
    return torch.randn(tuple(value), dtype=torch.float64, generator=generator)


def _prepare(
    a: Computation,
    b: Computation,
    rename: Callable[[str], str] | Mapping[str, str] | None,
    seed: int,
) -> tuple[Computation, Computation, dict[str, str], str]:
    """Copies with equal weights, the names that belong together, and how they were matched."""
    first = copy.deepcopy(a).double() if isinstance(a, nn.Module) else a
    second = randomize(copy.deepcopy(b).double(), seed) if isinstance(b, nn.Module) else b
    state_a = first.state_dict() if isinstance(first, nn.Module) else {}
    state_b = second.state_dict() if isinstance(second, nn.Module) else {}
    pairs, mapping = _match(state_a, state_b, rename)
    if isinstance(first, nn.Module) and state_a:
        first.load_state_dict({name: state_b[other] for name, other in pairs.items()})
    return first, second, pairs, mapping


def _match(
    state_a: Mapping[str, Tensor],
    state_b: Mapping[str, Tensor],
    rename: Callable[[str], str] | Mapping[str, str] | None,
) -> tuple[dict[str, str], str]:
    if rename is not None:
        new_name = rename.__getitem__ if isinstance(rename, Mapping) else rename
        pairs = {name: new_name(name) for name in state_a}
        sentence = "Weights matched by the given renaming."
    elif state_a.keys() == state_b.keys():
        pairs, sentence = {name: name for name in state_a}, ""
    else:
        pairs = dict(zip(state_a, state_b, strict=False))
        sentence = f"Weights matched by order and shape ({len(state_a)} tensors, other names)."
    if len(state_a) != len(state_b) or set(pairs.values()) != set(state_b):
        odd = sorted(set(pairs.values()) ^ set(state_b))[:3]
        raise ValueError(
            f"a has {len(state_a)} tensors in its state, b has {len(state_b)}; "
            "they must belong together one to one"
            + (f" (without a partner: {', '.join(odd)})" if odd else "")
        )
    for name, other in pairs.items():
        if state_a[name].shape != state_b[other].shape:
            shapes = f"{tuple(state_a[name].shape)} and {tuple(state_b[other].shape)}"
            raise ValueError(
                f"{name} of a and {other} of b have shapes {shapes}; "
                "give rename to match the weights"
            )
    return pairs, sentence


def _observe(computation: Computation, values: list[Tensor], mode: bool, seed: int) -> _Observation:
    model = copy.deepcopy(computation) if isinstance(computation, nn.Module) else computation
    if isinstance(model, nn.Module):
        model.train(mode)
        for parameter in model.parameters():
            parameter.requires_grad_(True)
    leaves = [value.clone().requires_grad_(value.is_floating_point()) for value in values]
    torch.manual_seed(seed)
    outputs = list(_tensors(model(*leaves)))
    generator = torch.Generator().manual_seed(seed + 1)
    total = torch.zeros((), dtype=torch.float64)
    for output in outputs:
        direction = torch.randn(output.shape, dtype=torch.float64, generator=generator)
        if output.requires_grad:
            total = total + (output * direction).sum()
    if total.requires_grad:
        total.backward()
    parameters = dict(model.named_parameters()) if isinstance(model, nn.Module) else {}
    return _Observation(
        [output.detach() for output in outputs],
        [leaf.grad for leaf in leaves],
        {name: parameter.grad for name, parameter in parameters.items()},
        {
            name: value.detach()
            for name, value in model.state_dict().items()
            if name not in parameters
        }
        if isinstance(model, nn.Module)
        else {},
    )


def _tensors(value: object) -> Iterator[Tensor]:
    """The tensors in an output that may be a list, tuple or dict."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for key in value:
            yield from _tensors(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _compare(
    label: str,
    a: _Observation,
    b: _Observation,
    pairs: Mapping[str, str],
    mode: bool,
    tolerance: float,
) -> Iterator[ParityRow]:
    yield _row(label, "output", a.outputs, b.outputs, tolerance)
    if any(gradient is not None for gradient in (*a.input_gradients, *b.input_gradients)):
        yield _row(label, "gradient by input", a.input_gradients, b.input_gradients, tolerance)
    if a.gradients:
        other = [b.gradients[pairs[name]] for name in a.gradients]
        yield _row(label, "gradient by parameters", list(a.gradients.values()), other, tolerance)
    if mode and a.buffers:
        others = [b.buffers[pairs[name]] for name in a.buffers]
        yield _row(label, "running statistics", list(a.buffers.values()), others, tolerance)


def _row(
    mode: str, what: str, a: Sequence[Tensor | None], b: Sequence[Tensor | None], tolerance: float
) -> ParityRow:
    shapes = [
        tuple(None if item is None else tuple(item.shape) for item in side) for side in (a, b)
    ]
    if shapes[0] != shapes[1]:
        return ParityRow(
            mode, what, "no", math.inf, f"shapes {_shown(shapes[0])} and {_shown(shapes[1])}"
        )
    compared = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    delta = max((_delta(x, y) for x, y in compared), default=0.0)
    bitwise = all(torch.equal(x, y) for x, y in compared)
    if delta <= min(EXACT, tolerance):
        return ParityRow(mode, what, "exact", delta, f"< {min(EXACT, tolerance):.0e}", bitwise)
    if delta <= tolerance:
        return ParityRow(mode, what, "close", delta, f"< {tolerance:.0e}", bitwise)
    shown = f"> 1e{math.floor(math.log10(delta)):+03d}" if math.isfinite(delta) else "not finite"
    return ParityRow(mode, what, "no", delta, shown)


def _shown(shapes: Sequence[tuple[int, ...] | None]) -> str:
    return ", ".join("none" if shape is None else str(shape) for shape in shapes)


def _delta(a: Tensor, b: Tensor) -> float:
    x, y = a.double(), b.double()
    if x.numel() == 0:
        return 0.0
    if not torch.equal(torch.isfinite(x), torch.isfinite(y)):
        return math.inf
    finite = torch.isfinite(y)
    if not torch.equal(x[~finite].nan_to_num(nan=0.5), y[~finite].nan_to_num(nan=0.5)):
        return math.inf
    scale = max(1.0, y[finite].abs().max().item()) if bool(finite.any()) else 1.0
    return (x - y)[finite].abs().max().item() / scale if bool(finite.any()) else 0.0
