"""`classes.yaml`: the classes of somebody's own data set."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short  # a hostile file can't make a message long

import yaml

Color = tuple[int, int, int]

MAX_CLASSES = 255
DEFAULT_VOID = 255
KEYS = ("classes", "void", "void_color")
EXAMPLE = "such as: classes: {background: [0, 0, 0], cat: '#800000'}"


@dataclass(frozen=True)
class ClassFile:
    """What `classes.yaml` says, in the order of the labels 0, 1, 2 …"""

    names: tuple[str, ...]
    values: tuple[int, ...]  # pixel values in grey and palette masks
    colors: tuple[Color, ...]  # none, or one for each class
    void: tuple[int, ...]  # pixel values that count nowhere
    void_color: Color | None


def read_class_file(path: Path) -> ClassFile:
    """Read `classes.yaml`:

    ```yaml
    classes:                     # label 0, 1, 2 … in this order
      background: [0, 0, 0]
      cat: "#800000"
    void: 255                    # the default; or a list of values, or null
    void_color: [224, 224, 192]  # default: none
    ```

    `classes` may also be a list of names, for masks of values. Instead of a colour a class may have
    `{value: 7, color: [0, 128, 0]}`, where its pixels don't hold its label; in a list,
    `{name: dog, value: 7}`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no YAML, or says something else.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; write one that names the classes in the order of their labels, "
            f"{EXAMPLE}"
        )
    document = _parse(path)
    if not isinstance(document, Mapping) or "classes" not in document:
        raise ValueError(f"{path} must have the key classes, {EXAMPLE}")
    for key in document:
        if key not in KEYS:
            raise ValueError(f"{path} has the key {short(key)}; allowed are {', '.join(KEYS)}")
    try:
        return _understand(document)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _parse(path: Path) -> object:
    content = path.read_bytes()
    try:
        twice = _repeated_key(yaml.compose(content, Loader=yaml.SafeLoader))
        document: object = yaml.safe_load(content)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        what = getattr(error, "problem", None) or "not text"
        raise ValueError(f"{path}{line} is no YAML: {what}; correct it") from error
    except (RecursionError, ValueError) as error:  # nested too deeply; dates such as 2000-99-99
        raise ValueError(f"{path} can't be read; write it {EXAMPLE}") from error
    if twice is not None:
        line = f"{path}, line {twice.start_mark.line + 1}"
        raise ValueError(f"{line}: {short(twice.value)} is there twice; remove one")
    return document


def _repeated_key(document: yaml.Node | None) -> yaml.Node | None:
    """YAML's readers keep the last one of equal keys, and would lose a class in silence."""
    nodes = [document]
    for node in nodes:
        if not isinstance(node, yaml.MappingNode):
            continue
        seen = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    return key
                seen.add(key.value)
            if node is document:
                nodes.append(value)
    return None


def _understand(document: Mapping[str, object]) -> ClassFile:
    given = document["classes"]
    if isinstance(given, list):
        given = [_named(item) for item in given]
    elif isinstance(given, Mapping):
        given = list(given.items())
    else:
        raise ValueError(f"classes must be a list or a mapping, got {short(given)}; {EXAMPLE}")
    if not 1 <= len(given) <= MAX_CLASSES:
        raise ValueError(f"classes must be 1 to {MAX_CLASSES}, got {len(given)}; {EXAMPLE}")
    names = tuple(_name(name, label) for label, (name, _) in enumerate(given))
    _refuse_twins("name", zip(names, names, strict=True))
    entries = [entry if isinstance(entry, Mapping) else {"color": entry} for _, entry in given]
    values: list[int] = []
    colors: list[Color] = []
    uncolored: list[str] = []
    for label, (name, entry) in enumerate(zip(names, entries, strict=True)):
        if not set(entry) <= {"value", "color"}:
            raise ValueError(f"class {name} may have value and color, got {short(entry)}")
        values.append(_value(entry.get("value", label), f"class {name}"))
        if entry.get("color") is None:
            uncolored.append(name)
        else:
            colors.append(_color(entry["color"], f"class {name}"))
    if colors and uncolored:
        raise ValueError(f"class {uncolored[0]} has no color, others have; give it one")
    void = document.get("void", [] if DEFAULT_VOID in values else DEFAULT_VOID)
    listed = void if isinstance(void, list) else [] if void is None else [void]
    void_values = [_value(value, "void") for value in listed]
    blank = document.get("void_color")
    void_color = None if blank is None else _color(blank, "void_color")
    _refuse_twins("value", [*zip(values, names, strict=True), *((v, "void") for v in void_values)])
    _refuse_twins("color", [*zip(colors, names, strict=False), (void_color, "void")])
    return ClassFile(names, tuple(values), tuple(colors), tuple(void_values), void_color)


def _named(item: object) -> tuple[object, object]:
    """An item of a list of classes: its name, or a mapping that holds it."""
    if not isinstance(item, Mapping):
        return item, None
    return item.get("name"), {key: value for key, value in item.items() if key != "name"}


def _name(name: object, label: int) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ValueError(
            f"class {label} must have a name, got {short(name)}; put quotes around names that YAML "
            f"takes for something else, such as no, on, null and numbers"
        )
    return name


def _value(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
        raise ValueError(f"{where} must have a whole number 0 … 255 as value, got {short(value)}")
    return value


def _color(color: object, where: str) -> Color:
    """`[red, green, blue]` or `"#rrggbb"`."""
    channels = color
    if isinstance(color, str) and len(color) == 7 and color[0] == "#":
        try:
            channels = list(bytes.fromhex(color[1:]))
        except ValueError:
            channels = None
    if isinstance(channels, list) and len(channels) == 3:
        whole = [c for c in channels if isinstance(c, int) and not isinstance(c, bool)]
        if len(whole) == 3 and 0 <= min(whole) <= max(whole) <= 255:
            return whole[0], whole[1], whole[2]
    raise ValueError(
        f"{where} must have [red, green, blue], 0 … 255 each, or '#rrggbb' in quotes as color, "
        f"got {short(color)}"
    )


def _refuse_twins(what: str, items: Iterable[tuple[Hashable, str]]) -> None:
    owners: dict[Hashable, str] = {}
    for item, name in items:
        if item in owners:
            raise ValueError(
                f"{owners[item]} and {name} have the same {what}, {short(item)}; change one"
            )
        owners[item] = name
