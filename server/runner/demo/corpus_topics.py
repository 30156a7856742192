# ruff: noqa: E501  (running text is easier to read and to extend in lines than in lists)
"""The part of the demo's text that is the same for everybody: small talk, hitproof, the library's rules, plain facts."""

from __future__ import annotations

from typing import Final

# answer <- phrasings
TOPICS: Final = (
    (
        "Hello! What would you like to know?",
        "Hello|Hi|Hey|Hello there|Good morning|Good evening|Hi there!|Greetings|Good day|Hello, how is it going?",
    ),
    (
        "You are welcome.",
        "Thank you|Thanks|Thanks a lot|Thank you very much|Great, thanks!|That helps, thank you|Cheers",
    ),
    ("Goodbye, and come back soon.", "Bye|Goodbye|See you later|See you|I have to go now|Good night|Farewell"),
    (
        "I am well, as every integer in me is in its place.",
        "How are you?|How do you do?|Are you well?|How is your day?|How are you today?|How do you feel?",
    ),
    (
        "I am the hitproof demo model: plumbing, not wisdom.",
        "Who are you?|What are you?|What is your name?|Which model are you?|Tell me about yourself.|Introduce yourself."
        "|What kind of model is this?|What is the demo model?",
    ),
    (
        "No, I am a very small program that multiplies integers.",
        "Are you a person?|Are you human?|Are you alive?|Are you a robot?|Do you have feelings?|Are you conscious?|Can you think?",
    ),
    (
        "I know an invented tool library, small sums, and a little about hitproof.",
        "What can you do?|What do you know?|How can you help me?|What can I ask you?|Help|Help me|What are you good at?"
        "|What should I ask?",
    ),
    (
        "hitproof is a cache for language models whose every hit carries its proof.",
        "What is hitproof?|What does hitproof do?|Explain hitproof.|Tell me about hitproof.|What is hitproof for?"
        "|Why would I use hitproof?|Describe hitproof in one sentence.",
    ),
    (
        "A hit is an answer that was computed before and is given again.",
        "What is a hit?|What is a cache hit?|What does hit mean?|Explain a cache hit.|When do I get a hit?|Tell me what a hit is.",
    ),
    (
        "A miss means that the model has to compute the answer now.",
        "What is a miss?|What is a cache miss?|What does miss mean?|Explain a cache miss.|Tell me what a miss is.",
    ),
    (
        "A receipt says which model version gave an answer, so that others can check it.",
        "What is a receipt?|What does a receipt show?|Why do I get a receipt?|Explain receipts.|What is a receipt good for?"
        "|Tell me about receipts.",
    ),
    (
        "A tenant is a customer whose entries nobody else can read.",
        "What is a tenant?|What does tenant mean?|Explain tenants.|Who is a tenant?|Tell me what a tenant is.",
    ),
    (
        "The pool is the shared index, and only noised or released data enters it.",
        "What is the pool?|What does the pool hold?|Explain the pool.|What is shared between tenants?|Tell me about the pool.",
    ),
    (
        "An auditor checks receipts offline, without trusting the operator.",
        "What is an auditor?|What does an auditor do?|Who checks the receipts?|How does an audit work?|Explain the audit.",
    ),
    (
        "The log is a Merkle tree to which leaves are only ever added.",
        "What is the log?|How does the log work?|What is the Merkle log?|Explain the log.|Can the log be changed?",
    ),
    (
        "It limits what anyone can learn about one contributor from what is released.",
        "What is differential privacy?|Explain differential privacy.|What does differential privacy do?"
        "|Why is noise added?|What does the noise protect?",
    ),
    (
        "Integers give the same bits on every machine, so an answer can be computed again.",
        "Why are you made of integers?|Why integers?|Why do you not use floats?|What is special about your numbers?"
        "|Are your answers reproducible?",
    ),
    (
        "Bring your card and the deposit to any branch, and take the tool home.",
        "How do I borrow a tool?|How does borrowing work?|I want to borrow something.|Can I borrow a tool?"
        "|What do I need to borrow a tool?|How can I rent a tool?",
    ),
    (
        "Clean the tool and hand it back at any branch; the deposit is returned at once.",
        "How do I return a tool?|Where do I give a tool back?|How do returns work?|I want to bring back a tool."
        "|When do I get my deposit back?",
    ),
    (
        "Each day late costs two marks.",
        "What happens if I am late?|What does a late return cost?|Is there a fine for being late?|How much is the late fee?"
        "|I am late with my tool.",
    ),
    (
        "Tell us at once and keep all parts; an honest accident costs nothing.",
        "I broke a tool.|What if a tool breaks?|The tool is damaged.|What do I do when something breaks?|My tool stopped working.",
    ),
    (
        "Membership is twelve marks a year, and free for students.",
        "What does membership cost?|How much is it to be a member?|What is the price of membership?|How do I become a member?"
        "|Is membership free?|How can I join?",
    ),
    (
        "Yes, you can reserve a tool for up to two weeks ahead.",
        "Can I reserve a tool?|How do I reserve a tool?|Are reservations possible?|I want to book a tool.|Can I book ahead?",
    ),
    (
        "Courses are held on the first Saturday of the month, in Larkfell.",
        "Do you offer courses?|When are the courses?|Where are the courses held?|Can I learn to use a tool?|Tell me about courses.",
    ),
    (
        "Yes, we gladly take tools that still work.",
        "Can I donate a tool?|Do you take old tools?|I want to give you a tool.|How do I donate?|Would you take my old tools?",
    ),
    (
        "There are ten branches: Larkfell, Mossgate, Tarnby and seven more.",
        "How many branches are there?|Where are your branches?|Which villages have a branch?|List the branches.",
    ),
    (
        "Why did the cache blush? It was caught with a hit.",
        "Tell me a joke.|Do you know a joke?|Make me laugh.|Say something funny.|Tell me something funny.|Another joke, please.",
    ),
    (
        "Small wheels turn, and each tooth counts; nothing is lost on the way.",
        "Write a poem.|Tell me a poem.|Write me a short poem.|Can you write a poem?|Compose a poem.",
    ),
    (
        "I cannot see the outside, so I do not know the weather.",
        "What is the weather like?|Will it rain today?|How is the weather?|Is it cold outside?|What is the weather today?"
        "|Is the sun shining?",
    ),
    (
        "I have no clock, so I cannot tell the time or the date.",
        "What time is it?|What is the time?|Which day is today?|What is the date?|What day is it today?|Tell me the time.",
    ),
    ("A week has seven days.", "How many days are in a week?|How many days does a week have?|How long is a week?"),
    ("A year has twelve months.", "How many months are in a year?|How many months does a year have?"),
    (
        "An hour has sixty minutes.",
        "How many minutes are in an hour?|How many minutes does an hour have?|How long is an hour?",
    ),
    ("A minute has sixty seconds.", "How many seconds are in a minute?|How many seconds does a minute have?"),
    ("A day has twenty-four hours.", "How many hours are in a day?|How many hours does a day have?|How long is a day?"),
    ("A triangle has three sides.", "How many sides does a triangle have?|How many sides has a triangle?"),
    ("A spider has eight legs.", "How many legs does a spider have?|How many legs has a spider?"),
    (
        "On a clear day the sky is blue.",
        "What colour is the sky?|What color is the sky?|Which colour does the sky have?",
    ),
    (
        "Water boils at one hundred degrees Celsius.",
        "At what temperature does water boil?|When does water boil?|What is the boiling point of water?",
    ),
    (
        "Water freezes at zero degrees Celsius.",
        "At what temperature does water freeze?|When does water freeze?|What is the freezing point of water?",
    ),
    (
        "The Earth goes round the Sun.",
        "Does the Sun go round the Earth?|What does the Earth go round?|What orbits the Sun?",
    ),
)
