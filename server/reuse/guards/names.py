"""Proper names that people write in lower case, so that capitals alone would miss them; each line is one thing.

The first word of a line is the thing; the others are its other spellings. A name of several words is written with "_".
"""

from __future__ import annotations

from typing import Final

PLACES: Final = """
usa united_states america american americans us; uk united_kingdom britain great_britain british; england
scotland scottish; wales; ireland irish; france french; germany german germans; spain spanish; portugal portuguese
italy italian italians; greece greek; turkey; netherlands holland dutch; belgium; austria austrian; switzerland swiss
sweden swedish; norway norwegian; denmark danish; finland finnish; iceland; poland polish; czechia czech_republic
slovakia; slovenia; hungary hungarian; romania romanian; bulgaria; serbia; croatia; bosnia; albania; macedonia
montenegro; ukraine ukrainian; russia russian russians; belarus; lithuania; latvia; estonia; moldova; georgia
armenia; azerbaijan; kazakhstan; uzbekistan; china chinese mandarin; japan japanese; south_korea korea korean
north_korea; taiwan; hong_kong; mongolia; india indian indians; pakistan pakistani pakistanis; bangladesh bangladeshi
nepal nepali nepalese; bhutan; sri_lanka; afghanistan afghan; iran iranian; iraq iraqi; syria syrian; lebanon
israel israeli; palestine; jordan; saudi_arabia saudi; yemen; oman; uae; qatar; kuwait; bahrain; egypt egyptian
libya; tunisia; algeria; morocco; sudan; ethiopia ethiopian; somalia; kenya kenyan; uganda; tanzania; rwanda
nigeria nigerian; ghana; senegal; mali; niger; cameroon; congo; angola; zambia; zimbabwe; botswana; namibia
mozambique; madagascar; south_africa; thailand thai; vietnam vietnamese; cambodia; laos; myanmar burma
malaysia malaysian; singapore singaporean; indonesia indonesian; philippines filipino
australia australian australians; new_zealand; canada canadian canadians; mexico mexican; guatemala; cuba cuban
jamaica; haiti; panama; colombia colombian; venezuela; ecuador; peru; bolivia; chile; argentina argentinian; uruguay
paraguay; brazil brazilian; europe european europeans; asia asian asians; africa african; antarctica; london; paris
berlin; munich; hamburg; frankfurt; madrid; barcelona; lisbon; porto; rome; milan; venice; florence; naples; vienna
zurich; geneva; prague; budapest; warsaw; krakow; athens; istanbul; ankara; moscow; kyiv kiev; stockholm; oslo
copenhagen; helsinki; dublin; edinburgh; manchester; liverpool; amsterdam; rotterdam; brussels; tokyo; osaka; kyoto
seoul; busan; beijing; shanghai; shenzhen; taipei; delhi new_delhi; mumbai bombay; bangalore bengaluru
chennai madras; kolkata calcutta; hyderabad; pune; karachi; lahore; dhaka; kathmandu; colombo; bangkok; hanoi
jakarta; bali; manila; sydney; melbourne; brisbane; perth; auckland; wellington; toronto; vancouver; montreal; ottawa
new_york nyc; los_angeles; san_francisco; chicago; boston; seattle; houston; dallas; austin; miami; atlanta; denver
phoenix; detroit; philadelphia; las_vegas; san_diego; washington; texas; california; florida; ohio; hawaii; alaska
nairobi; lagos; accra; cairo; casablanca; johannesburg; dubai; doha; riyadh; tehran; baghdad; jerusalem; havana
bogota; lima; santiago; mexico_city; sao_paulo; rio; buenos_aires
"""

TECHNOLOGY: Final = """
python; java; javascript js; typescript; ruby; rust; golang; kotlin; swift; scala; perl; php; haskell; clojure
erlang; elixir; fortran; cobol; matlab; julia; lua; dart; bash; powershell; sql; html; css; xml; json; yaml; toml
csv; pdf; excel; linux; ubuntu; debian; fedora; windows; macos; android; ios; unix; docker; kubernetes k8s; terraform
ansible; jenkins; git; github; gitlab; bitbucket; mysql; postgres; postgresql; sqlite; oracle; mongodb; redis
cassandra; kafka; rabbitmq; elasticsearch; spark; hadoop; aws; azure; gcp; react; angular; vue; svelte; django; flask
fastapi; rails; laravel; spring_boot; express; numpy; pandas; tensorflow; pytorch; keras; sklearn; opencv; chrome
firefox; safari; edge; opera; gmail; outlook; slack; discord; zoom; skype; whatsapp; telegram; signal; facebook
instagram; twitter; tiktok; snapchat; linkedin; reddit; quora; pinterest; youtube; netflix; spotify; amazon; ebay
etsy; walmart; google; apple; microsoft; samsung; nokia; sony; huawei; xiaomi; lenovo; dell; asus; intel; amd; nvidia
tesla; toyota; honda; ford; bmw; audi; iphone; ipad; macbook; galaxy; pixel; playstation; xbox; nintendo; paypal
stripe; venmo; visa; mastercard; amex; bitcoin; ethereum; uber; lyft; airbnb; photoshop; illustrator; word
powerpoint; notion; jira; trello; salesforce; shopify; wordpress
"""

OTHERS: Final = """
english; cantonese; hindi; urdu; bengali; tamil; telugu; arabic; persian; hebrew; turkish; latin; christianity; islam
hinduism; buddhism; judaism; christian; muslim; hindu; buddhist; jewish; catholic; protestant; ibuprofen
paracetamol acetaminophen tylenol; aspirin; naproxen; amoxicillin; penicillin; insulin; metformin; warfarin; caffeine
nicotine; morphine; mercury; venus; mars; jupiter; saturn; uranus; neptune; pluto; hydrogen; helium; oxygen; nitrogen
carbon; iron; copper; silver; gold; aluminium aluminum; zinc; lead; uranium; sodium; potassium; calcium; magnesium
dollars_usd; dog dogs puppy; cat cats kitten; horse horses; rabbit rabbits; chicken; beef; pork; fish; salmon; rice
pasta; potato potatoes; tomato tomatoes; apple_juice; coffee; tea; beer; wine; milk; christmas; easter; halloween
thanksgiving; diwali; ramadan; hanukkah; football; soccer; basketball; baseball; tennis; cricket; hockey; golf; rugby
chess; poker; piano; guitar; violin; gre; gmat; toefl; ielts; mba; phd; iit; cbse; upsc; neet
"""


def aliases() -> dict[str, str]:
    """Return each spelling's thing; spellings of several words are joined with "_"."""
    found: dict[str, str] = {}
    for table in (PLACES, TECHNOLOGY, OTHERS):
        for line in table.strip().splitlines():
            for thing in line.split(";"):
                spellings = thing.split()
                for spelling in spellings:
                    found[spelling] = spellings[0]
    # These are words first and names second; only their capital makes them a name, which the facts see anyway.
    for word in (
        "us",
        "turkey",
        "jordan",
        "chile",
        "mali",
        "edge",
        "signal",
        "word",
        "express",
        "spark",
        "oracle",
        "lead",
        "visa",
        "apple",
        "rio",
    ):
        found.pop(word, None)
    return found


SPELLINGS_OF_TWO_WORDS: Final = frozenset(spelling for spelling in aliases() if "_" in spelling)
