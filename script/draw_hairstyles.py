"""Draws the pictures of the demo's hairstyles: `.venv/bin/python script/draw_hairstyles.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

OUT = Path(__file__).resolve().parents[1] / "db" / "seeds" / "pictures" / "hairstyles"
WIDTH, HEIGHT, OVERSAMPLED = 240, 300, 4
SKIN, SHADE, INK, SHIRT = "#e3b48c", "#d19a70", "#4a3328", "#5b7fa6"
HAIR, SHINE, STRAND = "#5a3a28", "#7a5238", "#452b1d"
WALL = {"MALE": "#e4ebf0", "FEMALE": "#f1e8e4"}

Points = list[tuple[float, float]]


class Pen:
    """Draws in a picture of 240 × 300, finer than it is kept."""

    def __init__(self, wall: str) -> None:
        self.picture = Image.new("RGB", (WIDTH * OVERSAMPLED, HEIGHT * OVERSAMPLED), wall)
        self._draw = ImageDraw.Draw(self.picture)

    def oval(self, box: tuple[float, float, float, float], color: str = HAIR) -> None:
        """A filled ellipse."""
        self._draw.ellipse([value * OVERSAMPLED for value in box], fill=color)

    def shape(self, points: Points, color: str = HAIR) -> None:
        """A filled polygon."""
        self._draw.polygon([(x * OVERSAMPLED, y * OVERSAMPLED) for x, y in points], fill=color)

    def line(self, points: Points, color: str = STRAND, width: float = 2) -> None:
        """A line with round joints."""
        places = [(x * OVERSAMPLED, y * OVERSAMPLED) for x, y in points]
        self._draw.line(places, fill=color, width=round(width * OVERSAMPLED), joint="curve")

    def arc(
        self, box: tuple[float, float, float, float], start: float, end: float, color: str = STRAND
    ) -> None:
        """A part of an ellipse's edge."""
        places = [value * OVERSAMPLED for value in box]
        self._draw.arc(places, start, end, fill=color, width=2 * OVERSAMPLED)

    def cap(self, top: float, reach: float, brow: float = 112) -> None:
        """Hair over the skull: how high it stands, how far it goes out, where it ends."""
        self._draw.chord(
            [v * OVERSAMPLED for v in (120 - reach, top, 120 + reach, top + 150)],
            180,
            360,
            fill=HAIR,
        )
        self.shape([(120 - reach, top + 74), (120 + reach, top + 74), (158, brow), (82, brow)])
        self.oval((86, brow - 18, 154, brow + 40), SKIN)


def person(pen: Pen) -> None:
    """Neck, shoulders, ears and face."""
    pen.oval((34, 232, 206, 400), SHIRT)
    pen.shape([(100, 180), (140, 180), (144, 246), (96, 246)], SHADE)
    pen.oval((94, 226, 146, 262), SHADE)
    pen.oval((68, 132, 86, 162), SHADE)
    pen.oval((154, 132, 172, 162), SHADE)
    pen.oval((76, 78, 164, 206), SKIN)


def features(pen: Pen) -> None:
    """Eyes, brows, nose and mouth."""
    for x in (101, 139):
        pen.oval((x - 10, 136, x + 10, 148), "#fbf7f2")
        pen.oval((x - 5, 136, x + 5, 148), INK)
        pen.line([(x - 12, 128), (x, 124), (x + 12, 128)], HAIR, 3)
    pen.line([(120, 146), (115, 166), (123, 167)], SHADE, 2.5)
    pen.arc((104, 168, 136, 188), 20, 160, "#a8574e")


def strands(pen: Pen, lines: list[Points], color: str = SHINE) -> None:
    """Lines that show how the hair falls."""
    for points in lines:
        pen.line(points, color, 1.6)


def long_hair(pen: Pen, down: float, out: float) -> None:
    """Hair behind the shoulders, down to a height and so far out."""
    pen.oval((120 - out, 52, 120 + out, 190))
    pen.shape([(120 - out, 120), (120 + out, 120), (120 + out + 4, down), (120 - out - 4, down)])


def buzz_cut(pen: Pen) -> None:
    """Short all over."""
    person(pen)
    pen.cap(70, 46, 116)


def crew_cut(pen: Pen) -> None:
    """Short, a little longer on top."""
    person(pen)
    pen.cap(62, 46, 112)
    pen.shape([(86, 98), (92, 60), (120, 52), (148, 60), (154, 98), (138, 88), (104, 88)])
    strands(pen, [[(x, 84), (x + 3, 62)] for x in (100, 110, 120, 130, 140)])


def side_part(pen: Pen) -> None:
    """Combed over from a parting."""
    person(pen)
    pen.cap(62, 48, 112)
    pen.shape([(94, 66), (140, 54), (166, 84), (164, 122), (150, 104), (112, 98), (90, 100)])
    pen.line([(94, 66), (92, 98)], SKIN, 2.5)
    strands(pen, [[(98, 80), (130, 70), (158, 92)], [(98, 92), (130, 82), (158, 108)]])


def pompadour(pen: Pen) -> None:
    """High and swept back."""
    person(pen)
    pen.cap(64, 47, 112)
    pen.oval((80, 30, 164, 106))
    pen.oval((92, 92, 150, 132), SKIN)
    strands(pen, [[(94, 84), (106, 50), (140, 42)], [(108, 90), (120, 58), (150, 52)]])


def quiff(pen: Pen) -> None:
    """Up and forward at the front."""
    person(pen)
    pen.cap(64, 47, 112)
    pen.shape(
        [(84, 104), (80, 76), (96, 46), (122, 32), (152, 44), (162, 80), (156, 104), (120, 88)]
    )
    pen.shape([(84, 104), (74, 62), (92, 44), (110, 62), (104, 96)])
    strands(pen, [[(96, 92), (92, 64)], [(112, 88), (112, 52)], [(130, 88), (134, 50)]])


def man_bun(pen: Pen) -> None:
    """Long, tied up on the crown."""
    person(pen)
    pen.oval((100, 22, 140, 64))
    pen.arc((106, 28, 134, 58), 200, 340, SHINE)
    pen.cap(58, 48, 108)
    strands(pen, [[(84, 104), (100, 74), (118, 60)], [(156, 104), (140, 74), (122, 60)]])
    pen.line([(106, 60), (134, 60)], STRAND, 4)


def pixie(pen: Pen) -> None:
    """Short, with a fringe to the side."""
    person(pen)
    pen.cap(58, 50, 116)
    pen.shape(
        [(72, 118), (84, 70), (130, 54), (166, 86), (168, 126), (156, 108), (128, 96), (92, 122)]
    )
    pen.shape([(70, 110), (84, 104), (82, 150), (74, 142)])
    pen.shape([(170, 110), (156, 104), (158, 150), (166, 142)])
    strands(pen, [[(90, 108), (118, 80), (150, 78)], [(98, 114), (124, 90), (156, 96)]])


def bob(pen: Pen) -> None:
    """To the chin, with a straight fringe."""
    long_hair(pen, 206, 62)
    person(pen)
    pen.cap(54, 56, 118)
    pen.shape([(64, 104), (86, 100), (84, 206), (60, 206)])
    pen.shape([(176, 104), (154, 100), (156, 206), (180, 206)])
    pen.shape([(80, 92), (160, 92), (162, 122), (78, 122)])
    strands(pen, [[(x, 96), (x, 120)] for x in (94, 107, 120, 133, 146)])


def lob(pen: Pen) -> None:
    """To the shoulders, parted in the middle."""
    long_hair(pen, 244, 62)
    person(pen)
    pen.cap(52, 58, 112)
    pen.shape([(120, 58), (62, 96), (56, 246), (84, 246), (82, 132)])
    pen.shape([(120, 58), (178, 96), (184, 246), (156, 246), (158, 132)])
    strands(pen, [[(114, 72), (78, 108), (70, 236)], [(126, 72), (162, 108), (170, 236)]])


def shag(pen: Pen) -> None:
    """Layers that end at many heights."""
    long_hair(pen, 226, 64)
    person(pen)
    pen.cap(48, 60, 114)
    for side in (-1, 1):
        for x, end in ((44, 150), (52, 190), (58, 226), (66, 206), (72, 172)):
            top = (120 + side * (x - 16), 96)
            pen.shape([top, (120 + side * (x + 8), 110), (120 + side * (x + 6), end)])
    for x in (84, 98, 112, 126, 140):
        pen.shape([(x, 84), (x + 18, 84), (x + 6, 128)])
    strands(pen, [[(80, 70), (66, 130), (64, 190)], [(160, 70), (174, 130), (176, 190)]])


def beach_waves(pen: Pen) -> None:
    """Long, in loose waves."""
    long_hair(pen, 262, 62)
    person(pen)
    pen.cap(50, 58, 112)
    for side in (-1, 1):
        for number, y in enumerate((104, 134, 164, 194, 224, 252)):
            x = 120 + side * (56 + (6 if number % 2 else 0))
            pen.oval((x - 16, y - 20, x + 16, y + 20))
        wave = [(120 + side * (50 + (9 if n % 2 else 0)), 90 + 26 * n) for n in range(7)]
        pen.line(wave, SHINE, 2)
    pen.shape([(120, 56), (66, 92), (64, 140), (84, 122)])
    pen.shape([(120, 56), (174, 92), (176, 140), (156, 122)])


def french_braid(pen: Pen) -> None:
    """Drawn back into a braid that falls over a shoulder."""
    person(pen)
    pen.cap(54, 52, 108)
    strands(pen, [[(80, 108), (96, 74), (124, 58)], [(92, 96), (110, 70), (134, 60)]])
    strands(pen, [[(160, 108), (150, 78), (132, 60)]])
    pen.shape([(160, 96), (174, 120), (176, 190), (158, 200), (160, 130)])
    for number in range(6):
        x, y = 166 - 3 * number, 172 + 19 * number
        pen.oval((x - 17, y - 13, x + 5, y + 13))
        pen.oval((x - 5, y - 13, x + 17, y + 13), SHINE)
    pen.oval((138, 280, 156, 299), STRAND)


STYLES: dict[str, tuple[str, Callable[[Pen], None]]] = {
    "buzz-cut": ("MALE", buzz_cut),
    "crew-cut": ("MALE", crew_cut),
    "side-part": ("MALE", side_part),
    "pompadour": ("MALE", pompadour),
    "quiff": ("MALE", quiff),
    "man-bun": ("MALE", man_bun),
    "pixie": ("FEMALE", pixie),
    "bob": ("FEMALE", bob),
    "lob": ("FEMALE", lob),
    "shag": ("FEMALE", shag),
    "beach-waves": ("FEMALE", beach_waves),
    "french-braid": ("FEMALE", french_braid),
}


def main() -> None:
    """Draw all."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, (gender, draw) in STYLES.items():
        pen = Pen(WALL[gender])
        draw(pen)
        features(pen)
        small = pen.picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        small.save(OUT / f"{name}.webp", quality=82, method=6)


if __name__ == "__main__":
    main()
