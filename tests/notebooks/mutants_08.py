"""Mutants of chapter 08's canonical code."""

MODULE = "heads/fpn.py"

# (module, text that stands in it once, the same with another character)
MUTANTS = [
    (MODULE, "(channels, out_channels, kernel_size=1)", "(channels, out_channels, kernel_size=3)"),
    (
        MODULE,
        "(out_channels, out_channels, kernel_size=3, padding=1)",
        "(out_channels, out_channels, kernel_size=3, padding=0)",
    ),
    (MODULE, "lateral + top_down)", "lateral - top_down)"),
    (MODULE, "size=lateral.shape[-2:]", "size=lateral.shape[-1:]"),
    (MODULE, "sums.insert(0, lateral", "sums.insert(1, lateral"),
    (MODULE, "maps[-1], kernel_size=1, stride=2", "maps[-1], kernel_size=2, stride=2"),
    (MODULE, "maps[-1], kernel_size=1, stride=2", "maps[-1], kernel_size=1, stride=1"),
    (MODULE, "maps[-1], kernel_size=1, stride=2", "maps[-2], kernel_size=1, stride=2"),
    (
        MODULE,
        "(in_channels, out_channels, kernel_size=3, stride=2",
        "(in_channels, out_channels, kernel_size=3, stride=1",
    ),
    (
        MODULE,
        "(out_channels, out_channels, kernel_size=3, stride=2, padding=1)",
        "(out_channels, out_channels, kernel_size=3, stride=2, padding=0)",
    ),
    (MODULE, "from_p5 = in_channels == out_channels", "from_p5 = in_channels != out_channels"),
    (MODULE, "else features[-1])", "else features[-2])"),
    (MODULE, "maps[-1] if self.from_p5", "maps[-2] if self.from_p5"),
    (MODULE, "max(1, level)", "max(2, level)"),
    (MODULE, "partial(nn.GroupNorm, 32)", "partial(nn.GroupNorm, 12)"),
    (MODULE, "head_channels % 32", "head_channels % 12"),
    (MODULE, "num_classes, kernel_size=1)", "num_classes, kernel_size=3)"),
    (MODULE, "self.branches[0](maps[0])", "self.branches[1](maps[0])"),
    (MODULE, "self.branches[0](maps[0])", "self.branches[0](maps[1])"),
    (MODULE, "range(1, len(maps))", "range(2, len(maps))"),
    (MODULE, "total = total + x", "total = total - x"),
    (
        MODULE,
        "(in_channels, out_channels, kernel_size=3, stride=2, padding=1)",
        "(in_channels, out_channels, kernel_size=3, stride=2, padding=0)",
    ),
    (
        MODULE,
        "(out_channels, out_channels, kernel_size=3, stride=2, padding=1)",
        "(out_channels, out_channels, kernel_size=3, stride=1, padding=1)",
    ),
    (MODULE, "len(features) != len(self", "len(features) == len(self"),
    (MODULE, "fpn_channels: int = 256", "fpn_channels: int = 156"),
    (MODULE, "head_channels: int = 128", "head_channels: int = 928"),
    (MODULE, "sizes = [x.shape[-2:]", "sizes = [x.shape[-1:]"),
    (MODULE, "maps += self.extra_blocks", "maps |= self.extra_blocks"),
]

# These compute what the original computes, so that nothing can notice them.
_FOUR = (
    "maps are (N, C, H, W), and convolutions keep the number of dimensions; of four, those from "
    "index 4 − 2 on are those from index 2 on: shape[-2:] == shape[2:] == (H, W)"
)
EQUIVALENT: dict[tuple[str, str, str], str] = {
    (MODULE, "x.shape[-2:] for x in maps", "x.shape[+2:] for x in maps"): _FOUR,
    (MODULE, "lateral.shape[-2:]", "lateral.shape[+2:]"): _FOUR,
}
