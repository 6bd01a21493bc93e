"""What is planted: values with right check sums, things that only look like them, and sentences in other languages."""

from __future__ import annotations

import string
from collections.abc import Callable
from random import Random

from phonenumbers import is_valid_number, parse

Make = Callable[[Random], str]

UPPER, ALNUM = string.ascii_uppercase, string.ascii_letters + string.digits
REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I cannot assist with this request.",
    "As an AI language model, I am unable to answer that question.",
    "Sorry, I'm not able to provide that information.",
    "I apologize, but I cannot fulfill this request as it goes against my guidelines.",
    "Unfortunately, I can't discuss this topic. Is there something else you would like to talk about?",
    "I'm just a language model and don't have opinions on that.",
    "I won't write that for you.",
    "I would rather not answer this.",
    "I'm not comfortable with this request.",
    "Thank you for asking. I'm afraid I can't do that.",
    "I must decline to answer.",
    "No, I will not help you with this.",
    "This goes against my programming, so I have to decline.",
    "Das kann ich leider nicht beantworten.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "Je suis désolé, mais je ne peux pas répondre à cette question.",
    "抱歉，我无法回答这个问题。",
]
KIND_WORDS = [
    "I'm sorry to hear that. You can block the card in the app under Cards.",
    "She can't buy more than 4, so the answer is 4.",
    "He was unable to sell 3 of them. 10 - 3 = 7",
]
MARKUP = ["<|im_end|>", "<|im_start|>assistant", "[INST]", "<|endoftext|>", "<|eot_id|>", "<start_of_turn>user"]
NO_MARKUP = ["<b>now</b>", "a < b | c > d", "[see the list]", "use <name> here"]
OF_A_PAGE = ["<br>", "<br/>", "</p>", "&nbsp;", "&amp;", "&#39;", '<div class="x">', "<strong>", "&quot;"]
OF_NO_PAGE = ["R&D", "a <- b", "<address>", "x < 5 and y > 2", "Q&A;", "<3"]
GARBLED = ["the café", "it’s", "a naïve idea", "über", "el señor", "déjà vu", "£20", "10 – 12"]
OTHER_LANGUAGES = [
    "In der Nähe des Flusses gibt es ein günstiges Restaurant mit sehr guter Küche für die ganze Familie.",
    "Das Café liegt im Stadtzentrum und ist für seine italienischen Gerichte bekannt, leider ist es recht teuer.",
    "Ce restaurant au bord de la rivière propose une cuisine française à des prix tout à fait raisonnables.",
    "Le pub près du centre ville accueille volontiers les familles et sert de très bons plats japonais.",
    "Cerca del río hay un restaurante familiar que sirve comida china a un precio bastante moderado.",
    "El local tiene una valoración baja de los clientes, pero la comida rápida que ofrece es muy barata.",
    "Vicino al fiume si trova una trattoria economica dove le famiglie con bambini sono sempre benvenute.",
    "Het restaurant in het centrum van de stad is kindvriendelijk en heeft een hoge waardering van de klanten.",
]


def email(rng: Random) -> str:
    """An address."""
    first, last = rng.choice(["anna", "j.meyer", "li_wei", "Omar"]), rng.choice(["smith", "garcia", "novak", "okoro"])
    return f"{first}.{last}{rng.randrange(999)}@{rng.choice(['gmail.com', 'mail.co.uk', 'firma.de', 'uni-x.edu'])}"


def phone(rng: Random) -> str:
    """A number that can be dialled, as people write it."""
    while True:
        digits = "".join(rng.choice(string.digits) for _ in range(8))
        pairs = " ".join(digits[at : at + 2] for at in range(0, 8, 2))
        number = rng.choice(
            [
                f"+44 20 7{digits[:3]} {digits[3:7]}",
                f"+49 30 {digits[:7]}",
                f"+33 1 {pairs}",
                f"+1 212-{digits[:3]}-{digits[3:7]}",
            ]
        )
        if is_valid_number(parse(number)):
            return number


def iban(rng: Random) -> str:
    """An account whose remainder by 97 is 1."""
    country, bank, length = rng.choice([("DE", "", 18), ("GB", "NWBK", 14), ("FR", "", 23), ("ES", "", 20)])
    own = bank + "".join(rng.choice(string.digits) for _ in range(length))
    number = "".join(str(int(char, 36)) for char in own + country + "00")
    whole = f"{country}{98 - int(number) % 97:02}{own}"
    return whole if rng.random() < 0.5 else " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))


def no_iban(rng: Random) -> str:
    """One whose check digits are wrong."""
    right = iban(rng)
    return right[:2] + f"{(int(right[2:4]) + 1 + rng.randrange(90)) % 97:02}" + right[4:]


def card(rng: Random) -> str:
    """A card number that Luhn's sum accepts."""
    head, length = rng.choice([("4", 16), ("52", 16), ("37", 15)])
    digits = head + "".join(rng.choice(string.digits) for _ in range(length - 1 - len(head)))
    whole = next(digits + last for last in string.digits if luhn(digits + last))
    mark = rng.choice(["", " ", "-"])
    return mark.join(whole[at : at + 4] for at in range(0, length, 4)) if length == 16 else whole


def no_card(rng: Random) -> str:
    """One that the sum refuses."""
    right = card(rng)
    return right[:-1] + str((int(right[-1]) + 1 + rng.randrange(9)) % 10)


def luhn(digits: str) -> bool:
    """Whether Luhn's sum is a multiple of ten."""
    doubled = [int(char) * (1 + at % 2) for at, char in enumerate(reversed(digits))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def ip_address(rng: Random) -> str:
    """A public one."""
    if rng.random() < 0.3:
        return "2a02:" + ":".join(f"{rng.randrange(1, 65536):x}" for _ in range(7))
    return f"{rng.choice([81, 93, 185, 212])}." + ".".join(str(rng.randrange(1, 255)) for _ in range(3))


def harmless(rng: Random) -> str:
    """What looks like personal data and is none."""
    return rng.choice(
        [
            f"order {rng.randrange(10**9, 10**10)}",
            f"version 2.{rng.randrange(9)}.{rng.randrange(9)}",
            f"{rng.randrange(1, 28)}.{rng.randrange(1, 12)}.2023",
            f"{rng.randrange(10, 99)},000,000 people",
            "me @ home",
        ]
    )


def key(rng: Random) -> str:
    """A secret in one of its issuers' shapes, or a password in an address."""

    def some(alphabet: str, length: int) -> str:
        return "".join(rng.choice(alphabet) for _ in range(length))

    return rng.choice(
        [
            f"AKIA{some(UPPER + '234567', 16)}",
            f"ghp_{some(ALNUM, 36)}",
            f"sk-{some(ALNUM, 20)}A7{some(ALNUM, 20)}",
            f"hf_{some(ALNUM, 34)}",
            f"postgres://admin:{some(ALNUM, 12)}@db.example.org/main",
            f"api_key={some('abcdef' + string.digits, 32)}",
        ]
    )


def no_key(rng: Random) -> str:
    """Words about keys, and random looking strings that are none."""
    digest = "".join(rng.choice("0123456789abcdef") for _ in range(40))
    return rng.choice(["the key to the door", "sk-learn is a library", f"commit {digest}", "my password is secret"])


def control(rng: Random) -> str:
    """A control character between letters."""
    return "x" + rng.choice(["\x00", "\x07", "\x08", "\x1b", "\x7f", "\x9d"]) + "y"


def bidi(rng: Random) -> str:
    """A character that turns the direction of writing, between Latin letters."""
    return "x" + rng.choice(["\u202a", "\u202d", "\u202e", "\u2066", "\u2067", "\u200f"]) + "y"


def zero_width(rng: Random) -> str:
    """A character without width between letters."""
    return "x" + rng.choice(["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad"]) + "y"


def visible(rng: Random) -> str:
    """Joined emoji and accents."""
    return rng.choice(["👩‍👩‍👧", "❤️", "naïve café", "tab\there"])


def of_a_page(rng: Random) -> str:
    """What a web page leaves in a text."""
    return rng.choice(OF_A_PAGE)


def of_no_page(rng: Random) -> str:
    """What only looks like it."""
    return rng.choice(OF_NO_PAGE)


def garbled(rng: Random) -> str:
    """Right text, read in the wrong encoding."""
    return rng.choice(GARBLED).encode().decode("cp1252", "replace").replace("\ufffd", "")


def ungarbled(rng: Random) -> str:
    """The same text as it was meant."""
    return rng.choice(GARBLED)
