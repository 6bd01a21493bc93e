"""How answers refuse, in eleven languages: patterns that a sentence near the beginning of an answer must begin with.

Verbs are named, since "I cannot find your card" declines nothing. Not a classifier: a refusal in other words passes.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import islice
from typing import Final

_BEGINNING: Final = 300
"""Characters in which a refusal must begin."""
_SENTENCES: Final = 3
_SPLIT: Final = re.compile(r"(?<=[.!?。！？])\s*|\n+")

_CANNOT = (
    r"(?:can(?:no|['’]?)t|can not|won['’]?t|will not|(?:am|['’]m) (?:simply |just |really )?"
    r"(?:unable|not able|not allowed|not permitted|not programmed|not going) to|"
    r"must (?:respectfully )?(?:decline|refuse)(?: to)?)"
)
_HELP = (
    r"(?:(?:assist|help|provide|fulfil+|comply|answer|respond|engage|create|generate|write|discuss|support|offer|share|"
    r"give|participate|produce|complete|satisfy|promote|encourage|condone|recommend|advise|facilitate|endorse|continue|"
    r"do (?:that|this|it|so)|tell you|be of (?:help|assistance))\b)"
)
_SERVICE = (
    r"(?:(?:\w+ly |quite )?(?:find|see|keep|locate|hear|understand|reach|come|make it|attend|wait|stay|go\b|remember|"
    r"believe|imagine|think of))"
)
_MODEL = (
    r"(?:an? )?(?:(?:large |artificial )?(?:ai|a\.i\.|artificial intelligence|language model|llm|chatbot)"
    r"(?:[ -](?:powered )?(?:language )?(?:model|assistant|chatbot|system|program|bot))?)"
)
_ENGLISH = (
    rf"(?:but |and )?i(?:,? (?:simply |just |also |really )?|(?=['’]m )){_CANNOT} (?:be able to )?(?:\w+ly )?{_HELP}",
    rf"(?:i(?:['’]m| am) (?:\w+ )?(?:sorry|afraid)|sorry|my apologies|i (?:do )?apologi[sz]e|unfortunately|"
    rf"regrettably)\b[^.!?\n]{{0,50}}? i(?:,? (?:simply |just )?|(?=['’]m )){_CANNOT} (?!{_SERVICE})",
    rf"(?:i(?:['’]m| am) (?:\w+ )?sorry|sorry|i apologi[sz]e),? (?:but )?(?:as {_MODEL}|(?:that|this) (?:request|"
    r"is not something i))",
    rf"as {_MODEL}(?: (?:created|trained|developed|made) by [\w ]{{1,30}})?, (?:i|it|my)\b",
    rf"i(?:['’]m| am) (?:just |only |merely )?{_MODEL}\b[^.!?\n]{{0,60}}?\b"
    r"(?:can(?:no|['’])t|don['’]t|do not|not able|unable)",
    r"i(?: do not feel| don['’]t feel|['’]m not| am not) comfortable (?:\w+ing|with)",
    r"(?:this|that|it)(?: request)? (?:goes|is) against my (?:programming|guidelines|principles|polic(?:y|ies)|values)",
    r"i(?:['’]d| would) (?:prefer|rather) not (?:to )?(?:answer|discuss|say|help|talk|respond|continue)",
)
_OTHERS = (
    # German
    r"(?:es )?tut mir (?:sehr |wirklich )?leid,? (?:aber )?(?:das|dabei|damit|diese\w*|ich|als)\b"
    r"[^.!?\n]{0,60}(?:kann|darf) ",
    r"(?:leider |entschuldigung,? (?:aber )?)?(?:ich kann|kann ich|ich darf|das kann ich)\b[^.!?\n]{0,80}nicht "
    r"(?:weiter)?(?:helfen|beantworten|unterstützen|erstellen|schreiben|bereitstellen|erfüllen|geben|nachkommen|"
    r"behilflich)",
    r"als (?:ein(?:e)? )?(?:großes )?(?:ki|künstliche intelligenz|sprachmodell|chatbot)(?:[- ]\w+)?\b,? "
    r"(?:kann|habe|bin|darf)",
    # French
    r"(?:je suis (?:vraiment )?)?(?:désolée?|navrée?),? (?:mais )?(?:je ne|en tant)",
    r"(?:malheureusement,? )?je ne (?:peux|suis pas en mesure|puis) (?:pas )?(?:de )?(?:vous |t['’])?"
    r"(?:aider|répondre|fournir|donner|assister|créer|écrire)",
    r"en tant qu(?:e |['’])(?:une? )?(?:ia\b|intelligence artificielle|modèle de langage|assistante? virtuel)",
    # Spanish and Portuguese
    r"(?:lo siento|lo lamento|disculpa|perdón),? (?:pero )?(?:no puedo|como|no me es posible)",
    r"(?:lamentablemente,? )?no puedo (?:ayudar|responder|proporcionar|cumplir|asistir|crear|escribir|ofrecer)",
    r"(?:sinto muito|desculpe|lamento),? (?:mas )?(?:não posso|não consigo|como)",
    r"(?:infelizmente,? )?(?:eu )?não posso (?:ajudar|responder|fornecer|criar|escrever|atender)",
    r"como (?:una? |um )?(?:ia\b|inteligencia artificial|inteligência artificial|modelo de (?:lenguaje|linguagem|"
    r"idioma))",
    # Italian
    r"mi (?:dispiace|scuso),? (?:ma )?(?:non posso|come)",
    r"(?:purtroppo,? )?non posso (?:aiutar|risponder|fornir|crear|scriver|assister)",
    r"(?:come|in quanto) (?:un )?(?:['’]?ia\b|intelligenza artificiale|modello linguistico)",
    # Dutch
    r"(?:het spijt me|sorry),? (?:maar )?(?:ik kan|dat kan ik|als)\b[^.!?\n]{0,60}(?:niet|geen|taalmodel)",
    r"als (?:een )?(?:ai\b|taalmodel|kunstmatige intelligentie)",
    # Polish
    r"(?:przykro mi|przepraszam),? (?:ale )?nie mogę",
    r"jako (?:model językowy|sztuczna inteligencja|ai\b)",
    # Russian
    r"(?:извините|простите|к сожалению|мне жаль),? (?:но )?(?:я )?не могу "
    r"(?:помочь|ответить|предоставить|выполнить|создать|обсуждать)",
    r"(?:как|я)(?: —| -)? (?:искусственный интеллект|языковая модель|ии-)",
    # Chinese, Japanese
    r"(?:(?:很|非常)?抱歉|对不起|對不起)[，,]?.{0,12}(?:不能|无法|無法)(?:回答|提供|帮助|幫助|协助|协助|满足|满足|完成|生成)",
    r"(?:作为|作為)(?:一个|一個|一名)?(?:人工智能|人工智慧|ai|语言模型|語言模型|大型语言模型)",
    r"(?:申し訳(?:ありません|ございません)|すみません|ごめんなさい)[がけ、,].{0,40}(?:できません|できかねます|お答え|いたしかねます)",
    r"(?:私は)?(?:ai|人工知能|言語モデル)(?:アシスタント|言語モデル)?(?:として|なので|であるため)",
)


def refuses(answer: str) -> str | None:
    """The beginning of the sentence that refuses, or None."""
    beginning = answer.lstrip()[:_BEGINNING]
    for sentence in islice(filter(None, _SPLIT.split(beginning)), _SENTENCES):
        if _pattern().match(sentence.lower()):
            return " ".join(sentence.split())[:80]
    return None


@cache
def _pattern() -> re.Pattern[str]:
    opening = r"[\W_]{0,3}(?:hi|hello|hey|thank you|thanks|well|no|oh|okay|ok|however|but|while)?[\W_]{0,3}"
    return re.compile(opening + "(?:" + "|".join((*_ENGLISH, *_OTHERS)) + ")")
