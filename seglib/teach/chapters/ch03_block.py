"""MobileNetV3's block with one mistake each: how wrong answers to 03.bneck are recognised."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from seglib.teach.chapters import ch03_gate
from seglib.teach.chapters.ch03_flawed import ACTIVATIONS, End, Place, Recipe

_RIGHT = ch03_gate.Recipe()
_ENDS: tuple[End, ...] = ("shortcut", "always", "relu", "relu always")
_SQUEEZES: tuple[ch03_gate.Squeeze, ...] = ("max", "sum", "columns", "rows", "batch", "none")

# Right blocks whose gradients differ in the eighth digit: torch's hard sigmoid holds 1/6 in single.
FORMS = tuple(
    Recipe(gate=ch03_gate.Recipe(gate=gate), activations=("RE", activation))
    for gate in ("right", "by hand")
    for activation in ("HS", "HS by hand")
)


def _gated() -> list[tuple[str, Recipe]]:
    """Squeeze-and-excitation at another place, or another one."""
    places: tuple[tuple[Place, str], ...] = (
        ("after projection", "se-after-projection"),
        ("before activation", "se-before-activation"),
        ("before depthwise", "se-before-depthwise"),
        ("input", "se-on-input"),
        ("sum", "se-after-sum"),
    )
    flaws: dict[str, ch03_gate.Recipe] = {}
    for slug, gate in ch03_gate.RECIPES:
        if slug == "batchnorm-inside":
            name = "se-batchnorm"
        elif slug == "bias-missing":
            name = "se-bias-missing"
        elif slug.startswith(("width", "reduction")):
            name = "se-width-wrong"
        else:
            continue
        if gate.norms[0] == gate.norms[1] and gate.bias[0] == gate.bias[1]:
            flaws[f"{name} {len(flaws)}"] = gate
    flaws |= {
        f"se-wrong-gate {gate}": ch03_gate.Recipe(gate=gate)
        for gate in ch03_gate.GATES
        if gate not in ("right", "by hand")
    }
    flaws |= {
        f"se-wrong-inside {inside}": ch03_gate.Recipe(inside=inside)
        for inside in ("none", "hswish", "relu6", "sigmoid")
    }
    flaws |= {
        f"se-wrong-squeeze {squeeze}": ch03_gate.Recipe(squeeze=squeeze) for squeeze in _SQUEEZES
    }
    found = [(slug, Recipe(place=place)) for place, slug in places]
    found += [("se-always", Recipe(place="always")), ("se-missing", Recipe(place="never"))]
    found += [(name.split(" ")[0], Recipe(gate=gate)) for name, gate in flaws.items()]
    found.append(("se-wrong-inside", Recipe(inside_as_outside=True)))
    floor = ch03_gate.Recipe(width="floor")
    found += [("se-width-wrong", Recipe(waist_of="in", gate=gate)) for gate in (_RIGHT, floor)]
    found += [("se-width-wrong", Recipe(waist_of="out", gate=gate)) for gate in (_RIGHT, floor)]
    shapes = [gate for name, gate in flaws.items() if name.startswith(("se-b", "se-width"))]
    found += [
        (slug, Recipe(place=place, gate=gate)) for place, slug in places[:1] for gate in shapes
    ]
    # The popular copy: after the projection, and a convolution on the shortcut.
    found += [
        ("se-after-projection", Recipe(place="after projection", gate=gate, shortcut="convolution"))
        for gate in (ch03_gate.Recipe(), *shapes)
    ]
    return found


def _built() -> list[tuple[str, Recipe]]:
    """Mistakes of the inverted residual and of its activations."""
    triples = list(product((True, False), repeat=3))
    found: list[tuple[str, Recipe]] = [
        ("projection-shortcut", Recipe(shortcut="convolution")),
        ("activation-after-projection", Recipe(activated=(True, True, True))),
        ("activation-after-projection", Recipe(activated=(True, True, True), fixed=("", "", "RE"))),
        *(("activation-after-sum", Recipe(after_sum=how)) for how in _ENDS),
        ("missing-activation", Recipe(activated=(False, True, False))),
        ("missing-activation", Recipe(activated=(True, False, False))),
        ("missing-activation", Recipe(activated=(False, False, False))),
        ("activations-swapped", Recipe(activations=("HS", "RE"))),
        ("use-hs-ignored", Recipe(activations=("HS", "HS"))),
        ("use-hs-ignored", Recipe(activations=("RE", "RE"))),
        ("use-hs-ignored", Recipe(activations=("relu6", "relu6"))),
        *(
            ("use-hs-ignored", Recipe(fixed=(*fixed, "")))
            for fixed in (("RE", ""), ("", "RE"), ("HS", ""), ("", "HS"))
        ),
        ("hidden-is-no-ratio", Recipe(ratio=True)),
        ("relu6-instead-of-relu", Recipe(activations=("relu6", "HS"))),
        ("swish-instead-of-hswish", Recipe(activations=("RE", "silu"))),
        *(
            ("hswish-wrong-values", Recipe(activations=("RE", name)))
            for name in list(ACTIVATIONS)[5:]
        ),
        ("expansion-when-equal", Recipe(always_expand=True)),
        ("kernel-ignored", Recipe(kernel=3)),
        ("kernel-ignored", Recipe(kernel=5)),
        ("padding-ignores-kernel", Recipe(padding="one")),
        ("padding-ignores-kernel", Recipe(padding="one more")),
        ("padding-ignores-kernel", Recipe(padding="double")),
        ("missing-padding", Recipe(padding="none")),
        ("stride-ignored", Recipe(strided="none")),
        ("stride-on-wrong-conv", Recipe(strided="first")),
        ("stride-on-wrong-conv", Recipe(strided="expansion")),
        ("stride-on-wrong-conv", Recipe(strided="projection")),
        ("shortcut-with-stride", Recipe(shortcut="any stride")),
        ("shortcut-with-stride", Recipe(shortcut="subsampled")),
        ("shortcut-channel-mismatch", Recipe(shortcut="any channels")),
        ("shortcut-always", Recipe(shortcut="always")),
        ("missing-shortcut", Recipe(shortcut="none")),
        ("missing-shortcut", Recipe(shortcut="hidden equal")),
        ("missing-shortcut", Recipe(shortcut="if expanded")),
        ("dense-instead-of-depthwise", Recipe(dense=True)),
        *(("missing-batchnorm", Recipe(norms=(a, b, c))) for a, b, c in triples[1:]),
        *(("conv-bias", Recipe(bias=(a, b, c))) for a, b, c in triples[:-1]),
        ("other-batchnorm-settings", Recipe(eps=1e-3)),
        *(("other-batchnorm-settings", replace(form, momentum=0.01)) for form in FORMS),
        ("other-batchnorm-settings", Recipe(eps=1e-3, momentum=0.01)),
        ("modifies-input", Recipe(in_place=True)),
    ]
    return found


RECIPES: tuple[tuple[str, Recipe], ...] = (*_gated(), *_built())
