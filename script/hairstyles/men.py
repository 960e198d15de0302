"""The hairstyles that are shown for men first."""

from __future__ import annotations

from script.hairstyles.pen import (
    Part,
    Pen,
    Style,
    bun,
    cap,
    curls,
    curtain,
    faded,
    fall,
    locks,
    oval,
    points,
    shape,
    skin,
    strands,
    swept,
    waves,
    wreath,
)

_SIDES = shape((153, 100), (167, 104), (166, 138), (158, 142), mirrored=True)
_COMBED_BACK = strands(
    [(128, 96), (126, 74), (122, 56)],
    [(142, 100), (140, 78), (130, 58)],
    [(154, 106), (152, 84), (138, 62)],
    mirrored=True,
)


def shadow(top: float, reach: float, brow: float) -> Part:
    """Hair so short that the skin shows."""

    def draw(pen: Pen) -> None:
        hair, pen.hair = pen.hair, pen.stubble
        cap(top, reach, brow)(pen)
        pen.hair = hair

    return draw


STYLES: dict[str, Style] = {
    "male-short-1": Style("black", "brown", (), (shadow(72, 45, 116), faded(136, 104))),
    "male-short-2": Style(
        "brown",
        "light",
        (),
        (
            cap(64, 46, 112),
            shape((88, 98), (92, 62), (120, 54), (148, 62), (152, 98), (136, 90), (104, 90)),
            strands(*([(x, 86), (x + 3, 64)] for x in (100, 110, 120, 130, 140))),
            _SIDES,
        ),
    ),
    "male-short-3": Style(
        "blond",
        "light",
        (),
        (
            cap(62, 47, 112),
            swept(110, top=60),
            skin((95, 62), (98, 62), (92, 92), (90, 92)),
            _SIDES,
        ),
    ),
    "male-short-4": Style(
        "black", "tan", (), (cap(64, 46, 112), points(118, 9, 38, 74), faded(140))
    ),
    "male-short-5": Style(
        "brown",
        "tan",
        (),
        (
            cap(64, 46, 110),
            *(
                shape((x - 9, 84), (x + 9, 84), (x + (x - 120) * 0.16, 36 + abs(x - 120) * 0.35))
                for x in (86, 98, 109, 120, 131, 142, 154)
            ),
            _SIDES,
        ),
    ),
    "male-medium-1": Style(
        "chestnut", "light", (), (cap(60, 48, 112), swept(118, mirrored=True, top=56), _SIDES)
    ),
    "male-medium-2": Style(
        "black", "light", (oval(70, 52, 170, 160),), (cap(56, 50, 108), curtain(140), _SIDES)
    ),
    "male-medium-3": Style(
        "brown",
        "brown",
        (),
        (
            cap(64, 47, 110),
            shape(
                (86, 104),
                (80, 74),
                (96, 44),
                (124, 30),
                (154, 42),
                (162, 80),
                (154, 104),
                (120, 86),
            ),
            strands(
                [(98, 90), (96, 62), (112, 46)],
                [(114, 86), (114, 54), (130, 40)],
                [(132, 86), (138, 56), (148, 50)],
            ),
            faded(136),
        ),
    ),
    "male-medium-4": Style(
        "ash", "light", (oval(72, 48, 168, 156),), (cap(50, 49, 104), _COMBED_BACK, _SIDES)
    ),
    "male-medium-5": Style(
        "auburn",
        "light",
        (oval(70, 50, 170, 158),),
        (
            cap(52, 51, 112),
            points(132, 8, 42, 76),
            shape((96, 58), (110, 40), (120, 58)),
            shape((126, 56), (146, 42), (146, 64)),
            _SIDES,
        ),
    ),
    "male-medium-6": Style(
        "chestnut",
        "tan",
        (oval(68, 46, 172, 176),),
        (
            cap(50, 52, 106),
            waves(150, 42, 5, 18, 1),
            strands(
                [(124, 62), (140, 70), (150, 90), (164, 104)],
                [(130, 54), (152, 66), (166, 88)],
                mirrored=True,
            ),
        ),
    ),
    "male-long-1": Style(
        "brown", "tan", (fall(234, 56),), (cap(52, 54, 108), curtain(140), locks(236, 60, 40))
    ),
    "male-long-2": Style(
        "blond",
        "tan",
        (fall(222, 58),),
        (cap(50, 55, 108), swept(112, top=56), waves(222, 54, 8, 24)),
    ),
    "male-long-3": Style(
        "black",
        "brown",
        (fall(272, 56, 8),),
        (
            cap(52, 54, 106),
            curtain(128),
            locks(268, 62, 42),
            strands([(168, 130), (176, 200), (174, 262)], mirrored=True),
        ),
    ),
    "male-styled-1": Style(
        "chestnut",
        "light",
        (oval(98, 16, 142, 62),),
        (cap(58, 48, 106), bun(120, 40, 19), _COMBED_BACK),
    ),
    "male-styled-2": Style(
        "black",
        "light",
        (),
        (
            cap(66, 46, 110),
            oval(80, 26, 164, 100),
            skin((92, 104), (120, 92), (150, 104), (150, 122), (92, 122)),
            strands([(94, 84), (106, 48), (142, 38)], [(108, 90), (122, 56), (152, 50)]),
            faded(138),
        ),
    ),
    "male-styled-3": Style(
        "black",
        "tan",
        (),
        (
            cap(60, 47, 102),
            strands(
                *(
                    [(120 + x, 98), (120 + x * 0.9, 82), (120 + x * 0.5, 68)]
                    for x in (-36, -24, -12, 0, 12, 24, 36)
                )
            ),
            faded(134),
        ),
    ),
    "male-styled-4": Style(
        "auburn",
        "tan",
        (),
        (
            shadow(74, 45, 112),
            shape(
                (104, 98),
                (98, 52),
                (108, 24),
                (120, 14),
                (132, 24),
                (142, 52),
                (136, 98),
                (120, 92),
            ),
            strands([(110, 86), (108, 40)], [(120, 84), (120, 28)], [(130, 86), (132, 40)]),
        ),
    ),
    "male-fade-1": Style(
        "black", "tan", (), (cap(62, 47, 110), swept(112, top=58), _SIDES, faded(150, 124))
    ),
    "male-fade-2": Style(
        "black",
        "brown",
        (),
        (cap(62, 46, 110), curls(wreath((120, 96), 36, 32, 5, 80), 9), faded(148, 106)),
    ),
    "male-fade-3": Style(
        "black",
        "dark",
        (),
        (
            cap(70, 44, 108),
            shape(
                (84, 104),
                (80, 34),
                (90, 22),
                (150, 22),
                (160, 34),
                (156, 104),
                (138, 92),
                (102, 92),
            ),
            curls(
                [(90, 30), (104, 26), (120, 26), (136, 26), (150, 30), (86, 46), (154, 46)],
                8,
                mirrored=False,
            ),
            faded(144, 96),
        ),
    ),
}
