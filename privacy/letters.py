"""What English words are made of: the commonest ones, and how letters follow each other in all others.

The table holds, for the start of a word and then each letter a to z, the cost in bits (one hexadecimal digit) of what
follows: a to z, then the end of the word. It was counted over the distinct words of the Python documentation that the
standard library carries (`pydoc_data.topics`, each word weighted 1 + ln of its count, 0.3 added to every count).
"""

from __future__ import annotations

from typing import Final

ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz"
FOLLOWING_BITS: Final = (
    "45344566497555549434565988e",
    "e445986b5e6353e5b34266886a6",
    "37573bbb35b29946b4464bbb4b5",
    "3d5a3dd44d549a29a5734ddd7d5",
    "68a62ddd3dd6b95dd85958bd7d1",
    "584365788cc553a57335b6757e3",
    "49bb348b2b84bb38b4954bbb5b4",
    "588c39654cc58468c4575ccccc1",
    "2bbb2bb93bb8793bb6758bbb7b3",
    "5645555eae855236a643e5e7e68",
    "577717777777775777772777772",
    "5a7a28683aa7a685aa3a5a5aaa2",
    "3a85289d3da39d38d955579d3d3",
    "259a2acc4c9a5843c96c5ccc7c4",
    "494447285b978758ea4366ae7a3",
    "7655776d7d654254d3554559a95",
    "3ca73ac65ca3a834c2546ccc6c4",
    "888888888888888888881888884",
    "3865276a3d875647d544688d6d3",
    "6e5b38b54e868955ae434e9e6e1",
    "497929e42ee6a958e4456a8e6e3",
    "4446585c5ca34374c333cccccc7",
    "2bbb1bbb2bbb7b4bbb999bbbbb7",
    "3aa73aa33aa6a53aa45aaaaaaa3",
    "4a373aa73aaaaa73aa73aa747a3",
    "bb6b6bbb5bb86464bb54b86bbb1",
    "288818883888885888688888684",
)
_COMMON: Final = """
    a about above account across actually after again against ago all almost along already also always am among an
    and another any anybody anyone anything app are aren't around as ask at away back bad be became because become
    been before behind being below best better between big bit both bring but buy by call called came can can't
    cannot cause change code come company computer cost could couldn't country create data day days did didn't
    difference different do does doesn't doing don't done down during each easy eat effect either else email enough
    even ever every everyone everything example explain fast feel few file find first for free from full gave get
    gets getting give given go goes going good got great had hadn't hard has hasn't have haven't having he he's
    hello help her here hi high him his home house how how's however i i'd i'll i'm i've id idea if important in
    instead into is isn't it it'd it's its job just keep kind know known language large last learn learning least
    less let let's life like list little live long look lost lot low made main make makes making man many market may
    me mean meaning means men method might money more most much must mustn't my name names near necessary need never
    new next no north not nothing now number of off often old on once one online only open or order other others our
    out over own page part pay people person phone place possible power price problem process public put question
    quite rather read real really result right room run safe said same say school see seem seen service set several
    shall she she's short should shouldn't show side sign simple since site size small so some someone something
    sometimes soon start started state still stop story student students study such sure system table take taken
    team tell text than that that'd that's the their them themselves then there there's these they they'll they're
    thing things think this those though through time times to today together too took top total true try trying
    turn two type types under until up us use used useful uses using very via want wants was wasn't water way ways
    we we're we've website week well went were weren't what what's when where whether which while who who's whom
    whose why will with within without woman women won't word words work working works world worst would wouldn't
    write wrong year years yes yet you you'll you're you've your yourself
"""
COMMON_WORDS: Final = frozenset(_COMMON.split())
#: What a letter outside the alphabet costs.
STRANGER_BITS: Final = 15

_ROWS: Final = dict(zip("^" + ALPHABET, FOLLOWING_BITS, strict=True))
_COLUMNS: Final = {letter: column for column, letter in enumerate(ALPHABET + "$")}


def spelling_cost(word: str) -> float:
    """Return the mean cost per step, in bits, of spelling *word* (lower case) from its start to its end.

    English words of six letters lie near 3.5, random letters near 7. 0.0 for the empty word.
    """
    if not word:
        return 0.0
    steps = zip("^" + word, word + "$", strict=True)
    return sum(_step_bits(before, after) for before, after in steps) / (len(word) + 1)


def _step_bits(before: str, after: str) -> int:
    row, column = _ROWS.get(before), _COLUMNS.get(after)
    return STRANGER_BITS if row is None or column is None else int(row[column], 16)
