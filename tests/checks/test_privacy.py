"""Personal data and secrets are found, masked, and replaced for good; numbers of daily life are left alone."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tokenizers import dialogue

from luthier.checks.check import Corpus
from luthier.checks.personal import is_card, is_iban
from luthier.checks.privacy import RECOGNISERS, personal_data, secret
from luthier.checks.privacy import kind as value_kind
from luthier.checks.recognise import found
from luthier.checks.redact import masked, redactor
from luthier.checks.secrets import entropy
from luthier.data.read import ReadOptions, read
from luthier.types import Issue, Message

SHARED = Path(__file__).parents[3] / "shared" / "data"
GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
PERSONAL = {
    "ann.smith+news@mail.uni-koeln.de": "an e-mail address",
    "müller@firma.de": "an e-mail address",
    "GB82 WEST 1234 5698 7654 32": "a bank account (IBAN)",
    "DE89370400440532013000": "a bank account (IBAN)",
    "fr1420041010050500013m02606": "a bank account (IBAN)",
    "4111 1111 1111 1111": "a payment card",
    "378282246310005": "a payment card",
    "5555-5555-5555-4444": "a payment card",
    "+49 30 901820": "a phone number",
    "0044 20 7946 0018": "a phone number",
    "(202) 456-1111": "a phone number",
    "030 901820-00": "a phone number",
    "123-45-6789": "a US social security number",
    "81.169.145.66": "an IP address",
    "2a02:810b:54c0:1690:2c5e:96ff:fe3b:1234": "an IP address",
}
SECRET = {
    "AKIAIOSFODNN7EXAMPLE": "an API key (AWS)",
    GITHUB: "an API key (GitHub)",
    "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12Mn34": "an API key (OpenAI, Anthropic or alike)",
    "xoxb-123456789012-abcdefABCDEF123456": "an API key (Slack)",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv": "an API key (Google)",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P": "a signed token (JWT)",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA75\n-----END RSA PRIVATE KEY-----": "a private key",
    "postgres://bob:hunter2@db.example.net/x": "a password in an address",
    "api_key = '9f8A7b6C5d4E3f2G1h0J'": "a key or password",
}
SAID = [
    ("my password is {}.", "hunter2"),
    ("Password: {}", "P@ssword"),
    ("the password for the wifi at home is {}, thanks", "s3cret99"),
    ("I changed my password to {} today", "hunter2"),
    ("my password is '{}'", "sunshine"),
    ("Mein Passwort ist {}!", "geheim12"),
    ("my PIN is {}", "4711"),
    ("PIN code: {}?", "271828"),
]
UNSAID = [
    "my password is wrong, expired or not working",
    "The passcode is 4-digit; the password is 8chars, or 12 characters long",
    "password is **required**; password: sha256; password = user2.password",
    "Shopping is 1234 in all, the pin is 12 and a top up is 5000",
    "my password is [PASSWORD_1] and the PIN is blocked",
]
INNOCENT = [
    "<<48/2=24>>24 clips, 1,234,567 dollars, 3.14159265358979 and 10000000000000000",
    "Version 10.2.31.4 of Chrome/120.0.6099.71, section 1.2.3.4, v3.11.7.12",
    "The local host is 127.0.0.1, the router 192.168.178.1, the mask 255.255.255.0, as in 192.0.2.44 or 8.8.8.8",
    "On 01.02.2023 10:30:45 and 2023-01-15 12:00, from 01/02/2023 to 03/04/2023",
    "4111 1111 1111 1112 and GB82 WEST 1234 5698 7654 33 fail their sums",
    "DE47 0139 9161 5109 0321 73 and 4240 0406 5181 2573 fail theirs and are no phone numbers within",
    "std::vector<int> a::b, ::1, fe80::1, 12:30:45, 2001:db8::1",
    "Order 12345678901234, ISBN 978-3-16-148410-0, tracking 1Z999AA10123456784",
    "Use icon@2x.png, git@github.com:a/b.git, @handle and 5@3",
    "The key to success is understanding; the password must be changed; token: your-api-key-goes-here1",
    "api_key = os.environ['OPENAI_API_KEY'], secret = config.get_secret_value(name)",
    "666-12-3456, 000-12-3456, 900-12-3456, 123-00-4567, 123-45-0000, 123-45-67890, AB-123-45-6789",
    "See https://example.com:8080/path@x and http://user@host/",
    "It is 0800 in the morning; 555 people; 100 200 3000; 02134 Boston; ZIP 20500-0003",
    "name[The Vaults], eatType[pub], customer rating[5 out of 5], near[Café Adriatic]",
]


def issues(*texts: str) -> list[Issue]:
    rows = Corpus({"train": [dialogue(text, "Yes.", name=f"t:{n}") for n, text in enumerate(texts, 1)]})
    return [*personal_data(rows), *secret(rows)]


@pytest.mark.parametrize("value", [*PERSONAL, *SECRET])
@pytest.mark.parametrize("sentence", ["{}", "Is it {}? Tell me.", "Write ({}), 3 times"])
def test_a_planted_value_is_named_by_kind_and_never_shown_whole(value: str, sentence: str) -> None:
    (issue,) = issues("Nothing here.", sentence.format(value))
    assert issue.examples == ("t:2",)
    assert (PERSONAL | SECRET)[value] in issue.why
    assert issue.check == ("personal_data" if value in PERSONAL else "secret")
    assert value not in issue.why


@pytest.mark.parametrize(("sentence", "value"), SAID)
def test_a_password_said_in_words_is_named_masked_and_replaced(sentence: str, value: str) -> None:
    text = sentence.format(value)
    (issue,) = issues("Nothing here.", text)
    assert (issue.check, issue.examples) == ("secret", ("t:2",))
    assert value not in issue.why
    assert value not in masked(text)
    assert redactor()(text) == sentence.format("[PASSWORD_1]")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data is not there")
def test_no_message_of_banking77_says_a_password_though_many_speak_of_pins() -> None:
    rows = read(str(SHARED / "banking77" / "train.csv"), ReadOptions(input="text", output="category")).examples
    assert sum("pin" in row.question.lower() or "passcode" in row.question.lower() for row in rows) >= 500
    assert not list(secret(Corpus({"train": rows})))


def test_a_finding_says_which_kind_it_is() -> None:
    texts = [*PERSONAL, *SECRET]
    assert [value_kind(issue) for text in texts for issue in issues(text)] == [(PERSONAL | SECRET)[t] for t in texts]


@pytest.mark.parametrize("text", [*INNOCENT, *UNSAID])
def test_numbers_and_names_of_daily_life_are_left_alone(text: str) -> None:
    assert not issues(text)
    assert redactor()(text) == text


def test_one_issue_a_row_and_kind_counts_the_others() -> None:
    first, second = issues("a@mail.de and b@mail.de, then 4111 1111 1111 1111")
    assert ", and 1 more" in first.why
    assert "card" in second.why


def test_answers_other_turns_and_fields_are_looked_at_too() -> None:
    row = dialogue("Hi", "Write to a@mail.de", "Why?", "So")
    held = replace(row, prompt=(*row.prompt, Message("user", "", fields={"tool_calls": [{"to": "b@mail.de"}]})))
    (issue,) = personal_data(Corpus({"train": [held]}))
    assert "turn 2" in issue.why
    assert ", and 1 more" in issue.why


@settings(max_examples=50)
@given(st.integers(0, 10**14 - 1))
def test_any_other_check_digit_fails_luhn(digits: int) -> None:
    assert sum(is_card(f"4{digits:014d}{last}") for last in range(10)) == 1


@settings(max_examples=50)
@given(st.integers(0, 10**18 - 1), st.integers(2, 98))
def test_an_account_has_one_pair_of_check_digits(account: int, check: int) -> None:
    body = f"{account:018d}"
    right = 98 - int(f"{body}131400") % 97
    assert is_iban(f"DE{check:02d}{body}") == (check == right)


def test_entropy_is_shannons() -> None:
    assert entropy("abcdefgh") == pytest.approx(3)
    assert entropy("aaaa") == 0
    assert entropy("aabb") == pytest.approx(1)


def test_the_same_value_gets_the_same_stand_in_however_it_is_written() -> None:
    redact = redactor()
    assert redactor()("'ann@mail.de', o'neill@mail.de or ann@mail.de") == "'[EMAIL_1]', [EMAIL_2] or [EMAIL_1]"
    assert redact("Ann@Mail.de, then bob@mail.de") == "[EMAIL_1], then [EMAIL_2]"
    assert redact("ann@mail.de paid 4111111111111111") == "[EMAIL_1] paid [CARD_1]"
    assert redact("4111-1111-1111-1111 and GB82WEST12345698765432") == "[CARD_1] and [IBAN_1]"
    assert (
        redact("gb82 west 1234 5698 7654 32, +49 30 901820 or 0049 (30) 901820") == "[IBAN_1], [PHONE_1] or [PHONE_1]"
    )


@settings(max_examples=50)
@given(st.lists(st.sampled_from([*PERSONAL, *SECRET, *INNOCENT, " or ", ", "]), max_size=6))
def test_a_redacted_text_is_clean_and_stays_as_it_is(pieces: list[str]) -> None:
    once = redactor()(" ".join(pieces))
    assert not found(once, RECOGNISERS)
    assert redactor()(once) == once


def test_a_stand_in_that_a_text_already_has_is_given_to_nobody_else() -> None:
    assert redactor(["Ask [EMAIL_1]"])("a@mail.de") == "[EMAIL_2]"
    assert redactor()("[EMAIL_1] told a@mail.de") == "[EMAIL_1] told [EMAIL_2]"


def test_the_order_of_rows_changes_nothing() -> None:
    texts = [*PERSONAL, *SECRET, *INNOCENT]
    rows = [dialogue(text, "Yes.", name=f"t:{n}") for n, text in enumerate(texts, 1)]
    for check in (personal_data, secret):
        assert list(check(Corpus({"train": rows}))) == list(check(Corpus({"train": rows[::-1]})))


@pytest.mark.parametrize(
    "unit",
    [
        "4111 ",
        "a@",
        "eyJ",
        "a.b@c.",
        "1.1.",
        "a1:",
        "key=",
        "+49 ",
        "-----BEGIN ",
        "DE89 ",
        "pin is ",
        "password for a ",
    ],
)
def test_the_cost_of_hostile_text_grows_with_its_length_alone(unit: str) -> None:
    def seconds(text: str) -> float:
        begun = time.process_time()
        found(text, RECOGNISERS)
        return time.process_time() - begun

    seconds(unit * 100)
    short, long = seconds(unit * 2_000), seconds(unit * 20_000)
    assert long < 40 * short + 0.2
