"""The hairstyles that are shown for women first."""

from __future__ import annotations

from script.hairstyles.pen import (
    Style,
    braid,
    bun,
    cap,
    curls,
    curtain,
    fall,
    fringe,
    locks,
    oval,
    points,
    shape,
    strands,
    swept,
    waves,
    wreath,
)

_EARS = shape((152, 100), (168, 104), (166, 142), (157, 150), mirrored=True)
_TEMPLES = shape((152, 100), (166, 104), (164, 130), mirrored=True)
_BACK_LINES = strands(
    [(96, 104), (104, 80), (118, 62)], [(86, 110), (92, 84), (112, 60)], mirrored=True
)
_CORNROWS = strands(
    *([(120 + x, 106), (120 + x * 0.9, 82), (120 + x * 0.55, 58)] for x in (0, 12, 24, 36)),
    mirrored=True,
    dark=True,
)

STYLES: dict[str, Style] = {
    "female-short-1": Style("brown", "light", (), (cap(58, 48), swept(122), _EARS)),
    "female-short-2": Style(
        "blond", "light", (oval(70, 50, 170, 150),), (cap(54, 50), points(124, 8), _EARS)
    ),
    "female-short-3": Style(
        "chestnut", "tan", (fall(204, 60),), (cap(54, 54), locks(204, 62), swept(118))
    ),
    "female-short-4": Style(
        "black", "light", (fall(186, 58),), (cap(54, 54), locks(186, 60), fringe(124))
    ),
    "female-short-5": Style(
        "black", "tan", (fall(200, 58, 2),), (cap(54, 54), locks(200, 60), curtain(130))
    ),
    "female-short-6": Style(
        "auburn",
        "light",
        (fall(180, 58),),
        (
            cap(54, 54),
            shape((150, 90), (176, 106), (184, 222), (156, 204), mirrored=True),
            curtain(128),
        ),
    ),
    "female-short-7": Style(
        "brown",
        "brown",
        (oval(64, 54, 176, 178),),
        (
            cap(54, 54),
            shape((150, 92), (176, 104), (182, 226), (156, 208)),
            swept(120),
            shape((64, 104), (88, 98), (84, 168), (66, 164)),
        ),
    ),
    "female-short-8": Style(
        "ash",
        "light",
        (oval(66, 52, 174, 170),),
        (
            cap(52, 52),
            points(120, 6),
            shape((154, 98), (174, 110), (170, 172), (158, 158), mirrored=True),
        ),
    ),
    "female-short-9": Style(
        "blond",
        "tan",
        (fall(196, 60),),
        (
            cap(52, 54),
            points(126, 7),
            shape(
                (152, 96), (178, 110), (184, 176), (172, 168), (170, 206), (158, 190), mirrored=True
            ),
        ),
    ),
    "female-short-10": Style(
        "black",
        "brown",
        (),
        (
            cap(60, 46),
            shape(
                (76, 116),
                (84, 62),
                (124, 46),
                (168, 72),
                (174, 132),
                (158, 120),
                (140, 96),
                (100, 100),
            ),
            strands([(92, 96), (120, 64), (160, 86)], [(104, 96), (128, 74), (162, 104)]),
        ),
    ),
    "female-short-11": Style(
        "chestnut",
        "light",
        (oval(66, 50, 174, 170),),
        (
            cap(50, 54),
            fringe(126, 46, 78),
            shape((152, 88), (174, 96), (172, 146), (158, 146), mirrored=True),
        ),
    ),
    "female-short-12": Style(
        "black", "dark", (), (cap(60, 47), curls(wreath((120, 100), 42, 38, 6, 85), 9), _TEMPLES)
    ),
    "female-medium-1": Style(
        "brown", "light", (fall(240, 60),), (cap(52, 56), curtain(140), locks(242, 62))
    ),
    "female-medium-2": Style(
        "auburn",
        "light",
        (fall(222, 62),),
        (
            cap(48, 58),
            points(128, 7, 42),
            shape(
                (154, 92),
                (178, 108),
                (190, 160),
                (176, 156),
                (188, 206),
                (170, 198),
                (166, 226),
                (158, 150),
                mirrored=True,
            ),
        ),
    ),
    "female-medium-3": Style(
        "black",
        "tan",
        (fall(226, 58),),
        (cap(54, 55), swept(116, mirrored=True), locks(228, 60, 38)),
    ),
    "female-medium-4": Style(
        "blond",
        "light",
        (fall(236, 60, 8),),
        (
            cap(50, 57),
            locks(238, 64, 40),
            shape(
                (120, 58), (158, 84), (176, 152), (160, 150), (146, 112), (120, 96), mirrored=True
            ),
            strands([(126, 74), (150, 100), (166, 142)], mirrored=True),
        ),
    ),
    "female-medium-5": Style(
        "ash",
        "tan",
        (fall(244, 50, 2), oval(58, 44, 182, 172)),
        (
            cap(46, 60),
            points(126, 8, 42),
            shape(
                (154, 90),
                (182, 110),
                (186, 156),
                (172, 150),
                (168, 190),
                (176, 236),
                (164, 240),
                (158, 150),
                mirrored=True,
            ),
        ),
    ),
    "female-long-1": Style(
        "black", "light", (fall(284, 56, 2),), (cap(54, 54), curtain(136), locks(284, 58, 38))
    ),
    "female-long-2": Style(
        "chestnut",
        "tan",
        (fall(278, 60, 8),),
        (
            cap(52, 56),
            swept(112),
            locks(270, 64, 40),
            shape((156, 150), (188, 176), (182, 214), (162, 200), mirrored=True),
            strands([(166, 170), (176, 196)], [(168, 214), (178, 250)], mirrored=True),
        ),
    ),
    "female-long-3": Style(
        "blond", "light", (fall(268, 60),), (cap(50, 57), curtain(130), waves(262, 56))
    ),
    "female-long-4": Style(
        "brown",
        "light",
        (fall(274, 62, 10),),
        (
            cap(48, 58),
            curtain(150, 54),
            shape((150, 96), (186, 120), (196, 172), (178, 186), (162, 168), mirrored=True),
            shape((158, 170), (192, 196), (202, 262), (168, 270), mirrored=True),
            strands(
                [(160, 116), (180, 150), (178, 178)],
                [(170, 196), (184, 226), (182, 260)],
                mirrored=True,
            ),
        ),
    ),
    "female-long-5": Style(
        "auburn", "light", (fall(256, 62),), (cap(52, 56), swept(114), waves(256, 58, 10, 34, 3))
    ),
    "female-curly-1": Style(
        "chestnut",
        "tan",
        (fall(228, 60), curls([(178, 110), (184, 140), (186, 170), (184, 200), (176, 226)], 17)),
        (
            cap(50, 56),
            curls([(168, 112), (170, 142), (172, 172), (168, 202), (128, 64), (148, 76)], 15),
        ),
    ),
    "female-curly-2": Style(
        "black",
        "brown",
        (fall(236, 62),),
        (
            cap(50, 57),
            curls([(130, 62), (150, 74), (166, 94)], 13),
            curls([(164 + 11 * (n % 2), 114 + 13 * n) for n in range(11)], 9),
            curls([(186 - 8 * (n % 2), 120 + 13 * n) for n in range(10)], 9),
        ),
    ),
    "female-curly-3": Style(
        "black",
        "dark",
        (oval(36, 22, 204, 186), curls(wreath((120, 104), 82, 80, 12), 15)),
        (cap(50, 50, 110), curls(wreath((120, 104), 50, 48, 7, 95), 13)),
    ),
    "female-curly-4": Style(
        "auburn",
        "brown",
        (
            oval(56, 40, 184, 200),
            curls([(182, 110), (190, 138), (188, 168), (178, 196), (164, 214)], 16),
        ),
        (
            cap(46, 58),
            curls([(104, 112), (120, 116), (136, 112)], 11, mirrored=False),
            curls([(128, 56), (150, 66), (170, 84), (172, 116), (170, 146)], 14),
        ),
    ),
    "female-styled-1": Style(
        "blond",
        "tan",
        (
            oval(98, 10, 142, 58),
            shape((130, 26), (170, 40), (196, 110), (202, 222), (186, 232), (178, 130), (150, 70)),
        ),
        (cap(56, 49, 108), bun(122, 46, 13), _BACK_LINES),
    ),
    "female-styled-2": Style(
        "black",
        "light",
        (oval(84, 168, 156, 232),),
        (
            cap(58, 49, 108),
            curtain(118),
            strands([(130, 66), (152, 92), (160, 122)], mirrored=True),
        ),
    ),
    "female-styled-3": Style(
        "chestnut",
        "light",
        (),
        (
            cap(54, 51, 108),
            _BACK_LINES,
            shape((158, 96), (174, 120), (176, 184), (160, 178)),
            braid((168, 176), (-3, 17), 7, 13),
        ),
    ),
    "female-styled-4": Style(
        "brown",
        "tan",
        (fall(258, 58, 6), oval(98, 28, 142, 72)),
        (cap(54, 53, 108), bun(120, 48, 17), locks(256, 62, 42, 110), _BACK_LINES),
    ),
    "female-styled-5": Style(
        "ash",
        "light",
        (),
        (
            cap(58, 49, 108),
            bun(74, 58, 21),
            bun(166, 58, 21),
            strands([(120, 58), (120, 96)], dark=True),
            swept(112),
        ),
    ),
    "female-protective-1": Style(
        "black",
        "dark",
        (fall(268, 58),),
        (
            cap(52, 54, 108),
            _CORNROWS,
            *(
                braid((x, 112), (dx, 12.5), 13, 6.5)
                for x, dx in ((74, -1.2), (62, -1), (166, 1.2), (178, 1))
            ),
        ),
    ),
    "female-protective-2": Style(
        "black",
        "brown",
        (oval(92, 160, 148, 250),),
        (
            cap(60, 47, 108),
            _CORNROWS,
            braid((164, 176), (0, 15), 7, 8),
            braid((76, 176), (0, 15), 7, 8),
        ),
    ),
}
