"""Assignment 09, answered wrongly as students do; `given.x` stands for values."""

PYRAMID = """
class Pyramid(nn.Module):
    def __init__(self, in_channels, channels, out_channels):
        super().__init__()
        wide = dict(kernel_size=3, padding="same", groups=in_channels, bias=False)
        self.near = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.pool = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.near_norm, self.pool_norm = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.depthwise, self.pointwise = nn.ModuleList(), nn.ModuleList()
        self.norms = nn.ModuleList()
        for rate in given.rates:
            self.depthwise.append(nn.Conv2d(in_channels, in_channels, dilation=rate, **wide))
            self.pointwise.append(nn.Conv2d(in_channels, channels, 1, bias=False))
            self.norms.append(nn.BatchNorm2d(channels))
        self.project = nn.Conv2d(6 * channels, out_channels, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(out_channels)
        self.act = nn.LeakyReLU(given.slope)

    def forward(self, x):
        y = self.pool(F.adaptive_avg_pool2d(x, 1))
        y = self.act(self.pool_norm(y))
        joined = [F.interpolate(y, size=x.shape[2:], mode="bilinear")]
        for i, rate in enumerate(given.rates):
            ones = torch.ones_like(x[:1, :1])
            taps = F.conv2d(ones, torch.ones_like(ones[:, :, :1, :1]).expand(1, 1, 3, 3),
                            padding=rate, dilation=rate)
            y = self.depthwise[i](x) / taps * 9
            joined.append(self.act(self.norms[i](self.pointwise[i](y))))
        joined.append(self.act(self.near_norm(self.near(x))))
        return self.act(self.project_norm(self.project(torch.cat(joined, 1))))
"""

RATE = """
def largest_rate(height, width, kernel):
    def line(n, r):
        return sum(0 <= i + j * r < n for i in range(n) for j in offsets) / n
    offsets = [j - kernel // 2 for j in range(kernel)]
    best = 0
    for r in range(given.step, 201, given.step):
        if 100 * line(height, r) * line(width, r) / kernel / kernel >= given.share:
            best = r
    return best
"""

CASCADE = """
def cascade(blocks):
    out = []
    size, jump = given.field, given.stride
    for rates, stride in blocks:
        size += jump * max(rates) * (given.kernel - 1)
        size += jump * (given.second - 1)
        jump *= stride
        out += [(size, jump)]
    return out
"""

STRIPS = """
class StripPooling(AColleaguesPooling):
    def forward(self, x):
        s, H = given.strips, x.shape[2]
        out = torch.zeros(x.shape[0], self.conv.out_channels, *x.shape[2:]).to(x)
        whole = x.mean((2, 3))
        v = []
        for i in range(s):
            part = x[:, :, i * H // s:(i + 1) * H // s]
            v.append(given.weight * part.mean((2, 3)) + given.rest * whole)
        v = self.norm(self.conv(torch.stack(v, 2).unsqueeze(3)))
        v = F.leaky_relu(v, given.slope)
        for i in range(s):
            out[:, :, i * H // s:(i + 1) * H // s] = v[:, :, i:i + 1]
        return out
"""


def _in(code: str, right: str, wrong: str) -> str:
    assert right in code
    return code.replace(right, wrong)


WRONG = {
    "Pyramid": {
        "relu-instead-of-leaky": _in(PYRAMID, "nn.LeakyReLU(given.slope)", "nn.ReLU()"),
        "taps-not-weighed": _in(PYRAMID, " / taps * 9", ""),
        "mean-over-the-taps": _in(PYRAMID, " / taps * 9", " / taps"),
        "rates-sorted": _in(PYRAMID, "in given.rates", "in sorted(given.rates)").replace(
            "enumerate(given.rates)", "enumerate(sorted(given.rates))"
        ),
        "enlarged-before-the-norm": _in(
            PYRAMID, "self.pool_norm(y)", "self.pool_norm(y + 0 * x[:, :1])"
        ),
        "wrong-names": _in(PYRAMID, "project_norm", "last_norm"),
        "wrong-shape": _in(PYRAMID, "joined, 1))))", "joined, 1))))[:, :, 1:]"),
    },
    "largest_rate": {
        "any-rate": _in(RATE, "range(given.step, 201, given.step)", "range(1, 201)"),
        "kernel-3-always": _in(
            RATE, "kernel // 2 for j in range(kernel)", "1 for j in range(3)"
        ).replace("/ kernel / kernel", "/ 9"),
        "at-least-one-step": _in(RATE, "best = 0", "best = given.step"),
        "assumes-a-square": _in(RATE, "line(width, r)", "line(height, r)"),
        "only-whole-kernels": """
def largest_rate(height, width, kernel):
    best = 0
    for rate in range(given.step, max(height, width), given.step):
        span = rate * (kernel - 1)
        if span < height and span < width:
            if (height - span) * (width - span) / (height * width) >= given.share / 100:
                best = rate
    return best
""",
        "raised-exception": _in(RATE, "    best = 0\n", ""),
    },
    "cascade": {
        "branches-in-series": _in(CASCADE, "max(rates)", "sum(rates)"),
        "last-branch": _in(CASCADE, "max(rates)", "rates[-1]"),
        "own-stride-counted": _in(
            CASCADE,
            "size += jump * (given.second - 1)\n        jump *= stride",
            "jump *= stride\n        size += jump * (given.second - 1)",
        ),
        "starts-at-one": _in(CASCADE, "size, jump = given.field,", "size, jump = 1,"),
        "wrong-shape": _in(CASCADE, "return out", "return out[1:]"),
    },
    "StripPooling": {
        "mean-of-strip-means": _in(
            STRIPS,
            "whole = x.mean((2, 3))",
            "whole = sum(x[:, :, i * H // s:(i + 1) * H // s].mean((2, 3)) for i in range(s)) / s",
        ),
        "weights-swapped": _in(STRIPS, "given.weight", "given.REST")
        .replace("given.rest", "given.weight")
        .replace("given.REST", "given.rest"),
        "overlapping-strips": _in(
            STRIPS,
            "part = x[:, :, i * H // s:(i + 1) * H // s]",
            "part = F.adaptive_avg_pool2d(x, (s, 1))[:, :, i:i + 1]",
        ),
        "unchanged": "StripPooling = AColleaguesPooling",
        "changes-input": _in(STRIPS, "        return out", "        x *= 0\n        return out"),
        "relu-instead-of-leaky": _in(STRIPS, "F.leaky_relu(v, given.slope)", "torch.relu(v)"),
    },
}
