"""One street scene: plan it with dice, then draw it from far to near."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from seglib.datasets.toystreet import furniture, houses, people, plants, vehicles
from seglib.datasets.toystreet.canvas import FAR, HEIGHT, WIDTH, Camera, Canvas, Dice
from seglib.datasets.toystreet.ground import Street, paint_ground
from seglib.datasets.toystreet.moods import FREQUENCY, MOODS, Mood, finish, paint_sky

Drawing = tuple[int, Callable[[], None]]  # distance in cm, how to draw it
EDITION = 20_24


def draw_scene(key: Sequence[int]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Draw the scene of a key: image (120, 160, 3) and mask (120, 160), both uint8."""
    dice = Dice((EDITION, *key))
    mood = MOODS[dice.pick(FREQUENCY)]
    camera = Camera(
        focal=dice.integer(250, 320),
        center=WIDTH // 2 + dice.integer(-45, 45),
        horizon=HEIGHT * 45 // 100 + dice.integer(-16, 20),
        height=dice.integer(140, 230),
        bend=dice.integer(-900, 900) if dice.chance(50) else 0,
    )
    street = _plan(dice)
    canvas = Canvas()
    paint_sky(canvas, dice, mood, camera.horizon)
    paint_ground(canvas, dice, camera, street, mood)
    for layer in (_backdrop, _frontage, _objects):
        for _, draw in sorted(layer(canvas, dice, camera, street, mood), key=lambda item: -item[0]):
            draw()
    return finish(canvas, dice, mood)


def _plan(dice: Dice) -> Street:
    half = dice.integer(280, 430)
    pavement = dice.integer(180, 340)
    return Street(
        middle=half * dice.integer(30, 60) // 100 * dice.pick((1, 1, 1, -1)),
        half=half,
        pavement=pavement,
        junction=dice.integer(1100, 3200) if dice.chance(45) else FAR,
        junction_width=dice.integer(600, 900),
        crossing=dice.integer(600, 1900) if dice.chance(30) else FAR,
        end=dice.integer(6000, 12000),
        lawn=(dice.chance(25), dice.chance(25)),
        sun_side=dice.pick((-1, 1)),
    )


def _backdrop(canvas: Canvas, dice: Dice, camera: Camera, street: Street, mood: Mood) -> list[Drawing]:
    """What closes the view at the end of the street: houses or trees."""
    drawings: list[Drawing] = []
    x = street.middle - 3000
    while x < street.middle + 3000:
        z = street.end + dice.integer(0, 400)
        if dice.chance(55):
            house = houses.random_house(dice)
            drawings.append((z, _bind(houses.draw_end, canvas, camera, house, x, z, 90, mood, house.width, False)))
            x += house.width
        else:
            drawings.append((z, _bind(plants.draw_tree, canvas, Dice((dice.integer(0, 99999),)), camera, x + 200, z, mood)))
            x += 400
    return drawings


def _frontage(canvas: Canvas, dice: Dice, camera: Camera, street: Street, mood: Mood) -> list[Drawing]:
    """Both sides of the street: rows of houses, parks, gardens."""
    drawings: list[Drawing] = []
    for side, park in zip((-1, 1), street.lawn, strict=True):
        bright = 104 if side != street.sun_side else 78
        z = dice.integer(200, 500)
        fence = (dice.pick(("picket", "railing", "boards", "hedge", "railing")), dice.pick(plants.PAINTS), dice.integer(80, 150))
        while z < street.end:
            if street.junction - 150 < z + 300 and z < street.junction + street.junction_width + 100:
                z = street.junction + street.junction_width + 100
                continue
            x = street.front(side)
            if park:
                for _ in range(dice.integer(1, 2)):
                    tx, tz = x + side * dice.integer(150, 900), z + dice.integer(0, 300)
                    drawings.append((tz + 400, _bind(plants.draw_tree, canvas, Dice((dice.integer(0, 99999),)), camera, tx, tz, mood)))
                drawings.append((z, _bind(plants.draw_fence, canvas, camera, x, z, z + 300, *fence)))
                z += 300
                continue
            house = houses.random_house(dice)
            if z + house.width > street.junction and z < street.junction:
                z = street.junction
                continue
            garden = dice.chance(25)
            setback = dice.integer(200, 400) if garden else 0
            front = x + side * setback
            deep = side * dice.integer(600, 900)
            drawings.append((z + 1, _bind(houses.draw_end, canvas, camera, house, front, z, 90, mood, deep)))
            drawings.append((z, _bind(houses.draw_front, canvas, camera, house, front, z, bright, mood)))
            if garden:
                kind, color, high = dice.pick(("picket", "hedge", "railing", "boards")), dice.pick(plants.PAINTS), dice.integer(70, 140)
                drawings.append((z - 1, _bind(plants.draw_fence, canvas, camera, x, z, z + house.width, kind,
                                              (84, 116, 70) if kind == "hedge" else color, high)))
                if dice.chance(50):
                    drawings.append((z - 1 + house.width // 2, _bind(plants.draw_tree, canvas, Dice((dice.integer(0, 99999),)), camera, x + side * 120, z + house.width // 2, mood)))
            z += house.width + (dice.integer(100, 500) if dice.chance(30) else 0)
    return drawings


def _objects(canvas: Canvas, dice: Dice, camera: Camera, street: Street, mood: Mood) -> list[Drawing]:
    """Everything that stands or moves on road and pavements."""
    drawings: list[Drawing] = []

    def add(z: int, draw: Callable[..., None], *arguments: object) -> None:
        drawings.append((z, _bind(draw, *arguments)))

    def own() -> Dice:
        return Dice((dice.integer(0, 1 << 30),))

    night = mood.lit > 15
    for side in (-1, 1):
        kerb = street.kerb(side)
        spacing = dice.integer(1200, 2600)
        z = dice.integer(500, 1500)
        while z < street.end:
            add(z, furniture.draw_lamp, canvas, own(), camera, kerb + side * 40, z, side, night)
            z += spacing
        if dice.chance(45):
            z, gap = dice.integer(500, 1200), dice.integer(500, 1200)
            while z < street.end:
                add(z, plants.draw_tree, canvas, own(), camera, kerb + side * 60, z, mood)
                z += gap + dice.integer(0, 300)
        if dice.chance(60):
            z = dice.integer(450, 1500)
            while z < 6000:
                kind = dice.pick(vehicles.KINDS)
                if not street.junction - 500 < z < street.junction + street.junction_width:
                    heading = "ahead" if side < 0 or dice.chance(25) else "back"
                    add(z, vehicles.draw_vehicle, canvas, own(), camera, kind, heading, kerb - side * 105, z, night)
                z += vehicles.SHAPES[kind].length + dice.integer(60, 900)
        for _ in range(dice.integer(0, 3)):
            z = dice.integer(450, 2600)
            add(z, furniture.draw_sign, canvas, own(), camera, kerb + side * dice.integer(30, 60), z)
        for _ in range(dice.integer(0, 4)):
            z = dice.integer(500, 2600)
            x = kerb + side * dice.integer(60, street.pavement - 40)
            add(z, people.draw_pedestrian, canvas, own(), camera, x, z, mood.rain and dice.chance(70))
        if dice.chance(25):
            z = dice.integer(600, 1800)
            add(z, furniture.draw_bin, canvas, own(), camera, kerb + side * 70, z)
        if dice.chance(30):
            z = dice.integer(700, 2000)
            add(z, furniture.draw_traffic_light, canvas, own(), camera, kerb + side * 30, z)
    for lane, heading in ((-1, "ahead"), (1, "back")):
        if dice.chance(50):
            z = dice.integer(600, 3500)
            add(z, vehicles.draw_vehicle, canvas, own(), camera, dice.pick((*vehicles.KINDS, "bus")), heading,
                street.middle + lane * street.half * 35 // 100, z, night)
    for _ in range(dice.pick((0, 0, 1, 1, 2))):
        z = dice.integer(500, 2000)
        side = dice.pick((-1, 1))
        x = street.kerb(side) - side * dice.integer(60, 160)
        add(z, people.draw_bicyclist, canvas, own(), camera, x, z, dice.pick(("side", "end", "end")))
    if street.junction < 2500 and dice.chance(60):
        z = street.junction + dice.integer(100, 400)
        add(z, vehicles.draw_vehicle, canvas, own(), camera, dice.pick(vehicles.KINDS), dice.pick(("left", "right")),
            street.middle + dice.integer(-500, 300), z, night)
    return drawings


def _bind(draw: Callable[..., None], *arguments: object) -> Callable[[], None]:
    return lambda: draw(*arguments)
