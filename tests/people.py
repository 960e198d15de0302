"""Draws people of many kinds, and pictures without anybody, to see where colour is put."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]
Mask = npt.NDArray[np.bool_]

WIDTH, HEIGHT = 480, 640


@dataclass(frozen=True)
class Person:
    """What one looks like, and where the middle of the face is; its width is 1 at half of 480."""

    skin: Colour = (224, 178, 148)
    hair: Colour | None = (88, 58, 40)
    style: str = "long"
    glasses: bool = False
    beard: bool = False
    shirt: Colour = (60, 84, 120)
    iris: Colour = (84, 100, 70)
    x: float = 240
    y: float = 290
    size: float = 1.0


@dataclass(frozen=True)
class Scene:
    """A picture with the places of its hair and of its faces' skin, borders left out."""

    picture: Image.Image
    hair: Mask
    skin: Mask


def scene(background: Image.Image, *people: Person) -> Scene:
    """People before a background."""
    canvas = background.convert("RGB").copy()
    hair, skin = Image.new("L", canvas.size), Image.new("L", canvas.size)
    for person in people:
        _draw(canvas, hair, skin, person)
    soft = canvas.filter(ImageFilter.GaussianBlur(0.8))
    noise = np.random.default_rng(3).normal(0, 2.2, (canvas.height, canvas.width, 1))
    pixels = np.clip(np.asarray(soft) + noise, 0, 255).astype(np.uint8)
    return Scene(Image.fromarray(pixels), _inner(hair), _inner(skin))


def _inner(mask: Image.Image) -> Mask:
    return np.asarray(mask.filter(ImageFilter.MinFilter(9))) > 200


def _draw(canvas: Image.Image, hair_map: Image.Image, skin_map: Image.Image, p: Person) -> None:
    def box(left: float, top: float, right: float, bottom: float) -> Box:
        return (
            p.x + left * p.size,
            p.y + top * p.size,
            p.x + right * p.size,
            p.y + bottom * p.size,
        )

    def map_of(*ovals: Box, rectangles: tuple[Box, ...] = ()) -> Image.Image:
        found = Image.new("L", canvas.size)
        pen = ImageDraw.Draw(found)
        for one in ovals:
            pen.ellipse(one, fill=255)
        for one in rectangles:
            pen.rectangle(one, fill=255)
        return found

    def put(color: Colour, where: Image.Image, depth: float = 26, streaks: float = 0) -> None:
        canvas.paste(
            _lit(color, canvas.size, box(-110, -150, 110, 150), depth, streaks), mask=where
        )

    behind = _hair_behind(p.style, box, map_of) if p.hair else None
    if behind and p.hair:
        put(p.hair, behind, 18, 0.2)
        hair_map.paste(255, mask=behind)
    body = map_of(box(-190, 220, 190, 640))
    neck = map_of(box(-52, 190, 52, 270), rectangles=(box(-52, 90, 52, 230),))
    put(p.shirt, body)
    for surface in (neck, map_of(box(-112, -18, -88, 44), box(88, -18, 112, 44))):
        put(_darker(p.skin, 0.86), surface)
        skin_map.paste(255, mask=surface)
        hair_map.paste(0, mask=surface)
    hair_map.paste(0, mask=body)
    face = map_of(box(-100, -140, 100, 120), box(-78, -20, 78, 158))
    put(p.skin, face)
    skin_map.paste(255, mask=face)
    hair_map.paste(0, mask=face)
    _features(canvas, skin_map, p, box)
    front = _hair_in_front(p.style, box, map_of) if p.hair else None
    if front and p.hair:
        put(p.hair, front, 18, 0.2)
        hair_map.paste(255, mask=front)
        skin_map.paste(0, mask=front)


def _hair_behind(
    style: str, box: Callable[..., Box], map_of: Callable[..., Image.Image]
) -> Image.Image:
    if style == "long":
        return map_of(box(-132, -186, 132, 120), rectangles=(box(-132, -40, 132, 236),))
    if style == "afro":
        return map_of(box(-176, -226, 176, 110))
    return map_of(box(-112, -176, 112, 40))


def _hair_in_front(
    style: str, box: Callable[..., Box], map_of: Callable[..., Image.Image]
) -> Image.Image:
    cap = map_of(box(-114, -178, 114, 20))
    forehead = box(-84, -104, 84, 150) if style != "afro" else box(-92, -96, 92, 150)
    ImageDraw.Draw(cap).ellipse(forehead, fill=0)
    ImageDraw.Draw(cap).rectangle(box(-200, -40, 200, 200), fill=0)
    return cap


def _features(
    canvas: Image.Image, skin_map: Image.Image, p: Person, box: Callable[..., Box]
) -> None:
    pen, off = ImageDraw.Draw(canvas), ImageDraw.Draw(skin_map)
    shade, dark = _darker(p.skin, 0.8), _darker(p.hair or (70, 54, 44), 0.8)
    for side in (-1, 1):
        x = side * 43
        pen.ellipse(box(x - 30, -22, x + 30, 18), fill=_darker(p.skin, 0.9))
        pen.ellipse(box(x - 21, -11, x + 21, 11), fill=(238, 234, 228))
        pen.ellipse(box(x - 10, -11, x + 10, 10), fill=p.iris)
        pen.ellipse(box(x - 4.5, -6, x + 4.5, 4), fill=(18, 16, 16))
        pen.ellipse(box(x + 1, -6, x + 4, -3), fill=(250, 250, 250))
        pen.arc(
            box(x - 22, -13, x + 22, 14),
            190,
            350,
            fill=(44, 32, 28),
            width=max(1, round(3 * p.size)),
        )
        pen.arc(box(x - 28, -40, x + 28, 4), 215, 325, fill=dark, width=max(2, round(7 * p.size)))
        off.ellipse(box(x - 32, -44, x + 32, 20), fill=0)
    pen.polygon([box(-8, 6, 0, 0)[:2], box(-19, 52, 0, 0)[:2], box(0, 58, 0, 0)[:2]], fill=shade)
    pen.ellipse(box(-17, 44, -5, 54), fill=_darker(p.skin, 0.7))
    pen.ellipse(box(5, 44, 17, 54), fill=_darker(p.skin, 0.7))
    lips = tuple((a * 2 + b) // 3 for a, b in zip((170, 70, 76), p.skin, strict=True))
    pen.ellipse(box(-36, 82, 36, 106), fill=lips)
    pen.line(
        [box(-34, 93, 0, 0)[:2], box(34, 93, 0, 0)[:2]], fill=_darker((150, 60, 64), 0.7), width=2
    )
    off.ellipse(box(-40, 78, 40, 110), fill=0)
    off.ellipse(box(-20, 0, 20, 58), fill=0)
    if p.beard:
        beard = Image.new("L", canvas.size)
        around = ImageDraw.Draw(beard)
        around.ellipse(box(-92, 10, 92, 168), fill=255)
        around.ellipse(box(-74, -60, 74, 74), fill=0)
        around.ellipse(box(-40, 78, 40, 110), fill=0)
        canvas.paste(dark, mask=beard)
        skin_map.paste(0, mask=beard)
    if p.glasses:
        for side in (-1, 1):
            rim = box(side * 43 - 34, -30, side * 43 + 34, 32)
            pen.ellipse(rim, outline=(28, 26, 30), width=max(2, round(6 * p.size)))
            off.ellipse(rim, fill=0)
        pen.line([box(-10, -4, 0, 0)[:2], box(10, -4, 0, 0)[:2]], fill=(28, 26, 30), width=5)


def _darker(color: Colour, share: float) -> Colour:
    red, green, blue = (round(channel * share) for channel in color)
    return red, green, blue


def _lit(
    color: Colour, size: tuple[int, int], around: Box, depth: float, streaks: float
) -> Image.Image:
    """A surface in light from the upper left; with streaks, strands of hair."""
    random = np.random.default_rng(5)
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]].astype(float)
    across = (columns - around[0]) / (around[2] - around[0]) - 0.5
    down = (rows - around[1]) / (around[3] - around[1]) - 0.5
    light = 1 - depth / 128 * np.clip(0.7 * across + 0.5 * down + 0.9 * across**2, -1, 1.2)
    if streaks:
        strands = random.normal(0, streaks, size[0] * 2)
        place = np.clip((columns + 14 * np.sin(rows / 40)).astype(int) + 20, 0, len(strands) - 1)
        light *= 1 + strands[place]
    return Image.fromarray(np.clip(np.array(color) * light[..., None], 0, 255).astype(np.uint8))


def wall(color: Colour, rough: float = 6) -> Image.Image:
    """A lit wall."""
    random = np.random.default_rng(8)
    small = Image.fromarray(random.normal(128, 40, (16, 12)).clip(0, 255).astype(np.uint8))
    cloud = np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(float) - 128
    light = np.linspace(1.06, 0.9, HEIGHT)[:, None, None]
    pixels = np.array(color) * light + cloud[..., None] / 40 * rough
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def shelf() -> Image.Image:
    """A shelf of books in many colours."""
    random = np.random.default_rng(4)
    picture = wall((96, 74, 56))
    pen = ImageDraw.Draw(picture)
    for top in range(10, HEIGHT, 110):
        left = 4
        while left < WIDTH:
            width = int(random.integers(12, 34))
            color = tuple(int(channel) for channel in random.integers(30, 220, 3))
            pen.rectangle(
                (left, top + int(random.integers(0, 24)), left + width, top + 96), fill=color
            )
            left += width + 2
    return picture.filter(ImageFilter.GaussianBlur(2))


def leaves() -> Image.Image:
    """Greens, out of focus."""
    random = np.random.default_rng(6)
    picture = wall((58, 92, 46))
    pen = ImageDraw.Draw(picture)
    for _ in range(500):
        x, y, size = random.integers(0, WIDTH), random.integers(0, HEIGHT), random.integers(6, 36)
        green = (
            int(random.integers(30, 110)),
            int(random.integers(70, 150)),
            int(random.integers(20, 70)),
        )
        pen.ellipse((x, y, x + size, y + size * 1.4), fill=green)
    return picture.filter(ImageFilter.GaussianBlur(3))


def landscape() -> Image.Image:
    """Sky, mountains, a field and a path."""
    picture = wall((132, 176, 222), 14)
    pen = ImageDraw.Draw(picture)
    pen.polygon(
        [(0, 330), (120, 190), (220, 300), (340, 160), (480, 320), (480, 420), (0, 420)],
        fill=(104, 98, 106),
    )
    pen.rectangle((0, 400, 480, 640), fill=(96, 138, 62))
    pen.polygon([(200, 640), (236, 400), (250, 400), (330, 640)], fill=(188, 158, 120))
    pen.ellipse((60, 350, 130, 440), fill=(46, 84, 40))
    pen.rectangle((88, 420, 100, 470), fill=(84, 60, 42))
    return _grained(picture)


def desert() -> Image.Image:
    """Sand and a low sun: nearly all of it in the colours of skin."""
    picture = wall((236, 170, 120), 20)
    pen = ImageDraw.Draw(picture)
    pen.ellipse((190, 130, 290, 230), fill=(252, 226, 180))
    pen.polygon(
        [(0, 360), (160, 300), (330, 380), (480, 320), (480, 640), (0, 640)], fill=(206, 152, 104)
    )
    pen.polygon([(0, 470), (220, 400), (480, 500), (480, 640), (0, 640)], fill=(170, 116, 78))
    pen.ellipse((150, 330, 180, 350), fill=(90, 60, 44))
    pen.ellipse((300, 336, 330, 356), fill=(90, 60, 44))
    return _grained(picture)


def document() -> Image.Image:
    """A page of text on a desk of wood."""
    picture = planks()
    pen = ImageDraw.Draw(picture)
    pen.rectangle((70, 60, 410, 580), fill=(242, 234, 216))
    random = np.random.default_rng(2)
    for y in range(96, 550, 18):
        x = 96
        while x < 370:
            length = int(random.integers(10, 46))
            pen.rectangle((x, y, min(x + length, 384), y + 7), fill=(52, 48, 46))
            x += length + 8
    return _grained(picture)


def planks() -> Image.Image:
    """Boards of light wood."""
    random = np.random.default_rng(9)
    grain = random.normal(0, 9, (1, WIDTH)).repeat(HEIGHT, 0)
    pixels = np.array((198, 150, 108)) + grain[..., None] + random.normal(0, 3, (HEIGHT, WIDTH, 1))
    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for x in range(0, WIDTH, 96):
        pen.line([(x, 0), (x, HEIGHT)], fill=(120, 84, 56), width=3)
        pen.ellipse((x + 40, 90 + x, x + 62, 130 + x), fill=(140, 96, 62))
    return picture.filter(ImageFilter.GaussianBlur(1))


def fruit() -> Image.Image:
    """Peaches in a bowl, round and of skin's colour."""
    picture = wall((226, 224, 220))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((60, 380, 420, 600), fill=(70, 90, 120))
    for x, y, size in ((90, 230, 170), (230, 220, 180), (160, 120, 170)):
        pen.ellipse((x, y, x + size, y + size), fill=(232, 160, 116))
        pen.ellipse((x + 20, y + 16, x + size // 2, y + size // 2), fill=(240, 182, 140))
        pen.ellipse((x + size // 2 - 5, y + 8, x + size // 2 + 5, y + 20), fill=(84, 58, 40))
    return _grained(picture.filter(ImageFilter.GaussianBlur(3)))


def bricks() -> Image.Image:
    """A wall of bricks."""
    random = np.random.default_rng(1)
    picture = wall((190, 180, 170))
    pen = ImageDraw.Draw(picture)
    for row, y in enumerate(range(0, HEIGHT, 40)):
        for x in range(-80 if row % 2 else -40, WIDTH, 80):
            tint = int(random.integers(-16, 16))
            pen.rectangle((x, y, x + 75, y + 35), fill=(176 + tint, 104 + tint, 80 + tint))
    return _grained(picture)


def night() -> Image.Image:
    """A street at night: two lit windows above a door."""
    picture = wall((24, 26, 40), 10)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((110, 120, 370, 640), fill=(120, 84, 66))
    for x in (150, 270):
        pen.rectangle((x, 220, x + 60, 290), fill=(30, 28, 30))
    pen.rectangle((206, 430, 274, 640), fill=(70, 40, 30))
    return _grained(picture)


def noise() -> Image.Image:
    """Every pixel of its own colour."""
    pixels = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def _grained(picture: Image.Image) -> Image.Image:
    grain = np.random.default_rng(7).normal(0, 3, (picture.height, picture.width, 1))
    return Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))


PEOPLE: dict[str, Callable[[], Scene]] = {
    "blond, light wall": lambda: scene(
        wall((206, 204, 198)), Person((240, 204, 180), (206, 170, 112), iris=(96, 130, 160))
    ),
    "afro, dark skin": lambda: scene(
        wall((70, 130, 130)), Person((112, 76, 56), (34, 28, 26), "afro", iris=(60, 40, 30))
    ),
    "glasses, before books": lambda: scene(
        shelf(), Person((196, 146, 110), (40, 32, 30), "short", glasses=True, iris=(70, 48, 34))
    ),
    "ginger, before leaves": lambda: scene(
        leaves(), Person((244, 208, 186), (166, 82, 40), iris=(90, 120, 80), shirt=(200, 190, 170))
    ),
    "grey hair and beard, dark room": lambda: scene(
        wall((36, 34, 38)), Person((214, 168, 140), (150, 148, 146), "short", beard=True)
    ),
    "black hair, dark skin, dark room": lambda: scene(
        wall((52, 44, 60)),
        Person((92, 62, 46), (24, 20, 22), iris=(40, 28, 22), shirt=(120, 40, 50)),
    ),
    "blue hair": lambda: scene(
        wall((222, 200, 150)), Person((226, 184, 156), (52, 92, 190), iris=(80, 60, 40))
    ),
    "small, beside the middle": lambda: scene(
        wall((160, 176, 150)), Person(hair=(60, 42, 32), x=290, y=290, size=0.75)
    ),
    "close": lambda: scene(wall((120, 140, 170)), Person(hair=(98, 66, 44), y=330, size=1.5)),
    "two people": lambda: scene(
        wall((176, 190, 200)),
        Person((232, 190, 164), (120, 70, 40), x=135, y=290, size=0.72),
        Person((128, 88, 64), (30, 24, 24), "short", x=350, y=270, size=0.72, shirt=(150, 60, 60)),
    ),
}
BALD: dict[str, Callable[[], Scene]] = {
    "bald": lambda: scene(wall((170, 180, 190)), Person((222, 176, 148), None)),
    "bald, dark skin, brown wall": lambda: scene(
        wall((132, 108, 88)), Person((104, 70, 52), None, glasses=True)
    ),
}
NOBODY: dict[str, Callable[[], Image.Image]] = {
    "landscape": landscape,
    "desert": desert,
    "document": document,
    "planks": planks,
    "fruit": fruit,
    "bricks": bricks,
    "night": night,
    "noise": noise,
    "shelf": shelf,
    "leaves": leaves,
    "white": lambda: Image.new("RGB", (WIDTH, HEIGHT), "white"),
    "black": lambda: Image.new("RGB", (WIDTH, HEIGHT)),
    "skin's colour": lambda: wall((224, 178, 148)),
    "blue": lambda: wall((60, 90, 160)),
    "1 × 1": lambda: Image.new("RGB", (1, 1), (224, 178, 148)),
}
