"""Patterns of what points at somebody or opens something: addresses, numbers of people, things and accounts, secrets.

A net with holes, in front of a mechanism that does not rely on it. Names of persons are not detected (only titles and
"my name is" are); nor are facts that identify someone without any pattern. Every pattern has bounded repeats, so that
its time is linear in the text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from typing import Final

_TLD: Final = (
    "com|org|net|edu|gov|mil|int|info|biz|io|ai|app|dev|co|me|tv|cc|xyz|online|site|shop|store|cloud|tech|eu|uk|us|ca|"
    "au|nz|ie|de|fr|it|es|nl|be|ch|at|se|no|dk|fi|pl|cz|pt|gr|ru|ua|cn|jp|kr|in|br|mx|za|tr|il|onion|local|internal"
)
#: Frameworks whose names end like a domain.
_NO_DOMAIN: Final = r"(?!(?:asp|vb|ado|socket|draw|paint)\.(?:net|io)\b)"
_STREET: Final = "street|avenue|ave|road|rd|lane|ln|boulevard|blvd|terrace|crescent|highway|hwy|parkway|pkwy"
#: Streets whose words mean much else: taken for one where they are written as names are.
_STREET_AS_NAME: Final = "St|Way|Close|Court|Ct|Drive|Dr|Square|Sq|Place"
_MONTH: Final = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]{0,6}"

EMAIL: Final = re.compile(
    r"[\w.+-]{1,64}\s?(?:@|\(at\)|\[at\])\s?[\w-]{1,63}(?:\.|\s?\(dot\)\s?|\s?\[dot\]\s?)[\w-]{2,63}", re.I
)
URL: Final = re.compile(
    rf"\b[a-z][a-z0-9+.-]{{1,15}}://|\bwww\.\w|\bmailto:|\b{_NO_DOMAIN}[a-z0-9-]{{2,63}}(?:\.[a-z0-9-]{{1,63}}){{0,4}}"
    rf"\.(?:{_TLD})\b(?!\.?\w)",
    re.I,
)
IBAN: Final = re.compile(r"\b[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11,30}\b")
CARD: Final = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
IP: Final = re.compile(
    r"(?<![\d.])(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\d.]\d)|"
    r"(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{1,4}(?![\w:])|(?<![\w:])(?:[0-9a-f]{1,4}:){1,6}:[0-9a-f]{0,4}(?![\w:])|"
    r"(?<!\w)(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?!\w)",
    re.I,
)
PHONE: Final = re.compile(r"(?<![\w.])(?:\+|00)?\(?\d{1,4}\)?(?:[ ./-]{0,2}\(?\d{1,5}\)?){2,7}(?!\w)")
YEARS: Final = re.compile(r"(?:19|20)\d{2} ?[-/] ?(?:19|20)\d{2}")
SOCIAL_NUMBER: Final = re.compile(r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)")
UUID: Final = re.compile(r"\b[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\b", re.I)
LONG_NUMBER: Final = re.compile(r"\d(?:[ ]?\d){4,30}")
#: Letters and digits in one word, as tickets, bookings, plates and parts are numbered.
MIXED_NUMBER: Final = re.compile(r"(?<!\w)(?=[A-Za-z#-]{0,12}\d)(?=[\d#-]{0,12}[A-Za-z])[A-Za-z\d#-]{6,24}(?!\w)")
HANDLE: Final = re.compile(r"(?<![\w@/])@[A-Za-z_]\w{2,30}")
DATE: Final = re.compile(
    rf"(?<!\d)(?:\d{{4}}([-/.])\d{{1,2}}\1\d{{1,2}}|\d{{1,2}}([-/.])\d{{1,2}}\2(?:19|20)?\d{{2}})(?!\d)|"
    rf"\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH},? (?:19|20)\d{{2}}\b|"
    rf"\b{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d{{2}}\b",
    re.I,
)
ADDRESS: Final = re.compile(
    rf"\b\d{{1,5}}[a-z]? (?:[a-z.'-]{{2,20}} ){{1,3}}(?:{_STREET})\b|"
    r"\b[a-z]{3,20}(?:strasse|straße|weg|platz) \d{1,4}\b|\bp\.? ?o\.? box \d|"
    r"[-+]?\d{1,3}\.\d{4,15}, ?[-+]?\d{1,3}\.\d{4,15}",
    re.I,
)
NAMED_ADDRESS: Final = re.compile(
    rf"\b\d{{1,5}} (?:[A-Z][a-z'-]{{1,20}} ){{1,3}}(?:{_STREET_AS_NAME})\b|\b[A-Z]{{1,2}}\d[A-Z\d]? \d[A-Z]{{2}}\b"
)
PATH: Final = re.compile(r"(?<![\w.])(?:/(?:home|users|var|etc|srv|mnt|opt|root)/\w|[a-z]:\\\w|\\\\\w{1,40}\\)", re.I)
NAME: Final = re.compile(
    r"\b(?:my|his|her) (?:full )?name is \w|\bi am called \w|\b(?:Mr|Mrs|Ms|Miss|Mx)\.? [A-Z][a-z]+\b"
)
SECRET: Final = re.compile(
    r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[A-Za-z0-9]{12}|\bgh[pousr]_[A-Za-z0-9]{16}|\bAKIA[A-Z0-9]{8}|"
    r"\bxox[abprs]-|\beyJ[A-Za-z0-9_-]{8}|-----BEGIN |\bssh-(?:rsa|ed25519) |\bglpat-|\bAIza[\w-]{16}|\bhf_[A-Za-z]{16}|"
    r"\b(?:password|passwd|passcode|pwd|pin|api[ _-]?key|secret|token|access code)"
    r"(?:\s{0,2}[:=]\s{0,2}\S|\s{1,2}(?:is|was)\s{1,2}(?=\S{0,30}[\d!#$%&*@])\S{4})",
    re.I,
)
#: Fewer digits than any country's account numbers have; words that begin like one have none.
IBAN_DIGITS_MIN: Final = 10
SECRET_CHARACTERS_MIN: Final = 16
SECRET_BITS_MIN: Final = 3.2


def find_personal(text: str) -> str | None:
    """Return what *text* (as a reader sees it) seems to hold, or None: `email`, `url`, `iban`, `card`, `ip`, `secret`,
    `id`, `date`, `address`, `phone`, `handle`, `path`, `name`.
    """
    if EMAIL.search(text):
        return "email"
    if URL.search(text):
        return "url"
    if any(is_iban(found.group()) for found in IBAN.finditer(text)):
        return "iban"
    if any(is_card(found.group()) for found in CARD.finditer(text)):
        return "card"
    if IP.search(text):
        return "ip"
    if SECRET.search(text) or any(is_secret(word) for word in text.split()):
        return "secret"
    if SOCIAL_NUMBER.search(text) or UUID.search(text):
        return "id"
    if DATE.search(text):
        return "date"
    if ADDRESS.search(text) or NAMED_ADDRESS.search(text):
        return "address"
    if any(is_phone(found.group()) for found in PHONE.finditer(text)):
        return "phone"
    if any(is_long_number(found.group()) for found in LONG_NUMBER.finditer(text)):
        return "id"
    if any(is_mixed_number(found.group()) for found in MIXED_NUMBER.finditer(text)):
        return "id"
    for reason, pattern in (
        ("handle", HANDLE),
        ("path", PATH),
        ("name", NAME),
    ):
        if pattern.search(text):
            return reason
    return None


def is_card(text: str) -> bool:
    """Say whether the digits of *text* satisfy Luhn's check (ISO/IEC 7812-1), with 13 to 19 of them."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [2 * digit - 9 * (digit > 4) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """Say whether some first part of *text* is an account number whose check digits hold (ISO 13616: 1 modulo 97)."""
    value = text.replace(" ", "").upper()
    if not value.isascii() or not value.isalnum() or sum(character.isdigit() for character in value) < IBAN_DIGITS_MIN:
        return False
    return any(_is_one_modulo_97(value[:length]) for length in range(15, min(34, len(value)) + 1))


def _is_one_modulo_97(value: str) -> bool:
    return int("".join(str(int(character, 36)) for character in value[4:] + value[:4])) % 97 == 1


def is_phone(text: str) -> bool:
    """Say whether *text* has the digits of a telephone number: 7 to 15 in groups (9 if only slashes part them)."""
    digits = sum(character.isdigit() for character in text)
    if text.startswith(("+", "00")):
        return digits >= 7
    if YEARS.fullmatch(text.strip()):
        return False
    grouped = any(character in " .-()" for character in text.strip())
    return 7 <= digits <= 15 and (grouped or digits >= 9)


def is_long_number(text: str) -> bool:
    """Say whether *text* is a number of five digits or more that is not a round one ("250000" is a quantity)."""
    digits = text.replace(" ", "")
    return len(digits) > 12 or bool(digits[2:].strip("0"))


def is_mixed_number(word: str) -> bool:
    """Say whether *word* mixes letters with at least four digits, or changes between the two three times or more."""
    digits = sum(character.isdigit() for character in word)
    plain = [character for character in word if character.isalnum()]
    changes = sum(a.isdigit() != b.isdigit() for a, b in pairwise(plain))
    return digits >= 5 or (digits >= 3 and changes >= 3)


def is_secret(word: str) -> bool:
    """Say whether *word* is long, mixes kinds of characters, and is spelled with nearly as much chance as a key is."""
    word = word.strip("\"'`.,;:()[]{}<>")[:256]
    if len(word) < SECRET_CHARACTERS_MIN or not word.isascii():
        return False
    kinds = [any(test(c) for c in word) for test in (str.islower, str.isupper, str.isdigit)]
    is_hexadecimal = all(character in "0123456789abcdefABCDEF" for character in word)
    return entropy_bits(word) >= SECRET_BITS_MIN and (all(kinds) or (is_hexadecimal and kinds[2]))


def entropy_bits(word: str) -> float:
    """Return the Shannon entropy of the characters of *word*, in bits per character."""
    total = len(word)
    return -sum(count / total * math.log2(count / total) for count in Counter(word).values()) if total else 0.0
