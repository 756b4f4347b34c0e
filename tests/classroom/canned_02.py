"""Assignment 02, answered wrongly as students do; `given.x` stands for values."""

BLOCK = """
def h(v):
    return torch.clip(v + given.shift, min=0, max=given.limit).div(given.limit)

class GatedBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride, expand_ratio):
        super().__init__()
        wide = int(math.ceil(expand_ratio * in_channels / given.divisor)) * given.divisor
        small = max(wide // given.reduction, given.least)
        self.add_input = stride == 1 and in_channels == out_channels
        self.has_expand = wide != in_channels
        if self.has_expand:
            self.expand = nn.Conv2d(in_channels, wide, kernel_size=1, bias=False)
            self.norm1 = nn.BatchNorm2d(wide)
        self.norm2, self.norm3 = nn.BatchNorm2d(wide), nn.BatchNorm2d(out_channels)
        self.depthwise = nn.Conv2d(wide, wide, kernel_size=given.kernel, groups=wide,
                                   stride=stride, padding=(given.kernel - 1) // 2, bias=False)
        self.reduce, self.restore = nn.Conv2d(wide, small, 1), nn.Conv2d(small, wide, 1)
        self.project = nn.Conv2d(wide, out_channels, kernel_size=1, bias=False)

    def forward(self, x):
        y = x
        if self.has_expand:
            y = self.norm1(self.expand(y))
            y = y * h(y)
        y = self.norm2(self.depthwise(y))
        y = y * h(y)
        z = F.adaptive_avg_pool2d(y, 1)
        z = h(self.restore(torch.relu(self.reduce(z))))
        y = self.norm3(self.project(y * z))
        if not self.add_input:
            return y
        return torch.add(x, y, alpha=given.strength)
"""


def _block(right: str, wrong: str) -> str:
    assert right in BLOCK
    return BLOCK.replace(right, wrong)


WRONG = {
    "GatedBlock": {
        "hswish-of-the-chapter": _block("v + given.shift", "v + 3")
        .replace("max=given.limit", "max=6")
        .replace("div(given.limit)", "div(6)"),
        "expansion-when-equal": _block("wide != in_channels", "True"),
        "strength-forgotten": _block("alpha=given.strength", "alpha=1"),
        "strength-without-shortcut": _block("return y\n", "return given.strength * y\n"),
        "activation-after-projection": _block(
            "        if not self.add_input", "        y = y * h(y)\n        if not self.add_input"
        ),
        "se-before-activation": _block("        y = y * h(y)\n        z =", "        z =").replace(
            "self.project(y * z)", "self.project(y * z * h(y * z))"
        ),
        "other-activation-inside": _block(
            "torch.relu(self.reduce(z))", "(lambda t: t * h(t))(self.reduce(z))"
        ),
        "wrong-names": _block("self.reduce, self.restore =", "self.fc1, self.fc2 =")
        .replace("self.restore(", "self.fc2(")
        .replace("self.reduce(", "self.fc1("),
        "wrong-gradients": _block(
            "z = F.adaptive_avg_pool2d(y, 1)", "z = y.data.mean((2, 3), True)"
        ),
        "raised-exception": _block(
            "int(math.ceil(expand_ratio * in_channels / given.divisor))", "2.0"
        ),
    },
    "plan_blocks": {
        "stride-on-first-block": """
def plan_blocks(rows, output_stride):
    out, cin, os, dil = [], given.stem, 2, 1
    for t, c, n, s in rows:
        c = c + -c % given.divisor
        for i in range(n):
            stride, d = s if i == 0 else 1, dil
            if os * stride > output_stride:
                dil, stride = dil * stride, 1
            os = os * stride
            out += [(cin, c, stride, d, t * (given.thinner if d > 1 else 1))]
            cin = c
    return out
""",
        "dilated-too-early": """
def plan_blocks(rows, output_stride):
    out, cin, os, dil = [], given.stem, 2, 1
    for t, c, n, s in rows:
        c = c + -c % given.divisor
        for i in range(1, n + 1):
            stride = s if i == n else 1
            if os * stride > output_stride:
                dil, stride = dil * stride, 1
            os = os * stride
            out += [(cin, c, stride, dil, t * (given.thinner if dil > 1 else 1))]
            cin = c
    return out
""",
        "once-dropped-always-dropped": """
def plan_blocks(rows, output_stride):
    out, cin, os, dil = [], given.stem, 2, 1
    for t, c, n, s in rows:
        c = c + -c % given.divisor
        for stride in (n - 1) * [1] + [s]:
            d = dil
            os *= stride
            if os > output_stride:
                dil, stride = dil * stride, 1
            out += [(cin, c, stride, d, t * (given.thinner if d > 1 else 1))]
            cin = c
    return out
""",
        "wrong-shape": """
def plan_blocks(rows, output_stride):
    return [(given.stem, c + -c % given.divisor, s, 1, t) for t, c, n, s in rows]
""",
        "changes-input": """
def plan_blocks(rows, output_stride):
    out, cin, os, dil = [], given.stem, 2, 1
    for row in rows:
        t, c, n, s = row
        c += -c % given.divisor
        if isinstance(row, list):
            row[1] = c
        for stride in (n - 1) * [1] + [s]:
            d = dil
            if os * stride > output_stride:
                dil, stride = dil * stride, 1
            os *= stride
            out += [(cin, c, stride, d, t * (given.thinner if d > 1 else 1))]
            cin = c
    return out
""",
    },
    "block_costs": {
        "slowness-forgotten": """
def block_costs(in_channels, hidden, out_channels, stride, height, width):
    q, k2 = max(hidden // given.reduction, given.least), given.kernel * given.kernel
    h, w = (height + stride - 1) // stride, (width + stride - 1) // stride
    p = hidden * (k2 + out_channels + 2 * q + 1 + 2) + q + 2 * out_channels
    m = h * w * hidden * (k2 + out_channels) + 2 * hidden * q
    if in_channels != hidden:
        p, m = p + hidden * (in_channels + 2), m + height * width * hidden * in_channels
    return p, m
""",
        "gate-on-every-pixel": """
def block_costs(in_channels, hidden, out_channels, stride, height, width):
    q, k2 = max(hidden // given.reduction, given.least), given.kernel * given.kernel
    h, w = (height + stride - 1) // stride, (width + stride - 1) // stride
    p = hidden * (k2 + out_channels + 2 * q + 1 + 2) + q + 2 * out_channels
    m = h * w * hidden * (k2 * given.slowness + out_channels + 2 * q)
    if in_channels != hidden:
        p, m = p + hidden * (in_channels + 2), m + height * width * hidden * in_channels
    return p, m
""",
        "floor-instead-of-ceil": """
def block_costs(in_channels, hidden, out_channels, stride, height, width):
    q, k2 = max(hidden // given.reduction, given.least), given.kernel * given.kernel
    p = hidden * (k2 + out_channels + 2 * q + 1 + 2) + q + 2 * out_channels
    if in_channels != hidden:
        p += hidden * (in_channels + 2)
    m = height * width * in_channels * hidden * (in_channels != hidden) + 2 * hidden * q
    pixels = (height // stride) * (width // stride)
    return p, m + pixels * hidden * (k2 * given.slowness + out_channels)
""",
        "wrong-type": """
def block_costs(in_channels, hidden, out_channels, stride, height, width):
    return {"parameters": hidden * (in_channels + out_channels), "cost": height * width}
""",
    },
    "PartialBlock": {
        "unchanged": "PartialBlock = AColleaguesBlock",
        "pad-before-expansion": """
class PartialBlock(AColleaguesBlock):
    def forward(self, x):
        y = F.pad(x, 4 * [self.dilation])
        y = torch.clamp(self.norm1(self.expand(y)), 0, given.cap)
        y = torch.clamp(self.norm2(self.depthwise(y)), 0, given.cap)
        y = self.norm3(self.project(y))
        return torch.cat([y[:, : x.shape[1]] + x, y[:, x.shape[1] :]], dim=1)
""",
        "shortcut-only-for-equal-channels": """
class PartialBlock(AColleaguesBlock):
    def forward(self, x):
        y = torch.clamp(self.norm1(self.expand(x)), 0, given.cap)
        y = F.pad(y, 4 * [self.dilation])
        y = torch.clamp(self.norm2(self.depthwise(y)), 0, given.cap)
        y = self.norm3(self.project(y))
        return x + y if x.shape == y.shape else y
""",
        "activation-after-projection": """
class PartialBlock(AColleaguesBlock):
    def forward(self, x):
        y = F.pad(torch.clamp(self.norm1(self.expand(x)), 0, given.cap), 4 * [self.dilation])
        for conv, norm in ((self.depthwise, self.norm2), (self.project, self.norm3)):
            y = torch.clamp(norm(conv(y)), 0, given.cap)
        y[:, : x.shape[1]] += x
        return y
""",
        "shortcut-on-the-last-channels": """
class PartialBlock(AColleaguesBlock):
    def forward(self, x):
        y = F.pad(torch.clamp(self.norm1(self.expand(x)), 0, given.cap), 4 * [self.dilation])
        y = self.norm3(self.project(torch.clamp(self.norm2(self.depthwise(y)), 0, given.cap)))
        y[:, self.more :] += x
        return y
""",
        "raised-exception": """
class PartialBlock(AColleaguesBlock):
    def forward(self, x):
        y = torch.clamp(self.norm1(self.expand(x)), 0, given.cap)
        y = torch.clamp(self.norm2(self.depthwise(y)), 0, given.cap)
        return self.norm3(self.project(y)) + x
""",
    },
}
