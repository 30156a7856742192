"""Opposites, as axes with two poles: words on one pole of an axis contradict words on the other.

Three kinds of axes differ in how sure a clash is:

* `STATES` are said of things, so that "not safe" is "unsafe": a negation right before the word flips its pole.
* `ACTIONS` are done; "cannot enable" is not "disable", so a negation beside them is counted and does not flip.
* `PARTICLES` are small words with many uses; they clash only when each text holds one pole and not the other.
"""

from __future__ import annotations

from typing import Final

from .characters import words
from .noun_axes import NOUNS

STATES: Final = """
safe safely secure harmless | unsafe unsafely dangerous insecure hazardous harmful risky
legal legally lawful allowed permitted | illegal illegally unlawful banned prohibited forbidden
possible feasible | impossible infeasible
true correct accurate valid | false incorrect inaccurate invalid untrue
right | wrong
good great excellent | bad terrible awful poor
best | worst
better | worse
easy simple easier simplest easiest | hard difficult complex harder hardest complicated
hot warm hotter hottest warmer | cold cool colder coldest cooler
high higher highest tall taller tallest | low lower lowest short shorter shortest
long longer longest | short shorter shortest brief
brief briefly concise concisely | detail detailed thorough thoroughly lengthy
big bigger biggest large larger largest | small smaller smallest tiny little
fast faster fastest quick quicker quickest | slow slower slowest
early earlier earliest | late later latest
cheap cheaper cheapest inexpensive affordable | expensive pricier costly costlier
rich wealthy | poor
old older oldest | new newer newest
old older elderly elder | young younger youngest
strong stronger strongest | weak weaker weakest
heavy heavier heaviest | light lighter lightest
thick thicker | thin thinner
wide wider broad | narrow narrower
deep deeper | shallow shallower
full | empty
hard | soft
dry | wet
bright brighter | dark darker dim
loud louder | quiet quieter silent
clean | dirty
alive living | dead deceased
married | single unmarried divorced
public | private
internal | external
inner | outer
indoor indoors | outdoor outdoors
positive | negative
active | inactive passive
available | unavailable
visible | invisible hidden
required mandatory compulsory necessary | optional unnecessary
normal usual | abnormal unusual
common | rare uncommon
maximum max maximal | minimum min minimal
upper | lower
front | back rear
top | bottom
left | right
horizontal | vertical
north northern | south southern
east eastern | west western
northeast northeastern | southwest southwestern
northwest northwestern | southeast southeastern
liquid | solid gas
acid acidic | base basic alkaline
even | odd
raw uncooked | cooked
fresh | stale rotten spoiled
open opened | closed shut
online | offline
free | paid
local locally | remote remotely
manual manually | automatic automatically
temporary temporarily | permanent permanently
synchronous sync | asynchronous async
static | dynamic
mutable | immutable
inclusive | exclusive
ascending | descending
incoming inbound | outgoing outbound
domestic | international foreign
urban | rural
introvert introverted | extrovert extroverted
optimist optimistic | pessimist pessimistic
healthy | unhealthy sick ill
happy | sad unhappy depressed
careful | careless
useful helpful | useless unhelpful
painful | painless
hopeful | hopeless
guilty | innocent
honest | dishonest
polite | rude impolite
lucky | unlucky
fair | unfair
effective | ineffective
efficient | inefficient
reversible | irreversible
reliable | unreliable
compatible | incompatible
eligible | ineligible
sufficient enough | insufficient
encrypted | unencrypted plaintext
signed | unsigned
paid | unpaid
read | unread
used | unused
known | unknown
written | unwritten
working works functioning | broken failing defective
"""

ACTIONS: Final = """
enable enabled enables enabling | disable disabled disables disabling
activate activated activating activation | deactivate deactivated deactivating deactivation
allow allowing allows permit permitting | forbid block blocking blocked prohibit deny denying
increase increased increases increasing raise raising boost | decrease decreased decreases decreasing reduce reducing
grow growing | shrink shrinking
gain gained gains gaining | lose losing lost loses
win winning won wins | lose losing lost loses
buy buying bought buys purchase purchasing | sell selling sold sells
open opening opens | close closing closes closed
lock locked locking locks | unlock unlocked unlocking unlocks
start started starting starts begin beginning began | stop stopped stopping stops end ending ended finish kill
add added adding adds | remove removed removing removes delete deleting subtract
create created creating creates | delete deleted deleting deletes destroy
insert inserting inserted | delete deleted deleting deletes
install installed installing installation | uninstall uninstalled uninstalling
import imported importing imports | export exported exporting exports
upload uploaded uploading uploads | download downloaded downloading downloads
send sent sending sends | receive received receiving receives
deposit deposited depositing deposits | withdraw withdrawing withdrawal withdrawals withdrawn withdrew
borrow borrowed borrowing | lend lending lent
credit credited credits | debit debited debits
encrypt encrypting encrypts encryption | decrypt decrypting decrypts decryption decrypted
encode encoding encoded | decode decoding decoded
compress compressing compression zip zipping | decompress decompressing unzip unzipping extract
push pushing pushed pushes | pull pulling pulled pulls
accept accepted accepting accepts | reject rejected rejecting rejects refuse refused decline declined declining
approve approved approving | reject rejected rejecting decline declined declining
subscribe subscribed subscribing | unsubscribe unsubscribed unsubscribing
follow following followed | unfollow unfollowing unfollowed
like liked likes | dislike disliked dislikes
love loved loves loving | hate hated hates hating
connect connected connecting connects | disconnect disconnected disconnecting
attach attached attaching | detach detached detaching
mount mounting mounted | unmount unmounting unmounted
show showing shows display displaying | hide hiding hides
expand expanding | collapse collapsing
include included includes including | exclude excluded excludes excluding
join joining joined | leave leaving left quit
enter entering entered | exit exiting leave leaving
arrive arriving arrived arrival arrivals | depart departing departed departure departures
rise rising rises rose | fall falling falls fell
succeed succeeded success successful | fail failed failure failing
pass passed passing | fail failed failing
hire hired hiring | fire fired firing
attract attracts attracted | repel repels repelled
cause causes caused causing | prevent prevents prevented cure cures
prevent preventing | cure curing
multiply multiplying | divide dividing
plus | minus
build building | destroy destroying demolish
freeze freezing | thaw thawing melt melting
inhale | exhale
tighten tightening | loosen loosening
fill filling | drain draining
charge charging | discharge discharging
publish published publishing | unpublish unpublished unpublishing
pin pinned pinning | unpin unpinned unpinning
mute muted muting | unmute unmuted unmuting
pause paused pausing | resume resumed resuming unpause
suspend suspended suspending | resume resumed reinstate reinstated
undo undoing | redo redoing
grant granted granting | revoke revoked revoking deny denying denied
read reading | write writing wrote
increment incrementing | decrement decrementing
ascend ascending climb | descend descending
attack attacking | defend defending
simplify simplifying | complicate
admit admission | discharge discharged
renew renewed renewing renewal | cancel cancelled canceled cancelling canceling cancellation
upgrade upgraded upgrading upgrades | downgrade downgraded downgrading downgrades
admit admitting admitted | deny denying denied
remember remembering | forget forgetting
save saving | spend spending waste wasting
teach teaching taught teacher teachers | learn learning learned student students
ask asking asked | answer answering answered
serialize serialise serialization | deserialize deserialise deserialization
"""

PARTICLES: Final = """
on | off
in into | out
up | down
before | after
within | after
since | until till
above over | below under beneath
inside within | outside
more | less fewer
most | least
first | last final
always | never
all every | no none
he him | she her
his | hers her
forward | backward backwards
with | without
like | unlike
for | against
import | require
"""


def _poles(table: str, kind: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(table.strip().splitlines()):
        for sign, side in zip("+-", line.split("|"), strict=True):
            for word in side.split():
                found[word] = (*found.get(word, ()), f"{kind}{number}{sign}")
    return found


def poles_by_word() -> dict[str, tuple[str, ...]]:
    """Return each word's poles; a pole is a kind letter, the axis's number and a sign, such as `s12+`."""
    merged: dict[str, tuple[str, ...]] = {}
    for table, kind in ((STATES, "s"), (ACTIONS, "a"), (NOUNS, "n"), (PARTICLES, "p")):
        for word, poles in _poles(table, kind).items():
            merged[word] = (*merged.get(word, ()), *poles)
    return merged


def flipped(pole: str) -> str:
    """Return the other pole of the same axis."""
    return pole[:-1] + ("-" if pole[-1] == "+" else "+")


#: These say something about direction only behind a verb that takes them ("log out"), not in "in May" or "find out".
PHRASAL_ONLY: Final = frozenset(("in", "into", "out"))
PHRASAL_VERBS: Final = frozenset(
    words(
        "log logs logged logging sign signs signed signing check checked checking opt opted opting clock zoom zooming "
        "phase plug fade cash let lock locked move moved moving"
    )
)
