"""What an answer must not hold to become everybody's: links, markup, escapes, calls of tools, ways to reach someone.

Answers of the pool are made anew by a runner from a released text; this check stands behind that, because whoever
reads one did not choose the model that wrote it, and may show it in a page, a terminal or an agent.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Final

from privacy.personal import CARD, EMAIL, IBAN, PHONE, SECRET, URL, is_card, is_iban, is_phone, is_secret

ANSWER_CHARACTERS_MIN: Final = 1
ANSWER_CHARACTERS_MAX: Final = 8_000
ANSWER_LINES_MAX: Final = 200
#: JSON values that are looked at for a call, and how deep.
CALLS_MAX: Final = 64

MARKDOWN_LINK: Final = re.compile(
    r"!?\[[^\]\n]{0,300}\]\s?\(|!?\[[^\]\n]{0,300}\]\[[^\]\n]{0,100}\]|^\s{0,3}\[[^\]\n]{1,100}\]:", re.M
)
HTML: Final = re.compile(r"<[/!?]?[a-z][a-z0-9:-]{0,30}(?=[\s/>]|$)|<!--|&#x?[0-9a-f]{1,6};|&(?:lt|gt|quot|amp);", re.I)
SCRIPT: Final = re.compile(r"(?:javascript|vbscript|data)\s{0,4}:\s{0,4}\S|\bon[a-z]{3,20}\s{0,4}=\s{0,4}[\"']", re.I)
TEMPLATE: Final = re.compile(
    r"<\||\|>|\[/?INST\]|<<SYS>>|\[TOOL_CALLS?\]|</?tool_|\bfunction_call\b|\btool_calls?\b", re.I
)
CALL_NAMES: Final = frozenset(("name", "function", "tool", "tool_name", "action", "recipient_name"))
CALL_ARGUMENTS: Final = frozenset(("arguments", "args", "parameters", "input", "action_input", "tool_input"))
JSON_START: Final = re.compile(r"[{\[]")


def refuse_answer(text: str) -> str | None:
    """Return None when *text* may be the pool's answer, else the reason why not.

    Reasons: `answer_empty`, `answer_too_long`, `answer_control` (escapes, direction marks, invisible characters),
    `answer_url`, `answer_markdown_link`, `answer_html`, `answer_script`, `answer_tool_call`, `answer_contact`,
    `answer_secret`. Time is linear in the text, of which nothing beyond `ANSWER_CHARACTERS_MAX` is looked at.
    """
    if len(text.strip()) < ANSWER_CHARACTERS_MIN:
        return "answer_empty"
    if len(text) > ANSWER_CHARACTERS_MAX or text.count("\n") >= ANSWER_LINES_MAX:
        return "answer_too_long"
    if has_control_characters(text):
        return "answer_control"
    seen = unicodedata.normalize("NFKC", text)
    for reason, pattern in (("answer_markdown_link", MARKDOWN_LINK), ("answer_script", SCRIPT), ("answer_html", HTML)):
        if pattern.search(seen):
            return reason
    if TEMPLATE.search(seen) or holds_call(seen):
        return "answer_tool_call"
    if EMAIL.search(seen) or any(is_phone(found.group()) for found in PHONE.finditer(seen)):
        return "answer_contact"
    if URL.search(seen):
        return "answer_url"
    return "answer_secret" if _holds_secret(seen) else None


def has_control_characters(text: str) -> bool:
    """Say whether *text* holds a character that is not shown as one: any control but tab and line feed, and formats."""
    return any(
        unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") and character not in "\n\t"
        for character in text
    )


def holds_call(text: str) -> bool:
    """Say whether a JSON value in *text* has the shape of a call of a tool: a name beside arguments.

    Looks at the first `CALLS_MAX` places where a value could begin; a text with more of them is taken for one with a call.
    """
    decoder = json.JSONDecoder()
    for number, start in enumerate(JSON_START.finditer(text)):
        if number == CALLS_MAX:
            return True
        try:
            value, _ = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        if _is_call(value):
            return True
    return False


def _is_call(value: object) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(
        isinstance(one, dict) and not CALL_NAMES.isdisjoint(one) and not CALL_ARGUMENTS.isdisjoint(one)
        for one in values
    )


def _holds_secret(seen: str) -> bool:
    return (
        SECRET.search(seen) is not None
        or any(is_secret(word) for word in seen.split())
        or any(is_card(found.group()) for found in CARD.finditer(seen))
        or any(is_iban(found.group()) for found in IBAN.finditer(seen))
    )
