"""Mutants of chapter 03's canonical code."""

MODULE, LAYERS = "backbones/mobilenetv3.py", "layers.py"

# (module, text that stands in it once, the same with another character)
MUTANTS = [
    (LAYERS, "reduction: float = 4,", "reduction: float = 5,"),
    (LAYERS, "make_divisible(channels / reduction", "make_divisible(channels * reduction"),
    (LAYERS, "weight = x.mean((2, 3)", "weight = x.mean((1, 3)"),
    (LAYERS, "return x * weight", "return x + weight"),
    (LAYERS, "if not reduction > 0:", "if not reduction < 0:"),
    (LAYERS, "F.relu(reduce(weight))", "F.gelu(reduce(weight))"),
    (LAYERS, "divisor: int = 8,\n        gate", "divisor: int = 4,\n        gate"),
    (MODULE, '(3, 64, 24, False, "RE", 2)', '(3, 65, 24, False, "RE", 2)'),
    (MODULE, '(3, 480, 112, True, "HS", 1)', '(5, 480, 112, True, "HS", 1)'),
    (MODULE, '(5, 120, 48, True, "HS", 1)', '(5, 128, 48, True, "HS", 1)'),
    (MODULE, '"large": (3, 6, 12, 15)', '"large": (3, 5, 12, 15)'),
    (MODULE, '"small": (1, 3, 8, 11)', '"small": (1, 2, 8, 11)'),
    (MODULE, '"large": 1280', '"large": 1290'),
    (MODULE, '"small": 1024', '"small": 1034'),
    (MODULE, "if current_stride * s > output", "if current_stride * s >=output"),
    (MODULE, "in_channels == out_channels", "in_channels <= out_channels"),
    (MODULE, "norm_eps: float = 0.001,\n    ) -> None:\n        super().__init__()\n        if",
     "norm_eps: float = 0.002,\n    ) -> None:\n        super().__init__()\n        if"),
    (MODULE, "make_divisible(16 * width_mult)", "make_divisible(26 * width_mult)"),
    (MODULE, "current_stride, dilation = 2, 1", "current_stride, dilation = 1, 1"),
    (MODULE, "stride, dilation = 1, dilation * s", "stride, dilation = 1, dilation + s"),
    (MODULE, "make_divisible(exp * width_mult)", "make_divisible(exp + width_mult)"),
    (MODULE, "make_divisible(c * width_mult)", "make_divisible(c + width_mult)"),
    (MODULE, "shortcut=s == 1)", "shortcut=s >= 1)"),
    (MODULE, "shortcut and stride == 1", "shortcut and stride >= 1"),
    (MODULE, "if hidden_channels != in_channels", "if hidden_channels >= in_channels"),
    (MODULE, "conv(in_channels, hidden_channels, kernel_size=1)",
     "conv(in_channels, hidden_channels, kernel_size=3)"),
    (MODULE, "return x + out if", "return x - out if"),
    (MODULE, "last_channels = 6 * rows", "last_channels = 5 * rows"),
    (MODULE, "eps=norm_eps, momentum=0.01", "eps=norm_eps, momentum=0.02"),
    (MODULE, "mul, initial=2)", "mul, initial=1)"),
    (MODULE, "stem_channels, stride=2)", "stem_channels, stride=1)"),
    (MODULE, "nn.Dropout(0.2)", "nn.Dropout(0.3)"),
]  # fmt: skip

# These compute what the original computes, so that nothing can notice them.
EQUIVALENT = {
    (MODULE, "shortcut and stride == 1", "shortcut and stride <= 1"): "the stride is 1 or 2",
    (MODULE, "if current_stride * s >", "if current_stride + s >"): (
        "the sum decides otherwise only at s = 1, where dropping the stride changes nothing"
    ),
}
