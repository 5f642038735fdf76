"""Extracts the name of an ingredient from a recipe line, without quantity, unit, brackets and preparation."""

from __future__ import annotations

import html
import re

from r4t_ray.catalogue.queries.words import has_other_script

UNITS = frozenset(
    """
    bag bags bottle bottles bowl box boxes bunch bunches can canned cans carton cartons centimeter centimeters cl clove
    cloves cm container containers cube cubes cup cups dash dashes dessertspoon dl drop drops ear ears ea each envelope
    envelopes fl fluid g gallon gallons gram grams handful handfuls head heads inch inches jar jars kg kilogram
    kilograms kilo kilos knob l lb lbs leaf liter liters litre litres loaf mg milliliter milliliters millilitre ml mm
    ounce ounces oz pack package packages packet packets pat piece pieces pinch pinches pint pints pkg pound pounds
    part parts pcs pouch quart quarts qt rib ribs sachet scoop scoops sheet sheets slice slices splash sprig sprigs
    stalk stalks stick sticks strip strips tablespoon tablespoons tbs tbsp tbsps teaspoon teaspoons tsp tsps tin tins
    tub uk us c t x kgs gm gms degrees f
    """.split()  # noqa: SIM905 - a list of quoted words is longer and reads worse
)
FILLERS = frozenset(
    """
    a an about additional an approx approximately around another at bit coarse coarsely cold cooked crumbled crushed
    cubed diced drained extra few finely firmly fresh freshly frozen good grated half halved heaped heaping hot
    juiced julienned large least level lightly little lots lukewarm mashed medium melted minced more of optional
    packed peeled pitted plenty plus quality quartered quite ripe rinsed room roughly rounded scant separated
    shelled shredded sifted size sized sliced slightly small soaked softened some temperature thawed the thick thickly
    thin thinly toasted torn trimmed uncooked up very warm washed well whole your beaten boiled boneless skinless
    chopped cut deveined generous quick lean
    """.split()  # noqa: SIM905 - as above
)
CUT = re.compile(
    r"\s+(?:to taste|for|or|such as|plus|as|like|cut|if|in|into|at|until|from|on|that|which|per|about|depending"
    r"|preferably)\b.*"
)
BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
QUANTITY = re.compile(r"[\d¼½¾⅓⅔⅛⅜⅝⅞⅕⅙/.,⁄×%–—\-]*\d[\w¼½¾⅓⅔⅛⅜⅝⅞⅕⅙/.,⁄×%–—\-]*|[¼½¾⅓⅔⅛⅜⅝⅞⅕⅙]+")
MAX_WORDS = 5


def clean_ingredient(line: str) -> str | None:
    """The name of the ingredient in a recipe line, in lower case; None if the line has no name.

    >>> clean_ingredient("1½ cups freshly grated Parmesan cheese (about 4 oz), divided")
    'parmesan cheese'
    >>> clean_ingredient("2 tablespoons") is None
    True
    """
    text = html.unescape(line).lower().replace("®", "").replace("™", "").replace("’", "'")
    while BRACKETS.search(text):
        text = BRACKETS.sub(" ", text)
    text = QUANTITY.sub(" ", text)
    parts = (_name(part) for part in re.split(r"[,;:(\[]|\s[-–—]\s", text))
    return next((name for name in parts if name), None)


def _name(text: str) -> str | None:
    text = CUT.sub("", " " + text + " ")
    words = [word.strip(".*'\"!?&+/-–—)]") for word in text.split()]
    kept = [word for word in words if word and word not in FILLERS]
    while kept and (kept[0] in UNITS or kept[0] in ("and", "to", "with")):
        kept.pop(0)
    while kept and kept[-1] in ("and", "to", "with", "cloves", "leaves", "pieces", "only"):
        kept.pop()
    name = " ".join(kept[:MAX_WORDS])
    return name if re.search(r"[^\W\d_]{2}", name) or has_other_script(name) else None
