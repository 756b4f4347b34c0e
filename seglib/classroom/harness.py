"""Run an answer on cases and give back plain values; this file runs inside the student's kernel.

It stands alone: its text is sent to the kernel, which never sees the rest of this package. It knows
no expected values. Outside, the same functions run the reference and the known mistakes.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping

import numpy
import torch

REPLY = "application/vnd.seglib.reply"
DTYPES = ("float64", "float32", "int64", "int32", "uint8", "bool")
MAX_DEPTH = 12


class Unfit(Exception):
    """A value that has no plain form, or a text that is none."""


def encode(value: object, depth: int = 0) -> object:
    """A value as JSON can hold it.

    Args:
        value: None, bool, number, string, list, tuple, dict with string keys, array or tensor.
        depth: how deep it is nested.
    Raises:
        Unfit: for anything else.
    """
    if depth > MAX_DEPTH:
        raise Unfit("nested too deeply")
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous().numpy()
    if isinstance(value, numpy.ndarray):
        if value.dtype.name not in DTYPES:
            raise Unfit(f"an array of {value.dtype.name}")
        data = base64.b64encode(numpy.ascontiguousarray(value).tobytes()).decode("ascii")
        return {"array": [value.dtype.name, list(value.shape), data]}
    if isinstance(value, numpy.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return {"int": str(int(value))[:400]}
    if isinstance(value, float):
        return {"float": float(value).hex()}
    if isinstance(value, (list, tuple)):
        return [encode(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {"dict": [[encode(k, depth + 1), encode(v, depth + 1)] for k, v in value.items()]}
    raise Unfit(type(value).__name__)


def decode(plain: object, depth: int = 0) -> object:
    """The value that `encode` was given; tuples come back as lists, tensors as arrays.

    Raises:
        Unfit: if it is nothing that `encode` writes. Nothing else is raised, whatever it holds.
    """
    if depth > MAX_DEPTH:
        raise Unfit("nested too deeply")
    if plain is None or isinstance(plain, (bool, str)):
        return plain
    if isinstance(plain, list):
        return [decode(item, depth + 1) for item in plain]
    if isinstance(plain, dict) and len(plain) == 1:
        kind, content = next(iter(plain.items()))
        if kind == "array":
            return _array(content)
        if kind in ("int", "float") and isinstance(content, str):
            try:
                return int(content) if kind == "int" else float.fromhex(content)
            except (ValueError, OverflowError):
                raise Unfit(f"no {kind}") from None
        if kind == "dict" and isinstance(content, list):
            return _dict(content, depth + 1)
    raise Unfit("not a plain value")


def _array(content: object) -> numpy.ndarray:
    if not (isinstance(content, list) and len(content) == 3):
        raise Unfit("no array")
    dtype, shape, data = content
    if dtype not in DTYPES or not isinstance(shape, list) or not isinstance(data, str):
        raise Unfit("no array")
    if len(shape) > 8 or not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise Unfit("no shape")
    try:
        raw = base64.b64decode(data.encode("ascii"), validate=True)
    except ValueError:
        raise Unfit("no base64") from None
    if len(raw) != math.prod(shape) * numpy.dtype(dtype).itemsize:
        raise Unfit("the size of an array is wrong")
    return numpy.frombuffer(raw, dtype).reshape(shape).copy()


def _dict(pairs: list[object], depth: int) -> dict[object, object]:
    found: dict[object, object] = {}
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2):
            raise Unfit("no dict")
        key = decode(pair[0], depth)
        if not isinstance(key, (str, int, float, bool, type(None))):
            raise Unfit("no key")
        found[key] = decode(pair[1], depth)
    return found


def tensors(value: object) -> object:
    """The value with every array as a tensor of its own."""
    if isinstance(value, numpy.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, list):
        return [tensors(item) for item in value]
    if isinstance(value, dict):
        return {key: tensors(item) for key, item in value.items()}
    return value


def flat(value: object) -> list[torch.Tensor]:
    """Every tensor in nested lists, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in flat(item)]
    return []


def copies(value: object) -> object:
    """The value with every tensor copied, within the graph: an answer may write into its input."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, list):
        return [copies(item) for item in value]
    return value


def weighted(value: object) -> torch.Tensor:
    """One number of all of a result, in which no two elements weigh the same."""
    total = torch.zeros((), dtype=torch.float64)
    for tensor in flat(value):
        if tensor.is_floating_point():
            steps = torch.arange(tensor.numel(), dtype=tensor.dtype)
            total = total + (tensor.flatten() * torch.cos(0.7 * steps)).sum()
    return total


def evaluate(answer: object, case: Mapping[str, object]) -> dict[str, object]:
    """What an answer does in one case.

    Args:
        answer: function or class.
        case: the decoded request: "call" (arguments) and "gradient", or "build" (arguments),
            "inputs", "state" ({name: array}) and "stages".
    Returns:
        {"value": what is compared, encoded}, or {"error": name of the exception, "message": text}.
    """
    try:
        return {"value": encode(_call(answer, case) if "call" in case else _build(answer, case))}
    except Unfit as error:
        return {"error": "Unfit", "message": str(error)}
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return {"error": type(error).__name__, "message": str(error)[:300]}


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise Unfit("no list")
    return value


def _names(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Unfit("no dict")
    return value


def _call(answer: object, case: Mapping[str, object]) -> object:
    arguments = [tensors(value) for value in _list(case["call"])]
    if not callable(answer):
        raise Unfit(f"{type(answer).__name__}, not a function")
    if not case["gradient"]:
        kept = encode(arguments)
        result = answer(*arguments)
        return {"result": result, "inputs": "kept" if encode(arguments) == kept else "changed"}
    leaves = [leaf.requires_grad_() for leaf in flat(arguments) if leaf.is_floating_point()]
    result = answer(*_list(copies(arguments)))
    return {"result": result, "gradients": _gradients(result, leaves)}


def _gradients(result: object, leaves: list[torch.Tensor]) -> list[object]:
    total = weighted(result)
    if not total.requires_grad:
        return ["none" for _ in leaves]
    found = torch.autograd.grad(total, leaves, allow_unused=True)
    return ["none" if gradient is None else gradient for gradient in found]


def _build(answer: object, case: Mapping[str, object]) -> object:
    if not callable(answer):
        raise Unfit(f"{type(answer).__name__}, not a class")
    module = answer(**_names(case["build"]))
    if not isinstance(module, torch.nn.Module):
        raise Unfit(f"{type(module).__name__}, not an nn.Module")
    module.double()
    state = {
        name: torch.from_numpy(value.copy())
        for name, value in _names(case["state"]).items()
        if isinstance(value, numpy.ndarray)
    }
    own = {
        name: tensor
        for name, tensor in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    found: dict[str, object] = {"names": {name: list(own[name].shape) for name in sorted(own)}}
    if {name: list(value.shape) for name, value in state.items()} != found["names"]:
        return found
    found["parameters"] = sum(p.numel() for p in module.parameters() if p.requires_grad)

    def run(training: bool, grad: bool) -> tuple[object, list[torch.Tensor], bool]:
        module.load_state_dict(state, strict=False)
        module.train(training)
        inputs = [tensors(value) for value in _list(case["inputs"])]
        leaves = [leaf for leaf in flat(inputs) if leaf.is_floating_point()]
        if grad:
            leaves = [leaf.requires_grad_() for leaf in leaves]
            return module(*_list(copies(inputs))), leaves, True
        before = encode(inputs)
        with torch.no_grad():
            result = module(*inputs)
        return result, leaves, encode(inputs) == before

    for stage in _list(case["stages"]):
        if stage == "eval":
            result, _, kept = run(False, False)
            found["eval"], found["inputs"] = result, "kept" if kept else "changed"
        elif stage == "gradients":
            result, leaves, _ = run(False, True)
            trained = {n: p for n, p in sorted(module.named_parameters()) if p.requires_grad}
            try:
                gradients = _gradients(result, [*leaves, *trained.values()])
            except RuntimeError:  # autograd misses what was overwritten
                found["gradients"] = "autograd fails"
                continue
            found["gradients"] = gradients[: len(leaves)]
            found["weights"] = dict(zip(trained, gradients[len(leaves) :], strict=True))
        else:
            found["train"], _, _ = run(True, False)
            found["buffers"] = {
                name: buffer for name, buffer in sorted(module.named_buffers()) if name in state
            }
    return found


def respond(namespace: Mapping[str, object], request: str) -> str:
    """Answer a request of the grader.

    Args:
        namespace: the notebook's names.
        request: JSON: {"name": …, "cases": list of encoded cases}.
    Returns:
        JSON: {"missing": true}, or {"results": for each case {"value": …} or {"error": …}}.
    """
    asked = json.loads(request)
    answer = namespace.get(asked["name"])
    if answer is None:
        return json.dumps({"missing": True})
    torch.set_default_dtype(torch.float32)
    results = []
    for case in asked["cases"]:
        torch.manual_seed(0)
        results.append(evaluate(answer, _names(decode(case))))
    return json.dumps({"results": results})


def publish(namespace: Mapping[str, object], request: str) -> None:
    """Send the answer to a request to the grader."""
    from IPython.display import publish_display_data

    publish_display_data({REPLY: respond(namespace, request)})
