"""Which options of `build_model` would make weights fit that don't."""

from collections.abc import Mapping

from torch import Tensor


def fitting_options(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """The options of `build_model` under which the model would have the shapes of `given`."""

    def convs(state: Mapping[str, Tensor]) -> list[str]:
        return [n for n, t in state.items() if n.startswith("head.classifier.") and t.ndim == 4]

    def size(state: Mapping[str, Tensor], name: str, axis: int) -> int | None:
        return state[name].shape[axis] if name in state and state[name].ndim > axis else None

    hints = []
    prefix = "backbone." if any(name.startswith("backbone.") for name in own) else ""
    has_head = any(name.startswith("head.") for name in given)
    if has_head and ("head.project.0.weight" in given) != ("head.project.0.weight" in own):
        wanted = "deeplabv3plus" if "head.project.0.weight" in given else "deeplabv3"
        hints.append(f"the head {wanted}")
    elif has_head and any("pointwise" in n for n in given) != any("pointwise" in n for n in own):
        hints.append(f"head_options={{'separable': {any('pointwise' in n for n in given)}}}")
    elif has_head and len(convs(given)) != len(convs(own)):
        hints.append(f"head_options={{'decoder_convs': {len(convs(given)) - 1}}}")
    elif (
        has_head
        and convs(given)
        and size(given, convs(given)[-1], 0) != size(own, convs(own)[-1], 0)
    ):
        last = convs(own)[-1].removesuffix(".weight")
        hints.append(f"num_classes={size(given, convs(given)[-1], 0)} or exclude=('{last}',)")
    for name, axis, option in (
        (f"{prefix}features.0.0.weight", 1, "in_channels={}"),
        ("head.aspp.convs.0.0.weight", 0, "head_options={{'aspp_channels': {}}}"),
        ("head.project.0.weight", 0, "head_options={{'low_level_channels': {}}}"),
    ):
        there = size(given, name, axis)
        if there is not None and name in own and there != size(own, name, axis):
            hints.append(option.format(there))
    width = f"{prefix}features.17.conv.2.weight"
    if size(given, width, 0) not in (None, size(own, width, 0)):
        hints.append(f"backbone_options={{'width_mult': {given[width].shape[0] / 320:g}}}")
    return f". Build the model with {', '.join(hints)}" if hints else ""
