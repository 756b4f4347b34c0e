"""Assignment 14, answered wrongly as students do; `given.x` stands for values."""

RATE = """
def learning_rate(step, total):
    if total <= 0 or step <= -1:
        raise ValueError(step, total)
    top, low = given.peak, given.peak * given.floor
    w = min(total // 2, given.warmup)
    if step < w:
        first = top * given.start
        return first + (top - first) / w * step
    if step >= total:
        return low
    d = (step - w) / (total - w)
    return low + (1 - d) ** given.power * (top - low)
"""
GROUPS = """
def parameter_groups(shapes, lr):
    def norm(name):
        stem = name[: name.rfind(".") + 1]
        if not name.endswith(("weight", "bias")):
            return False
        return stem + "weight" in shapes and len(shapes[stem + "weight"]) == 1

    groups = []
    for name in shapes:
        words = name.split(".")
        rate, decay = lr, given.decay
        if words[0] == "backbone":
            if words[1] == "stages" and int(words[2]) in range(given.frozen):
                continue
            rate = lr * given.backbone
        elif "decoder" in words:
            rate = lr * given.decoder
        if norm(name):
            rate = rate * given.norm
        elif words[-1] == "bias":
            rate = rate * given.bias
        if len(shapes[name]) <= 1:
            decay = 0
        elif len(shapes[name]) == 4 and shapes[name][1] == 1:
            decay = given.decay * given.thin
        for group in groups:
            if group["lr"] == rate and group["weight_decay"] == decay:
                group["names"].append(name)
                break
        else:
            groups.append({"lr": rate, "weight_decay": decay, "names": [name]})
    return groups
"""
LOSS = """
def smoothed_loss(logits, mask, weights):
    n, c, h, w = logits.shape
    flat = logits.permute(0, 2, 3, 1).reshape(-1, c)
    labels = mask.reshape(-1)
    keep = (labels != 255) & (labels != given.second_void)
    flat, labels = flat[keep], labels[keep]
    if len(labels) == 0:
        return logits.sum() * 0
    w = torch.tensor([min(weight, given.cap) for weight in weights])[labels]
    if w.sum() == 0:
        return logits.sum() * 0
    logs = flat - torch.logsumexp(flat, dim=1, keepdim=True)
    target = torch.full_like(logs, given.smoothing / (c - 1))
    target[torch.arange(len(labels)), labels] = 1 - given.smoothing
    loss = -(target * logs).sum(dim=1)
    return (loss * w).sum() / w.sum()
"""
SCORE = """
def mean_iou(predictions, masks, num_classes):
    if len(masks) == 0:
        return float("nan")
    guess = torch.cat([p.flatten() for p in predictions])
    label = torch.cat([m.flatten() for m in masks])
    guess = guess[label != 255]
    label = label[label != 255]
    top = bottom = 0
    for k in range(num_classes):
        a, b = label == k, guess == k
        na, nb = int(a.sum()), int(b.sum())
        if na == 0 and nb <= given.stray:
            continue
        weight = given.rare if na < given.few else 1.0
        top += weight * int((a & b).sum()) / int((a | b).sum())
        bottom += weight
    return top / bottom if bottom > 0 else float("nan")
"""


def _changed(code: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert code.count(old) == 1, (old, code.count(old))
        code = code.replace(old, new)
    return code


CHECK = """    if total <= 0 or step <= -1:
        raise ValueError(step, total)
"""
END = """    if step >= total:
        return low
"""
SEVERAL = """
def mean_iou(predictions, masks, num_classes):
    all_of_them = []
    for p, m in zip(predictions, masks):
        all_of_them.append(one_image([p], [m], num_classes))
    return sum(all_of_them) / len(all_of_them)
"""
NAN = """
def smoothed_loss(logits, mask, weights):
    keep = (mask != 255) & (mask != given.second_void)
    logs, classes = F.log_softmax(logits, 1), logits.size(1)
    hot = F.one_hot(mask * keep, classes).permute(0, 3, 1, 2)
    target = hot * (1 - given.smoothing) + (1 - hot) * given.smoothing / (classes - 1)
    w = torch.tensor(weights).clamp(max=given.cap)[mask * keep] * keep
    return -(target * logs * w[:, None]).sum() / w.sum()
"""
WRONG = {
    "learning_rate": {
        "accepts-no-steps": _changed(
            RATE, (CHECK, ""), (END, ""), ("(1 - d) ** given", "max(0, 1 - d) ** given")
        ),
        "wrong-error": _changed(RATE, (CHECK, "")),
        "starts-at-zero": _changed(RATE, ("first = top * given.start", "first = 0")),
        "one-step-off": _changed(RATE, ("/ w * step", "/ w * (step + 1)")),
        "warmup-too-long": _changed(RATE, ("min(total // 2, given.warmup)", "given.warmup")),
        "complex-past-the-end": _changed(RATE, (END, "")),
        "floor-as-minimum": _changed(
            RATE,
            ("return low + (1 - d) ** given.power * (top - low)", "return max(low, top * f)"),
            ("    d = ", "    f = (1 - (step - w) / (total - w)) ** given.power\n    d = "),
        ),
        "falls-from-step-zero": _changed(RATE, ("(step - w) / (total - w)", "step / total")),
        "linear-decay": _changed(RATE, (" ** given.power", "")),
        "wrong-values": _changed(RATE, ("total // 2", "total / 2")),
        "not-attempted": """
def learning_rate(step, total):
    raise NotImplementedError()
""",
    },
    "parameter_groups": {
        "matches-by-name": _changed(
            GROUPS,
            ('if words[0] == "backbone":', 'if "backbone" in name:'),
            ('elif "decoder" in words:', 'elif "decoder" in name:'),
        ),
        "frozen-by-prefix": _changed(
            GROUPS,
            (
                'words[1] == "stages" and int(words[2]) in range(given.frozen)',
                'any(name.startswith(f"backbone.stages.{i}") for i in range(given.frozen))',
            ),
        ),
        "frozen-one-too-many": _changed(
            GROUPS, ("int(words[2]) in range(given.frozen)", "int(words[2]) <= given.frozen")
        ),
        "norm-bias-as-bias": _changed(GROUPS, ('(("weight", "bias"))', '("weight")')),
        "decay-on-scales": _changed(
            GROUPS, ("if len(shapes[name]) <= 1:", 'if words[-1] == "bias":')
        ),
        "depthwise-in-full": _changed(GROUPS, ("given.decay * given.thin", "given.decay")),
        "one-group-each": _changed(GROUPS, ('if group["lr"] == rate and', "if False and")),
        "wrong-type": _changed(GROUPS, ("return groups", "return iter(groups)")),
    },
    "smoothed_loss": {
        "smoothed-over-all-classes": _changed(
            LOSS,
            ("given.smoothing / (c - 1)", "given.smoothing / c"),
            ("= 1 - given.smoothing", "+= 1 - given.smoothing"),
        ),
        "cap-forgotten": _changed(LOSS, ("min(weight, given.cap)", "weight")),
        "weighs-every-term": _changed(
            LOSS,
            ("(target * logs).sum(dim=1)", "(target * logs * table).sum(dim=1)"),
            ("(loss * w).sum()", "loss.sum()"),
            (
                "    logs = flat",
                "    table = torch.tensor(weights).double().clamp(max=given.cap)\n    logs = flat",
            ),
        ),
        "divided-by-pixels": _changed(LOSS, ("(loss * w).sum() / w.sum()", "(loss * w).mean()")),
        "averaged-over-ignored": _changed(
            LOSS, ("(loss * w).sum() / w.sum()", "(loss * w).sum() / mask.numel()")
        ),
        "second-void-as-class": _changed(LOSS, (" & (labels != given.second_void)", "")),
        "no-gradient-when-all-ignored": LOSS.replace(
            "return logits.sum() * 0", "return torch.tensor(0.0, dtype=torch.float64)"
        ),
        "nan-when-all-ignored": NAN,
        "wrong-type": _changed(LOSS, ("(loss * w).sum() / w.sum()", "loss * w / w.sum()")),
        "wrong-gradients": _changed(LOSS, ("keepdim=True)", "keepdim=True).detach()")),
    },
    "mean_iou": {
        "unchanged": "mean_iou = a_colleagues_score",
        "averaged-per-image": SCORE.replace("def mean_iou", "def one_image") + SEVERAL,
        "void-counts": _changed(
            SCORE,
            ("    guess = guess[label != 255]\n", ""),
            ("    label = label[label != 255]\n", ""),
        ),
        "every-stray-counts": _changed(SCORE, ("nb <= given.stray", "nb == 0")),
        "strays-left-out": _changed(SCORE, (" and nb <= given.stray", "")),
        "stray-at-the-limit": _changed(SCORE, ("nb <= given.stray", "nb < given.stray")),
        "few-included": _changed(SCORE, ("na < given.few", "na <= given.few")),
        "rare-in-full": _changed(SCORE, ("given.rare if na < given.few else 1.0", "1.0")),
        "raised-exception": _changed(SCORE, (' if bottom > 0 else float("nan")', "")),
    },
}
