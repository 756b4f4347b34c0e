"""Assignment 03, answered wrongly as students do; `given.x` stands for values."""

GATE = """
class ChannelGate(nn.Module):
    def __init__(self, channels, reduction):
        super().__init__()
        d = given.divisor
        width = max(d, int(channels / reduction + d / 2) // d * d)
        self.restore = nn.Linear(width, channels)
        self.reduce = nn.Linear(channels, width)

    def forward(self, x):
        n, c, h, w = x.shape
        pixels = x.reshape(n, c, h * w)
        s = pixels.sum(dim=2) / (h * w) + given.peak * pixels.max(dim=2).values
        s = torch.relu(self.reduce(s))
        s = F.relu6(self.restore(s) + 3) / 6
        return torch.lerp(x, x * s.view(n, c, 1, 1), given.strength)
"""

READ = """
def up(v):
    return -(-int(v * 16) // (16 * given.width_divisor)) * given.width_divisor

def read_blocks(lines, width_mult):
    found, cin = [], int(given.stem * width_mult)
    for i, line in enumerate(lines):
        k, widths, *more = line.split()
        h, c = map(int, widths.split(">"))
        h = math.floor(h * width_mult)
        h = max(cin, h - h % given.hidden_divisor)
        if not (i + 1 == len(lines) and width_mult < 1):
            c = up(c * width_mult)
        s = int(more.pop().replace("/", "")) if more[-1][0] == "/" else 1
        q = (h // given.waist or 1) if more[0] == "SE" else 0
        found.append((int(k.split("x")[0]), cin, h, c, q, more[-1], s))
        cin = c
    return found
"""


def _in(code: str, right: str, wrong: str) -> str:
    assert right in code
    return code.replace(right, wrong)


WRONG = {
    "bent_swish": {
        "floor-as-minimum": """
def bent_swish(x):
    line = (x - given.low) / (given.high - given.low)
    g = torch.clamp(line, given.floor, 1)
    dg = torch.where((line < given.floor) | (line > 1), 0.0, 1 / (given.high - given.low))
    return x * g, g + x * dg
""",
        "floor-forgotten": """
def bent_swish(x):
    width = given.high - given.low
    g = torch.clamp((x - given.low) / width, 0, 1)
    return x * g, torch.where((x < given.low) | (x > given.high), g, g + x / width)
""",
        "knees-excluded": """
def bent_swish(x):
    x = x.clone().requires_grad_()
    share = (x - given.low) / (given.high - given.low)
    y = x * (given.floor + (1 - given.floor) * torch.clamp(share, 0, 1))
    (slope,) = torch.autograd.grad(y.sum(), x)
    return y.detach(), slope
""",
        "product-rule-forgotten": """
def bent_swish(x):
    t = (x - given.low) / (given.high - given.low)
    g = given.floor + (1 - given.floor) * F.hardtanh(t, 0, 1)
    return g * x, g
""",
        "wrong-type": """
def bent_swish(x):
    g = (x - given.low) / (given.high - given.low)
    return x * (given.floor + (1 - given.floor) * g.clamp(0, 1))
""",
        "changes-input": """
def bent_swish(x):
    t = (x - given.low) / (given.high - given.low)
    d = x * (1 - given.floor) / (given.high - given.low) * ((t >= 0) & (t <= 1))
    g = given.floor + (1 - given.floor) * t.clamp(0, 1)
    x *= g
    return x, g + d
""",
    },
    "ChannelGate": {
        "rounded-down": _in(GATE, "int(channels / reduction + d / 2)", "int(channels / reduction)"),
        "ties-to-even": _in(
            GATE,
            "int(channels / reduction + d / 2) // d * d",
            "round(channels / reduction / d) * d",
        ),
        "peak-forgotten": _in(GATE, " + given.peak * pixels.max(dim=2).values", ""),
        "sigmoid-instead-of-hsigmoid": _in(
            GATE, "F.relu6(self.restore(s) + 3) / 6", "torch.sigmoid(self.restore(s))"
        ),
        "strength-forgotten": _in(GATE, ", given.strength)", ", 1.0)"),
        "strength-exchanged": _in(GATE, ", given.strength)", ", 1 - given.strength)"),
        "wrong-names": _in(GATE, "nn.Linear(width, channels)", "nn.Conv2d(width, channels, 1)"),
        "wrong-gradients": _in(
            GATE, "pixels.max(dim=2).values", "pixels.detach().max(dim=2).values"
        ),
        "raised-exception": _in(GATE, "s.view(n, c, 1, 1)", "s"),
    },
    "read_blocks": {
        "hidden-below-the-input": _in(
            READ, "max(cin, h - h % given.hidden_divisor)", "h - h % given.hidden_divisor"
        ),
        "last-scaled": _in(READ, "width_mult < 1", "False"),
        "last-always-kept": _in(READ, " and width_mult < 1", ""),
        "stem-not-scaled": _in(READ, "int(given.stem * width_mult)", "given.stem"),
        "stem-rounded-as-outputs": _in(
            READ, "int(given.stem * width_mult)", "up(given.stem * width_mult)"
        ),
        "raised-exception": _in(
            READ, "k, widths, *more = line.split()", "k, widths, *more = line.split(' ')"
        ),
        "wrong-type": _in(READ, "int(k.split", "str(k.split"),
    },
    "weigh": {
        "unchanged": "weigh = a_colleagues_gate",
        "modifies-input": """
def weigh(x, w1, b1, w2, b2):
    m = x.mean(dim=3).mean(dim=2)
    g = F.leaky_relu(m @ w1.T + b1, given.leak) @ w2.T + b2
    x *= torch.clamp(g / given.heat + 0.5, 0, 1)[..., None, None]
    return x
""",
        "gate-cut-off": """
def weigh(x, w1, b1, w2, b2):
    with torch.no_grad():
        m = x.mean(dim=3).mean(dim=2)
        g = F.leaky_relu(m @ w1.T + b1, given.leak) @ w2.T + b2
        g = torch.clamp(g / given.heat + 0.5, 0, 1)
    return torch.einsum("nchw,nc->nchw", x, g)
""",
        "squeezes-the-batch": """
def weigh(x, w1, b1, w2, b2):
    m = x.mean(dim=(0, 2, 3))
    g = w2 @ F.leaky_relu(w1 @ m + b1, given.leak) + b2
    return x * torch.clamp(g / given.heat + 0.5, 0, 1).view(1, -1, 1, 1)
""",
        "leak-forgotten": """
def weigh(x, w1, b1, w2, b2):
    images = []
    for one in x:
        g = w2 @ F.relu(w1 @ one.mean(dim=(1, 2)) + b1) + b2
        images.append(one * torch.clamp(g / given.heat + 0.5, 0, 1)[:, None, None])
    return torch.stack(images)
""",
    },
}
