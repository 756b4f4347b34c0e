"""Assignment 05, answered wrongly as students do; `given.x` stands for values."""

BLOCK = """
class ScaledBottleneck(nn.Module):
    def __init__(self, in_channels, channels, stride, dilation):
        super().__init__()
        width = int(channels * given.quarters / 4)
        places = {"reduce": 1, "look": 1, "expand": 1}
        places["given.strided"] = stride
        self.reduce = nn.Conv2d(in_channels, channels, 1, stride=places["reduce"], bias=False)
        self.look = nn.Conv2d(channels, channels, 3, stride=places["look"],
                              padding=dilation, dilation=dilation, bias=False)
        self.expand = nn.Conv2d(channels, width, 1, stride=places["expand"], bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.norm3 = nn.BatchNorm2d(width)
        self.pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
        self.changes = stride != 1 or in_channels != width
        if self.changes:
            self.project = nn.Conv2d(in_channels, width, 1, bias=False)
            self.norm4 = nn.BatchNorm2d(width)

    def forward(self, x):
        identity = self.pool(x)
        if self.changes:
            identity = self.norm4(self.project(identity))
        x = torch.relu(self.norm1(self.reduce(x)))
        x = torch.relu(self.norm2(self.look(x)))
        x = self.norm3(self.expand(x))
        return torch.relu(x + identity * given.keep)
""".replace('places["given.strided"]', "places[given.strided]")

PLAN = """
def plan_blocks(blocks, strides, output_stride):
    if len(blocks) != len(strides):
        raise ValueError("lengths differ")
    out, total, dil = [], given.stem, 1
    for i in range(len(blocks)):
        old = dil
        s = strides[i]
        if total * s > output_stride:
            dil *= s
            s = 1
        else:
            total *= s
        for j in range(blocks[i]):
            d = old if j == 0 else dil
            if i == len(blocks) - 1:
                d = d * given.grid[j % len(given.grid)]
            out.append((s if j == 0 else 1, d if d < given.cap else given.cap))
    return out
"""

READ = """
import itertools
def pixels_read(dilations):
    half = (given.stem_kernel - 1) // 2
    choices = [[d * t for t in given.taps] for d in dilations]
    pixels = []
    for way in itertools.product(*choices):
        for j in range(-half, half + 1):
            pixels.append(sum(way) * given.stem_stride + j)
    different = set(pixels)
    most = max(pixels.count(p) for p in different)
    return (min(pixels), max(pixels), len(different), most)
"""

DENSE = """
def dense_block(x, w1, w2, stride):
    out = torch.conv2d(x, w1, None, 1, 1)
    out = torch.where(out > 0, out, out * given.slope)
    out = torch.conv2d(out, w2, None, 1, stride, stride)
    return out + x * given.share
"""


def _changed(code: str, right: str, wrong: str) -> str:
    assert right in code, right
    return code.replace(right, wrong)


WRONG = {
    "ScaledBottleneck": {
        "stride-in-the-3x3": _changed(BLOCK, "places[given.strided]", 'places["look"]'),
        "keep-forgotten": _changed(BLOCK, " * given.keep", ""),
        "keep-on-residual": _changed(
            BLOCK, "x + identity * given.keep", "x * given.keep + identity"
        ),
        "projection-strided": _changed(
            _changed(BLOCK, "in_channels, width, 1, bias", "in_channels, width, 1, stride, bias"),
            "identity = self.pool(x)",
            "identity = x",
        ),
        "expansion-of-the-chapter": _changed(BLOCK, "* given.quarters / 4", "* 4"),
        "projection-by-channels-only": _changed(BLOCK, "stride != 1 or ", ""),
        "wrong-names": _changed(BLOCK, "self.norm4", "self.norm_side"),
        "wrong-in-train-mode": _changed(
            BLOCK, "nn.BatchNorm2d(width)", "nn.BatchNorm2d(width, momentum=0.01)"
        ),
        "wrong-gradients": _changed(
            BLOCK, "identity = self.pool(x)", "identity = self.pool(x).detach()"
        ),
        "raised-exception": _changed(BLOCK, ", ceil_mode=True", ""),
    },
    "plan_blocks": {
        "first-block-dilated": _changed(PLAN, "old if j == 0 else dil", "dil"),
        "multi-grid-on-new-dilation": _changed(PLAN, "d = d * given.grid", "d = dil * given.grid"),
        "off-by-one-stage": _changed(
            PLAN, "total * s > output_stride", "s > 1 and total * s >= output_stride"
        ),
        "cap-forgotten": _changed(PLAN, "d if d < given.cap else given.cap", "d"),
        "stem-stride-of-the-chapter": _changed(PLAN, "[], given.stem, 1", "[], 4, 1"),
        "accepts-wrong-length": _changed(
            PLAN, 'raise ValueError("lengths differ")', "pass"
        ).replace("range(len(blocks))", "range(min(len(blocks), len(strides)))"),
        "wrong-error": _changed(PLAN, "raise ValueError", "raise KeyError"),
    },
    "pixels_read": {
        "stem-stride-forgotten": _changed(READ, " * given.stem_stride + j", " + j"),
        "stem-stride-on-its-own-kernel": _changed(
            READ, "sum(way) * given.stem_stride + j", "(sum(way) + j) * given.stem_stride"
        ),
        "paths-as-read": _changed(READ, "len(different), most", "len(pixels), most"),
        "window-as-read": _changed(
            READ, "len(different), most", "max(pixels) - min(pixels) + 1, most"
        ),
        "taps-of-the-chapter": _changed(READ, "in given.taps", "in (-1, 0, 1)"),
        "wrong-type": _changed(READ, "return (min", "return str((min").replace("most)", "most))"),
    },
    "dense_block": {
        "first-convolution-dilated": _changed(
            DENSE, "w1, None, 1, 1)", "w1, None, 1, stride, stride)"
        ),
        "rate-hard-coded": _changed(DENSE, "1, stride, stride)", "1, 2, 2)"),
        "shortcut-changes-the-input": _changed(
            DENSE,
            "    out = torch.conv2d(x, w1",
            "    x.mul_(given.share)\n    out = torch.conv2d(x, w1",
        ).replace("x * given.share", "x"),
        "changes-input": _changed(DENSE, "out + x * given.share", "x.mul_(given.share).add_(out)"),
        "shortcut-cut-off": _changed(DENSE, "x * given.share", "x.data * given.share"),
        "share-forgotten": _changed(DENSE, "x * given.share", "x"),
        "wrong-shape": "dense_block = strided_block",
    },
}
