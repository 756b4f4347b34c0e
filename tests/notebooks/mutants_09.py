"""Mutants of chapter 09's canonical code."""

MODULE = "heads/aspp.py"
_ONE = "                ConvNormAct(in_channels, out_channels, kernel_size=1),"

# (module, text that stands in it once, the same with another character)
MUTANTS = [
    (MODULE, "AdaptiveAvgPool2d(1)", "AdaptiveAvgPool2d(2)"),
    (MODULE, "norm.training and x.shape[0] == 1", "norm.training and x.shape[0] == 2"),
    (MODULE, "norm.training and x.shape[0] == 1", "norm.training and x.shape[1] == 1"),
    (MODULE, "norm = self[2]", "norm = self[1]"),
    (MODULE, "*x.shape[-2:])", "*x.shape[-1:])"),
    (MODULE, "(6, 12, 18)", "(6, 12, 16)"),
    (MODULE, "dropout: float = 0.1", "dropout: float = 0.2"),
    (MODULE, "out_channels: int = 256", "out_channels: int = 255"),
    (MODULE, "not 0 <= dropout < 1", "not 0 <= dropout < 2"),
    (MODULE, _ONE, _ONE.replace("1)", "3)")),
    (MODULE, "(len(self.convs) * out_channels", "(len(self.convs) + out_channels"),
    (MODULE, "torch.cat(branches, dim=1)", "torch.cat(branches, dim=0)"),
    (MODULE, "conv.groups == 1", "conv.groups == 2"),
    (MODULE, "max(conv.kernel_size) > 1", "max(conv.kernel_size) > 0"),
    (MODULE, "max(conv.kernel_size) > 1", "max(conv.kernel_size) > 3"),
    (MODULE, "norm = self[2]", "norm = self[3]"),
    (MODULE, "pooled.expand(-1, -1,", "pooled.expand(-1, +1,"),
    (MODULE, "not 0 <= dropout < 1", "not 1 <= dropout < 1"),
    (
        MODULE,
        "len(self.convs) * out_channels, out_channels, kernel_size=1",
        "len(self.convs) * out_channels, out_channels, kernel_size=3",
    ),
    (
        MODULE,
        "conv_norm_act = ConvNormAct(in_channels, out_channels, kernel_size=1)",
        "conv_norm_act = ConvNormAct(in_channels, out_channels, kernel_size=3)",
    ),
    (MODULE, "norm.training and x.shape[0] == 1", "norm.training and x.shape[0] != 1"),
    ("models.py", "32: (3, 6, 9)", "32: (3, 6, 8)"),
    ("models.py", "16: (6, 12, 18)", "16: (6, 12, 19)"),
    ("models.py", "8: (12, 24, 36), 4", "8: (12, 24, 26), 4"),
    ("models.py", "4: (12, 24, 36)}", "4: (12, 24, 16)}"),
]

# These compute what the original computes, so that nothing can notice them.
EQUIVALENT = {
    (MODULE, "conv.groups == 1", "conv.groups <= 1"): (
        "nn.Conv2d refuses fewer groups than 1, so that groups <= 1 is groups == 1"
    ),
    (MODULE, "*x.shape[-2:])", "*x.shape[+2:])"): (
        "in front of this line BatchNorm2d has refused whatever has not four dimensions; of four, "
        "those from index 4 − 2 on are those from index 2 on"
    ),
}
