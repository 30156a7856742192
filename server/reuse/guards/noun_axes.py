"""Opposites among things, roles and people; the table of `axes` for nouns, one axis a line."""

from __future__ import annotations

from typing import Final

NOUNS: Final = """
advantage advantages benefit benefits pro pros upside | disadvantage disadvantages drawback drawbacks con cons downside
strength strengths | weakness weaknesses
income revenue earnings | expense expenses expenditure
profit profits | loss losses
asset assets | liability liabilities
input inputs | output outputs
client clients | server servers
frontend | backend
employee employees | employer employers
buyer buyers | seller sellers vendor
landlord | tenant
lender creditor | borrower debtor
sender | recipient receiver
doctor doctors | patient patients
parent parents | child children kid kids
male males | female females
man men | woman women
boy boys | girl girls
guy guys | girl girls lady ladies
husband husbands | wife wives
father dad | mother mom mum
son sons | daughter daughters
brother brothers | sister sisters
boyfriend | girlfriend
uncle | aunt
nephew | niece
grandfather | grandmother
king | queen
prince | princess
actor | actress
bride | groom
past | future
beginning start | end
entrance entry | exit
birth | death
war | peace
winter | summer
spring | autumn fall
morning | evening night
day | night
sunrise dawn | sunset dusk
breakfast | lunch dinner supper
lunch | dinner supper
ancestor ancestors | descendant descendants
numerator | denominator
predator predators | prey
friend friends | enemy enemies
hero | villain
weight | height
length | width
sine | cosine
latitude | longitude
vowel vowels | consonant consonants
debit | credit
primary | secondary
request requests | response responses
supply | demand
hardware | software
ingress | egress
checking | savings
leader leaders | follower followers
cause causes | effect effects
theory | practice
attacker | defender victim
"""
