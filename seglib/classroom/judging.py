"""The verdict, outside of the student's kernel: expected values, comparison, the mistake's name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy
import torch

from seglib.classroom import harness
from seglib.classroom.comparing import compare
from seglib.classroom.items import Answer, Build, Call, Case, Item, Part
from seglib.classroom.records import ItemRecord, PartRecord
from seglib.teach.interrupting import undisturbed
from seglib.teach.randomness import random_values

Results = list[dict[str, object]]  # for each case {"value": decoded} or {"error", "message"}

HINTS = {
    "not-attempted": "The stub is as it was.",
    "missing-answer": "No cell defines this name any more.",
    "raised-exception": "It stops with an exception.",
    "wrong-error": "This input asks for another exception, or for none.",
    "wrong-type": "The result has another type than the task asks for.",
    "wrong-shape": "The result has another shape or length than the task asks for.",
    "wrong-dtype": "The result has another dtype than the input.",
    "wrong-values": "The values differ.",
    "changes-input": "It changes its input in place; the caller still needs it.",
    "wrong-names": "The state_dict has other names or shapes than the task lists.",
    "wrong-parameter-count": "Some parameters don't train: requires_grad is off.",
    "wrong-gradients": "The output is right, its gradient is not: something is cut off from it.",
    "wrong-in-train-mode": "Eval mode is right, train mode is not.",
    "unreadable-reply": "It gave back nothing that can be compared.",
    "timed-out": "It did not end in time.",
    "kernel-died": "The kernel died while it ran.",
    "too-much-memory": "It asked for more memory than there is.",
}
# What a difference in each thing that is compared stands for; "" is told by its kind.
_MEANING = {
    "names": "wrong-names",
    "parameters": "wrong-parameter-count",
    "inputs": "changes-input",
    "gradients": "wrong-gradients",
    "weights": "wrong-gradients",
    "train": "wrong-in-train-mode",
    "buffers": "wrong-in-train-mode",
}


def random_state(answer: Answer, case: Build) -> dict[str, numpy.ndarray]:
    """Random weights and BatchNorm statistics by name, for the module that `answer` builds."""
    module = answer(**case.arguments)
    if not isinstance(module, torch.nn.Module):
        raise ValueError(f"the reference gives {type(module).__name__}, must be an nn.Module")
    generator = torch.Generator().manual_seed(case.seed)
    state = {}
    for name, tensor in sorted(module.state_dict().items()):
        if not name.endswith("num_batches_tracked"):
            state[name] = random_values(_role(name, tensor), tensor.shape, generator).numpy()
    return state


def _role(name: str, tensor: torch.Tensor) -> str:
    last = name.rpartition(".")[2]
    roles = {"running_mean": "mean", "running_var": "variance", "bias": "bias"}
    return roles.get(last, "weight" if tensor.dim() > 1 else "scale")


def asked(answer: Answer, case: Case) -> dict[str, object]:
    """A case as the harness takes it."""
    if isinstance(case, Call):
        return {"call": list(case.arguments), "gradient": case.gradient}
    return {
        "build": dict(case.arguments),
        "inputs": list(case.inputs),
        "state": random_state(answer, case),
        "stages": list(case.stages),
    }


@dataclass(frozen=True)
class Judge:
    """An item with all that its verdict needs; none of it may reach a student's kernel.

    Attributes:
        item: the task.
        request: what the kernel is asked.
        expected: the reference's results.
        known: the results of every known mistake, by slug.
    """

    item: Item
    request: str
    expected: Results
    known: Mapping[str, Results]

    @classmethod
    def of(cls, item: Item) -> Judge:
        """Run the reference and the mistakes on the hidden cases."""
        cases = [asked(item.answer, case) for case in item.cases]
        request = json.dumps({"name": item.name, "cases": [harness.encode(c) for c in cases]})
        run = {slug: _run(mistake.answer, request) for slug, mistake in item.mistakes.items()}
        return cls(item, request, _run(item.answer, request), run)

    def verdict(self, reply: str | None, trouble: str = "") -> ItemRecord:
        """Points and the mistake's name for what came out of the kernel.

        Args:
            reply: what the harness sent, or something forged, or None.
            trouble: a slug for what happened instead, such as "timed-out".
        """
        if trouble:
            return self._failed(trouble)
        try:
            results = read_reply(reply, len(self.expected))
        except harness.Unfit:
            return self._failed("unreadable-reply")
        if results is None:
            return self._failed("missing-answer")
        if all(result.get("error") == "NotImplementedError" for result in results):
            return self._failed("not-attempted")
        tolerance = self.item.tolerance
        slugs = [difference(*pair, tolerance) for pair in zip(self.expected, results, strict=True)]
        parts: list[PartRecord] = []
        place = 0
        for part in self.item.parts:
            right = not any(slugs[place : place + len(part.cases)])
            first = not parts or parts[0].score > 0
            parts.append(PartRecord(part.name, part.points, part.points * (right and first)))
            place += len(part.cases)
        if not any(slugs):
            return self._record(tuple(parts))
        return self._record(tuple(parts), *self._explain(slugs, results))

    def _explain(self, slugs: list[str], results: Results) -> tuple[str, str]:
        for slug, known in self.known.items():
            pairs = zip(known, results, strict=True)
            if not any(difference(a, b, self.item.tolerance) for a, b in pairs):
                return slug, self.item.mistakes[slug].hint
        place = next(place for place, slug in enumerate(slugs) if slug)
        slug, where = slugs[place], f"Look at: {self._part(place).name}."
        said = f"{results[place].get('error')}: {results[place].get('message')}"
        more = f" {said[:200].rstrip('. ')}." if slug == "raised-exception" else ""
        return slug, f"{HINTS[slug]}{more} {where}"

    def _part(self, place: int) -> Part:
        for part in self.item.parts:
            if place < len(part.cases):
                return part
            place -= len(part.cases)
        raise IndexError(place)

    def _failed(self, slug: str) -> ItemRecord:
        parts = tuple(PartRecord(part.name, part.points, 0.0) for part in self.item.parts)
        return self._record(parts, slug, HINTS[slug])

    def _record(self, parts: tuple[PartRecord, ...], slug: str = "", hint: str = "") -> ItemRecord:
        score = sum(part.score for part in parts)
        return ItemRecord(self.item.name, self.item.points, score, slug, hint, parts)


def _run(answer: Answer, request: str) -> Results:
    name = json.loads(request)["name"]
    with undisturbed():
        reply = harness.respond({name: answer}, request)
    results = read_reply(reply, len(json.loads(request)["cases"]))
    if results is None:
        raise ValueError(f"{name}: the reference is None")
    return results


def read_reply(reply: str | None, count: int) -> Results | None:
    """The results in a reply that anyone may have written; None for a missing answer.

    Raises:
        harness.Unfit: if it is no reply to a request of so many cases.
    """
    try:
        content = json.loads(reply or "")
    except (ValueError, RecursionError):
        raise harness.Unfit("no JSON") from None
    if content == {"missing": True}:
        return None
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, list) or len(results) != count:
        raise harness.Unfit("not as many results as cases")
    return [_result(result) for result in results]


def _result(result: object) -> dict[str, object]:
    if isinstance(result, dict) and set(result) == {"value"}:
        return {"value": harness.decode(result["value"])}
    if (
        isinstance(result, dict)
        and set(result) == {"error", "message"}
        and all(isinstance(text, str) and len(text) <= 1000 for text in result.values())
    ):
        return result
    raise harness.Unfit("no result")


def difference(expected: dict[str, object], given: dict[str, object], tolerance: float) -> str:
    """A slug for how a case's result differs from another; "" if it does not."""
    if "error" in expected or "error" in given:
        if expected.get("error") == given.get("error"):
            return ""
        if given.get("error") == "Unfit":
            return "wrong-type"
        return "wrong-error" if "error" in expected else "raised-exception"
    right, found = expected["value"], given["value"]
    if not isinstance(right, dict) or not isinstance(found, dict):
        return "unreadable-reply"
    for key, value in right.items():
        if key not in found:  # after names or gradients that differ, which come first
            return "unreadable-reply"
        kind = compare(value, found[key], tolerance)
        if kind:
            return _MEANING.get(str(key), kind)
    return ""
