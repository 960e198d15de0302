"""What a text speaks of beyond its labels: limits by name and by description, and texts in disguise."""

from __future__ import annotations

import pytest

from db.activities.words import (
    anatomy_in,
    limits_in,
    plain,
    problems_of_language,
    refused_term,
    speaks_of_any,
    unnamed_matters,
)

from .test_activities import BANK


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        # By name.
        ("Spank {partner} three times.", "impact"),
        ("Tie the hands of {partner} together.", "restraint"),
        ("Choke {partner} a little.", "breath"),
        ("Insult {partner} until they blush.", "degradation"),
        ("Do it where a stranger could look in.", "public"),
        ("Record what {partner} says next.", "recording"),
        ("Tell {partner} about anal play.", "anal"),
        ("Talk about a golden shower with {partner}.", "watersports"),
        # By description.
        ("Let your open palm land on the behind of {partner}.", "impact"),
        ("Swat {partner} on the bottom with a rolled towel.", "impact"),
        ("Give the bare rear of {partner} three firm pats with a ruler.", "impact"),
        ("Leave a handprint on {partner} that stays for a minute.", "impact"),
        ("Pull the hair of {partner} until they look up.", "impact"),
        ("Wrap your silk belt around the ankles of {partner}.", "restraint"),
        ("Hold both wrists of {partner} above their head.", "restraint"),
        ("Keep {partner}'s hands behind their back while you kiss.", "restraint"),
        ("Put a scarf over {partner}'s eyes and lead them.", "restraint"),
        ("Pin {partner} down with your knees for a minute.", "restraint"),
        ("{partner} may not move while you count to ten.", "restraint"),
        ("Rest your fingers around the neck of {partner} and press until they tap.", "breath"),
        ("Put your hand on {partner}'s neck and tighten it slowly.", "breath"),
        ("Hold {partner}'s breath for them with your hand.", "breath"),
        ("Cover the mouth and the nose of {partner} for a moment.", "breath"),
        ("Call {partner} a bad girl until they laugh.", "degradation"),
        ("Have {partner} crawl to you and beg.", "degradation"),
        ("Treat {partner} like a piece of furniture for a while.", "degradation"),
        ("Undress with the curtains open and the lights on.", "public"),
        ("Kiss {partner} on the balcony, long and slow.", "public"),
        ("Touch {partner} where other people could watch, where anybody might come in.", "public"),
        ("Film a short clip of {partner} on your phone while they undress.", "recording"),
        ("Take a picture of {partner} in this light.", "recording"),
        ("Send {partner} a voice message with your wishes.", "recording"),
        ("Put the camera on and dance for it.", "recording"),
        ("Slide a finger into the back door of {partner}.", "anal"),
        ("Let your tongue wander between the cheeks of {partner}.", "anal"),
        ("Take {partner} from behind, as slowly as you can.", "anal"),
        ("Drink a lot and do not go to the toilet until {partner} lets you.", "watersports"),
        # In disguise.
        ("S p a n k {partner} as they like it.", "impact"),
        ("s.p.a.n.k the one whom you love", "impact"),
        ("S-P-A-N-K them now", "impact"),
        ("Sp ank {partner} twice.", "impact"),
        ("ｓｐａｎｋ {partner} twice.", "impact"),
        ("s\u200bp\u200ba\u200bn\u200bk {partner} twice.", "impact"),
        ("s\u0336p\u0336a\u0336n\u0336k\u0336 {partner} twice.", "impact"),
        ("Ⓢⓟⓐⓝⓚ {partner} twice.", "impact"),
    ],
)  # fmt: skip
def test_a_limit_is_found_by_its_names_and_by_descriptions(text: str, limit: str) -> None:
    assert limit in limits_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "ꜱᴘᴀɴᴋ {partner} twice for me.",
        "Sраnk {partner} twice for me.",
        "🆂🅿🅰🅽🅺 {partner} twice for me.",
        "𝐒𝐩𝐚𝐧𝐤 {partner} twice for me.",
        "s\u200bpank {partner} twice for me.",
        "Sp4nk {partner} twice for me.",
        "Отшлёпай {partner} два раза.",
        "按摩 {partner} 的肩膀。",
        "Fessle {partner} mit einem Schal ans Bett.",
        "Fessle {partner} fest ans Bett.",
        "Embrasse {partner} dans le cou pendant une minute.",
        "Besa el cuello de {partner} muy despacio.",
        "Bacia lentamente il collo di {partner}.",
        "Beije o pescoço de {partner} com calma.",
        "Kus {partner} langzaam in de nek.",
    ],
)
def test_what_is_no_plain_english_is_told(text: str) -> None:
    assert list(problems_of_language(text)) != []


@pytest.mark.parametrize(
    "text",
    [
        "Say “naïve” in a café, please…",
        "Count to 10, then to the 3rd number after it.",
        "{partner}’s turn: what don’t you say?",
    ],
)
def test_accents_figures_and_quotation_marks_are_english(text: str) -> None:
    assert list(problems_of_language(text)) == []


def test_a_text_in_its_plain_form() -> None:
    assert plain("  Ｃafé\u200b  N A K E D and I. ") == "cafe naked and i."
    assert refused_term("N.a.k.e.d, for once", "G") == "naked"
    assert refused_term("Make love to {partner}.", "R") == "make love"
    assert anatomy_in("Her b r e a s t s and his Penis") == {"breasts", "penis"}


@pytest.mark.parametrize(
    ("text", "label", "matter"),
    [
        ("Take {partner} into your mouth until they sigh.", "B1b", "oral"),
        ("Go down on {partner} for as long as they like.", "B2b", "oral"),
        ("Suck on whatever {partner} offers you.", "B26", "oral"),
        ("Let your tongue follow the line of their hip.", "B1b", "oral"),
        ("Wander with your lips along their thighs.", "B2b", "oral"),
        ("Sit on {partner}'s face for a minute.", "B28", "oral"),
        ("Touch yourself while {partner} counts to twenty.", "B19", "oneself"),
        ("Play with yourself under the blanket.", "B24a", "oneself"),
        ("Pleasure yourselves side by side, I mean pleasure yourself.", "B1a", "oneself"),
        ("Make {partner} come with your hand.", "B1b", "climax"),
        ("Bring {partner} close to the edge, then let them over the edge.", "B5b", "climax"),
        ("Finish {partner} off slowly.", "B28", "climax"),
        ("Massage {partner} until they come.", "B1b", "climax"),
        ("End the massage with a happy ending.", "B1b", "climax"),
        ("Ride {partner} on the sofa.", "B28", "intercourse"),
        ("Slide two fingers inside {partner}.", "B1b", "intercourse"),
        ("Make love to {partner} while the song plays.", "B31", "intercourse"),
        ("Be on top of {partner} until the end.", "B30", "intercourse"),
        ("Kiss {partner} between the legs.", "B2b", "intimate_parts"),
        ("Rub their crotch with your knee.", "B1b", "intimate_parts"),
        ("Let your hand glide into {partner}'s underwear.", "B1b", "intimate_parts"),
        ("Unzip their trousers and wait.", "B19", "intimate_parts"),
        ("Stroke the penis of {partner} with oil.", "B1b", "intimate_parts"),
        ("Undress completely and lie down.", "B19", "undressing"),
        ("Take the shirt of {partner} off with your teeth.", "B1b", "undressing"),
        ("Dance naked to a whole song.", "B28", "undressing"),
        ("Use a vibrator on {partner} through their clothes.", "B1b", "toys"),
        ("Choose a toy and use it on {partner}.", "B5b", "toys"),
        ("Straddle {partner} and breathe together.", "B1b", "grinding"),
        ("Grind against {partner} to the music.", "B2a", "grinding"),
        ("Drip warm wax on their chest.", "B5b", "wax"),
        ("Kneel before {partner} and wait.", "B1a", "obedience"),
        ("Do whatever {partner} orders for a minute.", "B1b", "obedience"),
        ("Beg {partner} for another minute.", "B1a", "obedience"),
    ],
)
def test_what_no_item_of_a_text_asks_for_is_told(text: str, label: str, matter: str) -> None:
    assert matter in unnamed_matters(text, "DARE", [label])


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Take {partner} into your mouth until they sigh.", ["B11b"]),
        ("Touch yourself while {partner} counts to twenty.", ["B25a"]),
        ("Undress completely and lie down.", ["B24a"]),
        ("Drip warm wax on their chest.", ["B9b"]),
        ("Kneel before {partner} and wait.", ["B17a"]),
        ("Whisper what gives you an orgasm.", ["B31"]),
        ("Come to {partner} and kiss them.", ["B2b"]),
        ("Take turns with a massage.", ["B1a"]),
    ],
)
def test_what_an_item_of_a_text_asks_for_may_be_said(text: str, labels: list[str]) -> None:
    assert list(unnamed_matters(text, "DARE", labels)) == []


def test_a_truth_may_speak_of_what_nobody_is_told_to_do() -> None:
    text = "Where would you make love with {partner}?"
    assert list(unnamed_matters(text, "TRUTH", ["B30"])) == []
    assert list(unnamed_matters(text, "DARE", ["B30"])) == ["intercourse"]
    assert list(unnamed_matters(text, "TRUTH", ["B1a"])) == ["intercourse"]


@pytest.mark.parametrize(
    ("text", "labels", "speaks"),
    [
        ("Do to {partner} what they have longed for all week.", ["B1b"], False),
        ("Give {partner} the evening that they never dared to ask about.", ["B5b"], False),
        ("Show {partner} no mercy for a minute.", ["B1b"], False),
        ("Let {partner} have their way with you.", ["B28"], False),
        ("Spend the next minute as {partner} would in their wildest hour.", ["B16b", "restraint"], False),
        ("Let {partner} have all of you.", ["A3"], False),
        ("Let {partner} have all of you.", [], False),
        ("Massage {partner}'s feet for a minute.", ["B1b"], True),
        ("Massage {partner}'s feet for a minute.", ["B5b", "B1b"], True),
        ("Tie {partner}'s hands with a scarf.", ["restraint"], True),
        ("Tie {partner}'s hands with a scarf.", ["recording"], False),
    ],
)  # fmt: skip
def test_a_text_has_words_of_what_it_names(text: str, labels: list[str], speaks: bool) -> None:
    assert speaks_of_any(text, labels) is speaks


def test_bundled_texts_say_what_they_name_and_nothing_else() -> None:
    for one in BANK:
        assert list(unnamed_matters(one["text"], one["kind"], one["preference_keys"])) == [], one
        named = [*one["preference_keys"], *one["limit_keys"]]
        if one["level"] == "X" and named:
            assert speaks_of_any(one["text"], named), one


def test_bundled_texts_say_no_more_than_their_labels() -> None:
    for one in BANK:
        text = one["text"]
        assert limits_in(text) <= {*one["limit_keys"]}, text
        assert refused_term(text, one["level"]) is None, text
        assert list(problems_of_language(text)) == [], text
        assert anatomy_in(text) <= {*one["needs_anatomy_active"], *one["needs_anatomy_partner"]}
