"""Mutants of chapter 01's canonical code."""

LAYERS = "layers.py"
BACKBONE = "backbones/mobilenetv2.py"

# (module, text that stands in it once, the same with another character)
MUTANTS = [
    (LAYERS, "value: float, divisor: int = 8,", "value: float, divisor: int = 9,"),
    (LAYERS, "if not (value > 0 and", "if not (value < 0 and"),
    (LAYERS, "if not (value > 0 and", "if not (value > 1 and"),
    (LAYERS, "if divisor < 1 or", "if divisor > 1 or"),
    (LAYERS, "if divisor < 1 or", "if divisor < 2 or"),
    (LAYERS, "divisor != int(divisor):", "divisor == int(divisor):"),
    (LAYERS, "if min_value < divisor or", "if min_value > divisor or"),
    (LAYERS, "or min_value % divisor:", "or min_value * divisor:"),
    (LAYERS, "int(value + divisor / 2)", "int(value - divisor / 2)"),
    (LAYERS, "int(value + divisor / 2)", "int(value + divisor * 2)"),
    (LAYERS, "int(value + divisor / 2)", "int(value + divisor / 3)"),
    (LAYERS, "// divisor * divisor)", "// divisor + divisor)"),
    (LAYERS, "if rounded < 0.9 * value:", "if rounded > 0.9 * value:"),
    (LAYERS, "if rounded < 0.9 * value:", "if rounded < 0.8 * value:"),
    (LAYERS, "if rounded < 0.9 * value:", "if rounded < 0.9 + value:"),
    (LAYERS, "if rounded < 0.9 * value:", "if rounded < 0.9 / value:"),
    (LAYERS, "rounded += divisor", "rounded -= divisor"),
    (LAYERS, "rounded += divisor", "rounded *= divisor"),
    (LAYERS, "rounded += divisor", "rounded |= divisor"),
    (LAYERS, "if divisor < 1 or", "if divisor < 0 or"),
    (LAYERS, "if rounded < 0.9 * value:", "if rounded <=0.9 * value:"),
    (LAYERS, "int(value + divisor / 2)", "int(value + divisor //2)"),
    (LAYERS, "// divisor * divisor)", " / divisor * divisor)"),
    (BACKBONE, "1280 * max(1.0, width_mult)", "1280 * max(1.1, width_mult)"),
    (BACKBONE, "make_divisible(32 * width_mult)", "make_divisible(32 / width_mult)"),
    (BACKBONE, "1280 * max(1.0, width_mult)", "1280 * max(2.0, width_mult)"),
    (BACKBONE, "make_divisible(32 * width_mult)", "make_divisible(33 * width_mult)"),
    (BACKBONE, "make_divisible(c * width_mult)", "make_divisible(c + width_mult)"),
]  # fmt: skip

# Of the function's six lines no mutant is known that computes what the original computes.
EQUIVALENT: dict[tuple[str, str, str], str] = {}
