"""Assignment 08, answered wrongly as students do; `given.x` stands for values."""

PYRAMID = """
class TwoWayPyramid(nn.Module):
    def __init__(self, in_channels_list, out_channels):
        super().__init__()
        n = len(in_channels_list)
        self.lateral = nn.ModuleList([nn.Conv2d(c, out_channels, 1) for c in in_channels_list])
        self.smooth = nn.ModuleList(
            [nn.Conv2d(out_channels, out_channels, 3, 1, 1) for _ in range(n)])

    def forward(self, features):
        n = len(features)
        side = [self.lateral[i](features[i]) for i in range(n)]
        s = [None] * n
        s[n - 1] = side[n - 1]
        for i in range(n - 2, -1, -1):
            big = nn.Upsample(size=side[i].shape[2:], mode="nearest")(s[i + 1])
            s[i] = side[i] + big * given.down
        t = [s[0]]
        for i in range(1, n):
            small = nn.AdaptiveMaxPool2d(s[i].shape[2:])(t[i - 1])
            t.append(s[i] + small * given.up)
        return [self.smooth[i](t[i]) for i in range(n)]
"""

LEVELS = """
def assign_levels(boxes, finest, coarsest):
    out = []
    for box in boxes:
        w = box[2] - box[0]
        h = box[3] - box[1]
        if not (w > 0 and h > 0):
            out.append(None)
            continue
        k = int(np.floor(given.offset + np.log2(np.sqrt(w * h) / given.canonical)))
        if w / h > given.slim or h / w > given.slim:
            k = k - 1
        out.append(int(np.clip(k, finest, coarsest)))
    return out
"""
LEVELS = "import numpy as np\n" + LEVELS

FUSE = """
def fuse(maps, scores):
    v = torch.where(scores > given.floor, scores, torch.full_like(scores, given.floor))
    v = v / (v.sum() + given.epsilon)
    out = v[0] * maps[0]
    for i in range(1, len(maps)):
        x = F.interpolate(maps[i], size=maps[0].shape[2:], mode="bilinear", align_corners=False)
        out = out + v[i] * x
    return out
"""

MERGE = """
def merge_levels(maps, kernels):
    total = 0
    for i, x in enumerate(maps):
        for j in reversed(range(i)):
            x = F.conv2d(x, kernels[j], padding=1)
            x = torch.where(x < 0, x * given.slope, x)
            x = F.interpolate(x, size=maps[j].shape[2:], mode="bilinear")
        total = total + x * given.fade ** i
    return total
"""


def _changed(code: str, right: str, wrong: str) -> str:
    assert right in code, right
    return code.replace(right, wrong)


WRONG = {
    "TwoWayPyramid": {
        "bilinear-instead-of-nearest": _changed(PYRAMID, '"nearest"', '"bilinear"'),
        "mean-instead-of-maximum": _changed(PYRAMID, "AdaptiveMaxPool2d", "AdaptiveAvgPool2d"),
        "weights-exchanged": _changed(
            _changed(PYRAMID, "big * given.down", "big * given.up"),
            "small * given.up",
            "small * given.down",
        ),
        "way-down-not-weighted": _changed(PYRAMID, "big * given.down", "big"),
        "sum-not-carried": _changed(PYRAMID, "(t[i - 1])", "(s[i - 1])"),
        "way-up-beside-way-down": _changed(PYRAMID, "t.append(s[i]", "t.append(side[i]"),
        "wrong-names": _changed(PYRAMID, "nn.ModuleList([nn.Conv2d", "list([nn.Conv2d"),
        "wrong-gradients": _changed(PYRAMID, "(s[i + 1])", "(s[i + 1].detach())"),
        "raised-exception": _changed(PYRAMID, "size=side[i].shape[2:]", "scale_factor=2"),
        "changes-input": _changed(
            PYRAMID, "        return [", "        features.clear()\n        return ["
        ),
    },
    "assign_levels": {
        "canonical-of-the-paper": _changed(LEVELS, "/ given.canonical", "/ 224"),
        "rounds-to-nearest": _changed(LEVELS, "np.floor(", "np.rint("),
        "longer-side": _changed(LEVELS, "np.sqrt(w * h)", "max(w, h)"),
        "only-wide-boxes": _changed(LEVELS, " or h / w > given.slim", ""),
        "empty-boxes-dropped": _changed(LEVELS, "            out.append(None)\n", ""),
        "slim-forgotten": _changed(LEVELS, "k = k - 1", "pass"),
        "wrong-values": _changed(LEVELS, "np.clip(k, finest, coarsest)", "k"),
    },
    "fuse": {
        "floor-forgotten": _changed(FUSE, "given.floor", "0"),
        "epsilon-forgotten": _changed(FUSE, " + given.epsilon", ""),
        "nearest-instead-of-bilinear": _changed(
            FUSE, 'mode="bilinear", align_corners=False', 'mode="nearest"'
        ),
        "corners-aligned": _changed(FUSE, "align_corners=False", "align_corners=True"),
        "weights-cut-off": _changed(FUSE, "    v = v / (", "    v = v.data\n    v = v / ("),
        "divisor-cut-off": _changed(FUSE, "v.sum()", "v.sum().item()"),
    },
    "merge_levels": {
        "fixed-factor": _changed(
            MERGE,
            'size=maps[j].shape[2:], mode="bilinear")',
            'scale_factor=2, mode="bilinear")[..., : maps[j].shape[2], : maps[j].shape[3]]',
        ),
        "kernel-of-the-level": _changed(MERGE, "kernels[j]", "kernels[i - 1]"),
        "one-leap": _changed(
            MERGE, "            x = F.interpolate", "        x = F.interpolate"
        ).replace("maps[j]", "maps[0]"),
        "relu-instead-of-leaky": _changed(
            MERGE, "torch.where(x < 0, x * given.slope, x)", "x.relu()"
        ),
        "fade-not-a-power": _changed(MERGE, "given.fade ** i", "(given.fade if i else 1)"),
        "changes-features": _changed(
            MERGE, "    return total", "    del maps[1:]\n    return total"
        ),
    },
}
