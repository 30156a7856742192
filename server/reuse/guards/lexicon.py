"""Every English word that the guards know, and all they know about it, in one table: one look-up per word of a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from .axes import poles_by_word
from .characters import words
from .names import aliases


@dataclass(slots=True)
class Word:
    """What one lower-case word may mean to a guard, which may be several things; never changed once built."""

    is_function: bool = False
    is_negation: bool = False
    is_implicit_negation: bool = False
    number: int | None = None
    ordinal: int | None = None
    magnitude: int | None = None
    unit: str | None = None
    unit_behind_number: str | None = None
    month: int | None = None
    weekday: int | None = None
    is_doubtful_date: bool = False
    moment: str | None = None
    period: str | None = None
    which_period: str | None = None
    poles: tuple[str, ...] = ()
    name: str | None = None
    leads: str | None = None
    question: str | None = None


NOTHING: Final = Word()

FUNCTION: Final = """
a an the and or of to in on at by for from with as is are was were be been being am do does did done doing have has
had having i me my mine we us our ours you your yours u ur he him his she her hers it its they them their theirs
this that these those there here what which who whom whose when where why how can could will would shall should may
might must if so than then too very just also any some all about into over out up down not no nor get gets got
getting go goes going one ones such only own same more most much many other another each few both between after
before again further once while because but s t re ve ll d m im ive id isn aren wasn didn doesn don won couldn
shouldn wouldn please want wants wanted need needs help tell know find way ways thing things possible make makes
made let like really ever still anyone someone something somebody there's what's who's where's how's when's why's
here's he's she's whats hows whos it's i'm i've i'd i'll you're we're they're that's let's through off until since
during against without within
"""
#: Words by which other languages show themselves; enough of them, and more than English ones, and it is not English.
FOREIGN: Final = """
der das und nicht ist ich wie kann sind ein eine einen mein meine für mit auf von wird warum kein keine el los las que
qué cómo como por para una del está es mi puedo cuál dónde le les des une est pas je mon ma comment pourquoi dans avec
sur vous puis quel quelle il lo gli che non della sono posso perché het een niet hoe kan ik mijn waarom voor naar och
inte är jag hur kan min mitt nie jest jak czy się não é meu minha posso você com jeg ikke hvordan og ve bir nasıl
değil için quiero hola ne sans nunca jamais sin mais sehr wir ohne nach
"""

NEGATIONS: Final = """
not no never without none cannot nor neither nothing nobody nowhere hardly barely scarcely unable except excluding
cant dont doesnt didnt isnt arent wasnt werent couldnt wont wouldnt shouldnt havent hasnt hadnt aint mustnt neednt
nope w/o
"""
#: Words that say "not" without saying it: beside a plain negation in the other text they are no contradiction.
IMPLICIT_NEGATIONS: Final = """
fail fails failed failing failure failures broken break breaks missing lack lacks lacking lost decline declined
declines reject rejected rejects deny denied refuse refused refuses impossible unable stopped stop stops error errors
problem problems issue issues trouble pending blocked block unavailable absent prevent prevents avoid stuck wrong
incorrect invalid disappeared forgot forgotten refusing unsuccessful delay delayed late waiting instead reverted
cancelled canceled
"""

SMALL: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety"
ORDINALS: Final = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth"
)
MAGNITUDES: Final = {
    "hundred": 2, "hundreds": 2, "thousand": 3, "thousands": 3, "lakh": 5, "lakhs": 5, "lac": 5, "million": 6,
    "millions": 6, "mn": 6, "mio": 6, "crore": 7, "crores": 7, "billion": 9, "billions": 9, "bn": 9, "trillion": 12,
    "trillions": 12,
}  # fmt: skip
ROMAN: Final = {
    "II": "2", "III": "3", "IV": "4", "VI": "6", "VII": "7", "VIII": "8", "IX": "9", "XI": "11", "XII": "12",
    "XIII": "13", "XIV": "14", "XV": "15", "XVI": "16", "XVII": "17", "XVIII": "18", "XIX": "19", "XX": "20",
    "XXI": "21",
}  # fmt: skip

MONTHS: Final = "january february march april may june july august september october november december"
MONTHS_SHORT: Final = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "sept": 9, "oct": 10, "nov": 11,
    "dec": 12,
}  # fmt: skip
WEEKDAYS: Final = "monday tuesday wednesday thursday friday saturday sunday"
WEEKDAYS_SHORT: Final = {
    "mon": 1, "tue": 2, "tues": 2, "wed": 3, "thu": 4, "thur": 4, "thurs": 4, "fri": 5, "sat": 6, "sun": 7,
}  # fmt: skip
#: Dates only where something beside them says so ("in may", "5 mar"), for they are other words more often.
DOUBTFUL_DATES: Final = "may march mar mon sat sun wed dec jan sep august fri nov"
MOMENTS: Final = {
    "today": "today", "tomorrow": "tomorrow", "yesterday": "yesterday", "tonight": "tonight", "morning": "morning",
    "afternoon": "afternoon", "evening": "evening", "night": "night", "overnight": "night", "noon": "12:00",
    "midday": "12:00", "midnight": "0:00", "weekend": "weekend", "weekends": "weekend", "weekday": "weekday",
    "weekdays": "weekday", "christmas": "christmas", "easter": "easter", "summer": "summer", "winter": "winter",
    "autumn": "autumn", "daily": "every day", "weekly": "every week", "monthly": "every month",
    "quarterly": "every quarter", "yearly": "every year", "annually": "every year", "annual": "every year",
    "hourly": "every hour", "biweekly": "every 2 weeks", "fortnightly": "every 2 weeks", "ago": "ago",
    "nightly": "every night", "weekdaily": "every weekday",
}  # fmt: skip
PERIODS: Final = (
    "second minute hour day night week weekend month quarter year decade century season semester morning evening"
)
WHICH: Final = {
    "last": "last", "previous": "last", "past": "last", "next": "next", "coming": "next", "upcoming": "next",
    "following": "next", "this": "this", "current": "this", "every": "every", "each": "every", "per": "every",
}  # fmt: skip

UNITS: Final = """
millisecond milliseconds ms msec; second seconds secs; minute minutes mins; hour hours hr hrs; day days;
week weeks wk wks; month months mth; year years yr yrs; decade decades; century centuries;
kg kgs kilo kilos kilogram kilograms; gram grams; mg milligram milligrams; mcg microgram;
pound pounds lb lbs gbp sterling £; ounce ounces oz; ton tons; tonne tonnes;
km kms kilometer kilometers kilometre kilometres; meter meters metre metres;
cm cms centimeter centimeters centimetre centimetres; mm millimeter millimeters millimetre; mile miles; yard yards;
foot feet; inch inches; liter liters litre litres; ml milliliter milliliters millilitre; gallon gallons; pint pints;
cup cups; tablespoon tablespoons tbsp; teaspoon teaspoons tsp; byte bytes; kb kilobyte kilobytes;
mb megabyte megabytes; kilobit kilobits kbit; megabit megabits mbit; gigabit gigabits gbit;
terabit terabits tbit; gb gig gigs gigabyte gigabytes; tb terabyte terabytes; pb petabyte petabytes; kbps; mbps;
gbps; hz hertz; khz; mhz; ghz; watt watts; kw kilowatt kilowatts; kwh; volt volts; amp amps ampere amperes; ohm ohms;
joule joules; calorie calories cal; kcal; degree degrees deg; celsius centigrade; fahrenheit; kelvin;
percent percentage pct %; percentile; dollar dollars usd buck bucks $; cent cents; euro euros eur €;
rupee rupees inr rs ₹; yen jpy ¥; yuan rmb cny; krw; peso pesos mxn; franc francs chf; cad; aud; mph; kmh kmph kph;
knot knots; acre acres; hectare hectares; sqft; psi; pascal pascals; dpi; decibel decibels db; newton newtons; fps;
rpm
"""
#: The one unit that its capitals tell from another: "Mb" are bits, and "MB", or "mb", bytes.
BITS: Final = {"Kb": "kilobit", "Mb": "megabit", "Gb": "gigabit", "Tb": "terabit"}
#: Too short to be units anywhere but right behind a number.
UNITS_BEHIND_NUMBER: Final = {
    "m": "meter", "g": "gram", "l": "liter", "s": "second", "sec": "second", "h": "hour", "min": "minute", "d": "day",
    "w": "week", "y": "year", "yo": "year", "c": "celsius", "f": "fahrenheit", "ft": "foot", "in": "inch",
    "t": "tonne", "v": "volt", "a": "amp", "p": "pence", "mi": "mile", "kilo": "kg", "k": "kelvin",
}  # fmt: skip

#: Words that put what stands before and behind them into an order, by the kind of order; "<" turns it round, so that
#: "from a to b" and "to b from a" say the same.
LEADS: Final = {
    "to": "to>", "into": "to>", "onto": "to>", "from": "to<", "than": "than>", "over": "over>", "under": "over<",
    "before": "time>", "after": "time<", "against": "against>", "minus": "minus>", "of": "of>", "in": "in>",
    "on": "on>", "at": "at>", "for": "for>", "with": "with>", "without": "without>",
}  # fmt: skip
QUESTIONS: Final = {
    "who": "who", "whom": "who", "whose": "who", "when": "when", "where": "where", "why": "why", "how": "how",
    "what": "what", "which": "what", "is": "yes", "are": "yes", "do": "yes", "does": "yes", "did": "yes", "can": "yes",
    "could": "yes", "will": "yes", "would": "yes", "should": "yes", "has": "yes", "have": "yes", "was": "yes",
    "were": "yes", "am": "yes", "may": "yes",
}  # fmt: skip
MEASURES: Final = frozenset(words("many much long old far often big tall fast"))


@cache
def lexicon() -> dict[str, Word]:
    """Build the table, once, when a text is first read."""
    table: dict[str, Word] = {}

    def word(spelling: str) -> Word:
        return table.setdefault(spelling, Word())

    for spelling in FUNCTION.split():
        word(spelling).is_function = True
    for spelling in NEGATIONS.split():
        word(spelling).is_negation = True
    for spelling in IMPLICIT_NEGATIONS.split():
        word(spelling).is_implicit_negation = True
    _add_numbers(word)
    _add_dates(word)
    for group in UNITS.split(";"):
        spellings = group.split()
        for spelling in spellings:
            word(spelling).unit = spellings[0]
    for spelling, unit in UNITS_BEHIND_NUMBER.items():
        word(spelling).unit_behind_number = unit
    for spelling, poles in poles_by_word().items():
        word(spelling).poles = poles
    for spelling, thing in aliases().items():
        word(spelling).name = thing
    for spelling, direction in LEADS.items():
        word(spelling).leads = direction
    for spelling, question in QUESTIONS.items():
        word(spelling).question = question
    return table


def _add_numbers(word: Callable[[str], Word]) -> None:
    for value, spelling in enumerate(SMALL.split()):
        word(spelling).number = value
    for tens, spelling in enumerate(TENS.split(), start=2):
        word(spelling).number = 10 * tens
    for value, spelling in enumerate(ORDINALS.split(), start=1):
        word(spelling).ordinal = value
    for spelling, power in MAGNITUDES.items():
        word(spelling).magnitude = power


def _add_dates(word: Callable[[str], Word]) -> None:
    for number, spelling in enumerate(MONTHS.split(), start=1):
        word(spelling).month = number
    for spelling, number in MONTHS_SHORT.items():
        word(spelling).month = number
    for number, spelling in enumerate(WEEKDAYS.split(), start=1):
        word(spelling).weekday = number
        word(spelling + "s").weekday = number
    for spelling, number in WEEKDAYS_SHORT.items():
        word(spelling).weekday = number
    for spelling in DOUBTFUL_DATES.split():
        word(spelling).is_doubtful_date = True
    for spelling, moment in MOMENTS.items():
        word(spelling).moment = moment
    for spelling in PERIODS.split():
        word(spelling).period = spelling
        word(spelling + "s").period = spelling
    for spelling, which in WHICH.items():
        word(spelling).which_period = which
