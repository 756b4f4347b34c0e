"""Mutants of chapter 02's canonical code."""

MODULE = "backbones/mobilenetv2.py"
LAYERS = "layers.py"

# (module, text that stands in it once, the same with another character)
MUTANTS = [
    (MODULE, "(6, 24, 2, 2),", "(6, 24, 2, 1),"),
    (MODULE, "(6, 64, 4, 2),", "(6, 64, 3, 2),"),
    (MODULE, "LEVELS = (3, 6, 13, 17)", "LEVELS = (3, 6, 12, 17)"),
    (MODULE, "make_divisible(32 * width_mult)", "make_divisible(33 * width_mult)"),
    (MODULE, "make_divisible(c * width_mult)", "make_divisible(c + width_mult)"),
    (MODULE, "current_stride, dilation = 2, 1", "current_stride, dilation = 1, 1"),
    (MODULE, "stride, dilation = 1, dilation * s", "stride, dilation = 1, dilation + s"),
    (MODULE, "1, dilation, t)] * (n - 1)", "2, dilation, t)] * (n - 1)"),
    (MODULE, "dilation, t)] * (n - 1)", "dilation, t)] * (n - 0)"),
    (MODULE, "use_shortcut = stride == 1", "use_shortcut = stride >= 1"),
    (MODULE, "if expand_ratio != 1:", "if expand_ratio != 2:"),
    (MODULE, "hidden_channels, kernel_size=1))", "hidden_channels, kernel_size=3))"),
    (MODULE, "padding = fixed_padding(3, dilation)", "padding = fixed_padding(5, dilation)"),
    (MODULE, "padding=0 if legacy_padding", "padding=1 if legacy_padding"),
    (MODULE, "round(in_channels * expand_ratio)", "round(in_channels + expand_ratio)"),
    (MODULE, "return x + out if", "return x - out if"),
    (MODULE, "stem_padding = 0 if", "stem_padding = 1 if"),
    (MODULE, "stem_channels, stride=2,", "stem_channels, stride=1,"),
    (MODULE, "mul, initial=2)", "mul, initial=1)"),
    (MODULE, "(1, 16, 1, 1),", "(2, 16, 1, 1),"),
    (MODULE, "current_stride *= stride", "current_stride += stride"),
    (MODULE, "if stride not in (1, 2):", "if stride not in (1, 3):"),
    (MODULE, "if not expand_ratio > 0:", "if not expand_ratio > 1:"),
    (MODULE, "expand_ratio: float = 6", "expand_ratio: float = 5"),
    (MODULE, "1280 * max(1.0, width_mult)", "1280 * max(0.0, width_mult)"),
    (MODULE, "nn.Dropout(0.2)", "nn.Dropout(0.3)"),
    (LAYERS, "total = dilation * (kernel_size", "total = dilation + (kernel_size"),
    (LAYERS, "begin = total // 2", "begin = total // 3"),
]

# These compute what the original computes, so that nothing can notice them.
EQUIVALENT = {
    (MODULE, "use_shortcut = stride == 1", "use_shortcut = stride <= 1"): "the stride is 1 or 2",
    (
        MODULE,
        "else padding[0]",
        "else padding[1]",
    ): "left and right padding of a 3×3 kernel are the same",
    (
        LAYERS,
        "fixed_padding(kernel_size, dilation)[0]",
        "fixed_padding(kernel_size, dilation)[1]",
    ): "the same: ConvNormAct takes odd kernels only",
    (MODULE, "if current_stride * s >", "if current_stride + s >"): (
        "the sum decides otherwise only at s = 1, where dropping the stride changes nothing"
    ),
}
