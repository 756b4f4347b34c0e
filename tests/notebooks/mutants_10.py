"""Mutants of chapter 10's canonical code."""

HEADS = "heads/deeplab.py"
MODELS = "models.py"

# (module, text that stands in it once, the same with another character)
MUTANTS = [
    (HEADS, "ConvNormAct(in_channels_list[0],", "ConvNormAct(in_channels_list[1],"),
    (HEADS, "low_level_channels, kernel_size=1)", "low_level_channels, kernel_size=3)"),
    (HEADS, "low_level_channels: int = 48", "low_level_channels: int = 40"),
    (HEADS, "channels = low_level_channels + aspp", "channels = low_level_channels - aspp"),
    (HEADS, "decoder_convs: int = 1", "decoder_convs: int = 2"),
    (HEADS, "(*layers, nn.Conv2d(channels, num_classes, kernel_size=1))",
            "(*layers, nn.Conv2d(channels, num_classes, kernel_size=3))"),
    (HEADS, "in_channels_list, levels=2", "in_channels_list, levels=1"),
    (HEADS, "if len(features) < 2", "if len(features) < 1"),
    (HEADS, "self.project(features[0])", "self.project(features[1])"),
    (HEADS, "self.aspp(features[-1])  # (N, 256,", "self.aspp(features[-2])  # (N, 256,"),
    (HEADS, "self.aspp(features[-1])  # (N, aspp", "self.aspp(features[-2])  # (N, aspp"),
    (HEADS, "low_level.shape[-2:]", "low_level.shape[-1:]"),
    (HEADS, "torch.cat([low_level, x], dim=1)", "torch.cat([low_level, x], dim=2)"),
    (HEADS, "nn.Conv2d(aspp_channels, num_classes, kernel_size=1)",
            "nn.Conv2d(aspp_channels, num_classes, kernel_size=3)"),
    (MODELS, "LOW_LEVEL_STRIDE = 4", "LOW_LEVEL_STRIDE = 8"),
    (MODELS, "32: (3, 6, 9)", "32: (3, 6, 8)"),
    (MODELS, "16: (6, 12, 18)", "16: (6, 12, 16)"),
    (MODELS, " 8: (12, 24, 36)", " 8: (12, 24, 38)"),
    (MODELS, " 4: (12, 24, 36)}", " 4: (12, 24, 35)}"),
    (MODELS, "last = len(strides) - 1", "last = len(strides) - 2"),
    (MODELS, "[low_level[-1], last]", "[low_level[-2], last]"),
    (MODELS, "[low_level[-1], last]", "[low_level[-0], last]"),
    (MODELS, "num_classes: int = 21", "num_classes: int = 20"),
    (MODELS, "(logits, x.shape[-2:], self", "(logits, x.shape[-1:], self"),
    (MODELS, "if strides[i] == LOW", "if strides[i] != LOW"),
    (MODELS, "or x.shape[1] != in_channels", "or x.shape[0] != in_channels"),
    (MODELS, "output_stride: int = 16", "output_stride: int = 86"),
    (HEADS, "float = 0.1,\n        separable", "float = 0.2,\n        separable"),
    (HEADS, "float = 0.1,\n        low", "float = 0.2,\n        low"),
    (HEADS, "1)\n        self.aspp = ASPP(in_channels_list[-1]",
            "1)\n        self.aspp = ASPP(in_channels_list[+1]"),
    (HEADS, "self.aspp(features[-1])  # (N, 256,", "self.aspp(features[+1])  # (N, 256,"),
]  # fmt: skip

# These compute what the original computes, so that nothing can notice them.
EQUIVALENT = {
    (MODELS, "(logits, x.shape[-2:], self", "(logits, x.shape[+2:], self"): (
        "x.ndim is 4 here, all else has been refused: 2 counts from either end"
    ),
    (HEADS, "low_level.shape[-2:]", "low_level.shape[+2:]"): (
        "BatchNorm2d has refused all but four dimensions: 2 counts from either end"
    ),
}  # fmt: skip
