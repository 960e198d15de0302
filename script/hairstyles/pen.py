"""What hairstyles are drawn with: a pen, a person, and the parts that hair is made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageColor, ImageDraw

WIDTH, HEIGHT, OVERSAMPLED = 240, 300, 4
INK, SHIRT = "#3f2d26", {"MALE": "#5b7fa6", "FEMALE": "#a8667d"}
WALL = {"MALE": "#e4ebf0", "FEMALE": "#f3eae4"}
SKINS = {"light": "#efcdb0", "tan": "#dfae86", "brown": "#a9744c", "dark": "#75492f"}
HAIRS = {
    "black": "#2b2524",
    "brown": "#5a3a28",
    "chestnut": "#7a4a2e",
    "auburn": "#8e4630",
    "blond": "#c99f5c",
    "ash": "#9a8572",
}
MIDDLE = 120

Points = list[tuple[float, float]]
Box = tuple[float, float, float, float]


def mixed(one: str, other: str, share: float) -> str:
    """A colour between two: so much of the other."""
    pairs = zip(ImageColor.getrgb(one), ImageColor.getrgb(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


class Pen:
    """Draws in a picture of 240 × 300, finer than it is kept, with one person's colours."""

    def __init__(self, gender: str, hair: str, skin: str) -> None:
        size = (WIDTH * OVERSAMPLED, HEIGHT * OVERSAMPLED)
        self.picture = Image.new("RGB", size, WALL[gender])
        self._draw = ImageDraw.Draw(self.picture)
        self.shirt = SHIRT[gender]
        self.skin, self.hair = SKINS[skin], HAIRS[hair]
        self.shade = mixed(self.skin, "#5a3020", 0.18)
        self.shine = mixed(self.hair, "#ffffff", 0.2)
        self.strand = mixed(self.hair, "#000000", 0.3)
        self.stubble = mixed(self.skin, self.hair, 0.4)

    def oval(self, box: Box, color: str | None = None) -> None:
        """A filled ellipse."""
        self._draw.ellipse([value * OVERSAMPLED for value in box], fill=color or self.hair)

    def dot(self, x: float, y: float, radius: float, color: str | None = None) -> None:
        """A filled circle."""
        self.oval((x - radius, y - radius, x + radius, y + radius), color)

    def shape(self, points: Points, color: str | None = None) -> None:
        """A filled polygon."""
        places = [(x * OVERSAMPLED, y * OVERSAMPLED) for x, y in points]
        self._draw.polygon(places, fill=color or self.hair)

    def both(self, points: Points, color: str | None = None) -> None:
        """A polygon on the right, and its mirror image on the left."""
        self.shape(points, color)
        self.shape([(2 * MIDDLE - x, y) for x, y in points], color)

    def line(self, points: Points, color: str | None = None, width: float = 2) -> None:
        """A line with round joints."""
        places = [(x * OVERSAMPLED, y * OVERSAMPLED) for x, y in points]
        width = round(width * OVERSAMPLED)
        self._draw.line(places, fill=color or self.strand, width=width, joint="curve")

    def arc(self, box: Box, start: float, end: float, color: str | None = None) -> None:
        """A part of an ellipse's edge."""
        places = [value * OVERSAMPLED for value in box]
        self._draw.arc(places, start, end, fill=color or self.strand, width=2 * OVERSAMPLED)

    def chord(self, box: Box, start: float, end: float, color: str | None = None) -> None:
        """What a straight line cuts off from an ellipse."""
        places = [value * OVERSAMPLED for value in box]
        self._draw.chord(places, start, end, fill=color or self.hair)

    def person(self) -> None:
        """Neck, shoulders, ears and face."""
        self.oval((34, 232, 206, 400), self.shirt)
        self.shape([(100, 180), (140, 180), (144, 246), (96, 246)], self.shade)
        self.oval((94, 226, 146, 262), self.shade)
        self.oval((68, 132, 86, 162), self.shade)
        self.oval((154, 132, 172, 162), self.shade)
        self.oval((76, 78, 164, 206), self.skin)

    def features(self) -> None:
        """Eyes, brows, nose and mouth."""
        for x in (101, 139):
            self.oval((x - 10, 137, x + 10, 148), "#fbf7f2")
            self.dot(x, 142.5, 5, INK)
            self.dot(x + 1.5, 141, 1.5, "#fbf7f2")
            self.line([(x - 12, 129), (x, 125.5), (x + 12, 129)], self.strand, 3)
        self.line([(120, 146), (115.5, 166), (123, 167)], self.shade, 2.5)
        self.arc((105, 168, 135, 187), 25, 155, mixed(self.skin, "#9c3f3f", 0.6))


Part = Callable[[Pen], None]


@dataclass(frozen=True)
class Style:
    """A hairstyle: whose, the colours, what is behind the person, and what is before them."""

    hair: str
    skin: str
    behind: tuple[Part, ...]
    before: tuple[Part, ...]

    def draw(self, gender: str) -> Image.Image:
        """The picture, as large as it is kept."""
        pen = Pen(gender, self.hair, self.skin)
        for part in self.behind:
            part(pen)
        pen.person()
        pen.features()
        for part in self.before:
            part(pen)
        return pen.picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


# What hair is made of. Heights are measured from the top, widths from the middle.


def cap(top: float, reach: float, brow: float = 112) -> Part:
    """Hair over the skull: how high it stands, how far it goes out, where it ends."""

    def draw(pen: Pen) -> None:
        pen.chord((MIDDLE - reach, top, MIDDLE + reach, top + 150), 180, 360)
        pen.both([(MIDDLE, top + 40), (MIDDLE + reach, top + 74), (MIDDLE + 40, brow + 22)])
        pen.oval((84, brow - 16, 156, brow + 60), pen.skin)
        pen.features()

    return draw


def fall(down: float, out: float, end: float = 4) -> Part:
    """Hair behind the shoulders: down to a height, so far out, and so much further at its end."""

    def draw(pen: Pen) -> None:
        pen.oval((MIDDLE - out, 50, MIDDLE + out, 190))
        pen.both([(MIDDLE, 90), (MIDDLE + out, 120), (MIDDLE + out + end, down), (MIDDLE, down)])

    return draw


def locks(down: float, outer: float = 60, inner: float = 36, top: float = 96) -> Part:
    """Hair beside the face, down to a height."""

    def draw(pen: Pen) -> None:
        pen.both(
            [
                (MIDDLE + 20, top - 26),
                (MIDDLE + outer - 4, top),
                (MIDDLE + outer, down),
                (MIDDLE + inner, down),
                (MIDDLE + inner - 2, top + 22),
            ]
        )
        for x in (inner + 6, (inner + outer) / 2):
            pen.line([(MIDDLE + x - 4, top + 14), (MIDDLE + x, down - 8)], pen.shine, 1.6)
            pen.line([(MIDDLE - x + 4, top + 14), (MIDDLE - x, down - 8)], pen.shine, 1.6)

    return draw


def fringe(low: float, wide: float = 41, top: float = 84) -> Part:
    """Cut straight above the brows."""

    def draw(pen: Pen) -> None:
        left, right = MIDDLE - wide, MIDDLE + wide
        pen.shape([(left + 4, top), (right - 4, top), (right, low), (left, low)])
        for x in range(round(left) + 12, round(right) - 6, 12):
            pen.line([(x, top + 4), (x, low - 2)], pen.shine, 1.6)

    return draw


def swept(low: float, mirrored: bool = False, top: float = 62) -> Part:
    """Across the forehead, from a parting at one side to the other."""

    def draw(pen: Pen) -> None:
        points = [(92, top), (140, top - 8), (166, top + 28), (166, low + 8), (156, low - 12)]
        points += [(126, low - 24), (88, low - 6)]
        lines = [[(98, top + 16), (128, top + 8), (158, low - 18)]]
        lines.append([(96, top + 28), (124, top + 22), (152, low - 16)])
        for one in [points, *lines]:
            placed = [(2 * MIDDLE - x if mirrored else x, y) for x, y in one]
            if one is points:
                pen.shape(placed)
            else:
                pen.line(placed, pen.shine, 1.6)

    return draw


def curtain(low: float, part_at: float = 58) -> Part:
    """Parted in the middle, to both sides of the forehead."""

    def draw(pen: Pen) -> None:
        pen.both([(MIDDLE, part_at), (154, 84), (170, low), (158, low), (146, 102), (MIDDLE, 80)])
        for side in (-1, 1):
            ends = [(MIDDLE + side * x, y) for x, y in ((4, 70), (28, 88), (42, low - 12))]
            pen.line(ends, pen.shine, 1.6)

    return draw


def points(low: float, tips: int = 6, wide: float = 40, top: float = 80) -> Part:
    """A fringe that ends in tips."""

    def draw(pen: Pen) -> None:
        step = 2 * wide / tips
        for number in range(tips):
            x = MIDDLE - wide + number * step
            tip = low if number % 2 else low - 9
            pen.shape([(x - 3, top), (x + step + 3, top), (x + step * 0.4, tip)])

    return draw


def curls(places: Points, radius: float, mirrored: bool = True) -> Part:
    """Round curls at these places, each with its shine."""

    def draw(pen: Pen) -> None:
        all_places = places + [(2 * MIDDLE - x, y) for x, y in places if mirrored]
        for x, y in all_places:
            pen.dot(x, y, radius)
        for x, y in all_places:
            inner = radius * 0.6
            pen.arc((x - inner, y - inner, x + inner, y + inner), 190, 330, pen.shine)

    return draw


def wreath(
    middle: tuple[float, float], wide: float, high: float, number: int, turn: float = 160
) -> Points:
    """Places on the right half of an ellipse, from its top so many degrees round."""
    x, y = middle
    angles = [math.radians(-90 + turn * n / max(number - 1, 1)) for n in range(number)]
    return [(x + wide * math.cos(angle), y + high * math.sin(angle)) for angle in angles]


def waves(down: float, out: float, deep: float = 7, step: float = 26, lines: int = 2) -> Part:
    """Waves beside the face, down to a height."""

    def draw(pen: Pen) -> None:
        heights = [96 + step * n for n in range(int((down - 96) / step) + 1)]
        for side in (-1, 1):
            for number, y in enumerate(heights):
                x = MIDDLE + side * (out + (deep if number % 2 else 0))
                pen.oval((x - 15, y - step * 0.75, x + 15, y + step * 0.75))
            for n in range(lines):
                wave = [
                    (MIDDLE + side * (out - 6 + 10 * n + (deep if k % 2 else 0)), y)
                    for k, y in enumerate(heights)
                ]
                pen.line(wave, pen.shine, 1.8)

    return draw


def temple(y: float) -> float:
    """How far to the right the head goes at a height."""
    return MIDDLE + 44 * math.sqrt(max(0.0, 1 - ((y - 142) / 64) ** 2))


def faded(level: float, top: float = 96) -> Part:
    """Sides that are cut ever shorter, down from a height."""

    def draw(pen: Pen) -> None:
        steps = 6
        for n in range(steps):
            high = top + (level - top) * n / steps
            low = top + (level - top) * (n + 1) / steps
            tone = mixed(pen.hair, pen.skin, 0.1 + 0.7 * n / steps)
            one, other = temple(high), temple(low)
            pen.both([(one - 9, high), (one + 3, high), (other + 3, low), (other - 9, low)], tone)

    return draw


def bun(x: float, y: float, radius: float) -> Part:
    """Hair that is wound up."""

    def draw(pen: Pen) -> None:
        pen.dot(x, y, radius)
        inner = radius * 0.65
        pen.arc((x - inner, y - inner, x + inner, y + inner), 180, 350, pen.shine)
        inner = radius * 0.3
        pen.arc((x - inner, y - inner, x + inner, y + inner), 0, 200, pen.shine)

    return draw


def braid(start: tuple[float, float], step: tuple[float, float], number: int, size: float) -> Part:
    """A braid from a place, so many strands long."""

    def draw(pen: Pen) -> None:
        for n in range(number):
            x, y = start[0] + step[0] * n, start[1] + step[1] * n
            pen.oval((x - size, y - size * 0.8, x + size * 0.35, y + size * 0.8))
            pen.oval((x - size * 0.35, y - size * 0.8, x + size, y + size * 0.8), pen.shine)
            pen.line([(x, y - size * 0.7), (x, y + size * 0.7)], pen.strand, 1.4)

    return draw


def strands(*lines: Points, mirrored: bool = False, dark: bool = False) -> Part:
    """Lines that show how the hair falls."""

    def draw(pen: Pen) -> None:
        color = pen.strand if dark else pen.shine
        for line in lines:
            pen.line(line, color, 1.8)
            if mirrored:
                pen.line([(2 * MIDDLE - x, y) for x, y in line], color, 1.8)

    return draw


def shape(*corners: tuple[float, float], mirrored: bool = False) -> Part:
    """A mass of hair, and its mirror image."""

    def draw(pen: Pen) -> None:
        pen.both(list(corners)) if mirrored else pen.shape(list(corners))

    return draw


def oval(*box: float) -> Part:
    """A round mass of hair."""
    left, top, right, bottom = box
    return lambda pen: pen.oval((left, top, right, bottom))


def skin(*corners: tuple[float, float]) -> Part:
    """A place without hair."""
    return lambda pen: pen.shape(list(corners), pen.skin)
