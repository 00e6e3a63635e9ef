"""A deterministic model that needs no key and no network: it looks up, and quotes.

It searches the knowledge with the contact's words and answers with sentences quoted from the best
passages, or says that the knowledge does not hold the answer. It understands nothing; it says so.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal

from msgspec import Struct

from stepfold.events.citation import cite
from stepfold.events.values import Citation, Passage, Usage
from stepfold.providers.model import Call, Prompt, Reply

NAME = "extractive"
SENTENCES_MAX = 3
COVERAGE_MIN = 0.5
"""The share of the question's weight that the quoted sentences must hold to count as an answer."""
KEY_WORDS_MAX = 12
"""How many of the question's words are held against an answer."""
GAIN_MIN = 0.15
"""The share that each further sentence must add."""
CONTEXT = 0.7
"""How much a word counts that stands only in the sentence's title or heading."""
SENTENCE_CHARS_MIN = 12
STEM_CHARS_MIN = 3
NO_ANSWER = "The knowledge that I can search does not hold an answer to this."
NOTHING_TO_SEARCH = "I am an extractive model: I can only quote from knowledge, and none is set up."
LEAD = "From the knowledge base:"

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_SENTENCE = re.compile(r"(?:[^.!?\n]|[.!?](?=[^\s.!?]))+[.!?]*")
_COMMON = frozenset(
    [
        "a",
        "about",
        "after",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "for",
        "from",
        "get",
        "had",
        "has",
        "have",
        "hello",
        "help",
        "hi",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "just",
        "know",
        "let",
        "like",
        "many",
        "me",
        "much",
        "my",
        "need",
        "no",
        "not",
        "of",
        "on",
        "or",
        "our",
        "out",
        "please",
        "should",
        "so",
        "some",
        "tell",
        "than",
        "thank",
        "thanks",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "up",
        "us",
        "want",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)


class Sentence(Struct, frozen=True):
    """`own` stems stand in it, `context` stems only in its title or the heading above it."""

    passage: Passage
    text: str
    own: frozenset[str]
    context: frozenset[str]


class ExtractiveModel:
    async def reply(self, prompt: Prompt, /) -> Reply:
        results = [result for result in prompt.results if result.name == "search"]
        if not results and prompt.offers("search"):
            call = Call("search", {"query": prompt.question})
            return _reply(prompt, Reply(calls=(call,)))
        if not results:
            return _reply(prompt, Reply(text=NOTHING_TO_SEARCH))
        passages = [passage for result in results for passage in result.passages]
        return _reply(prompt, answer(prompt.question, passages))


def answer(question: str, passages: Iterable[Passage]) -> Reply:
    """The best sentences for `question`, quoted and cited; or a Reply that says there is none."""
    sentences = [s for passage in passages for s in _sentences(passage)]
    weight = _weights(question, sentences)
    chosen, missing = _choose(sentences, weight)
    if not chosen or sum(missing.values()) > (1 - COVERAGE_MIN) * sum(weight.values()):
        return Reply(text=NO_ANSWER)
    citations = [citation for s in chosen if (citation := cite(s.passage, s.text))]
    return Reply(text=_say(citations), citations=tuple(citations))


def stems(text: str) -> frozenset[str]:
    """The words of `text` that can carry an answer, cut to a crude stem."""
    return frozenset(_stems(text))


def _stems(text: str) -> Iterator[str]:
    words = (word.lower() for word in _WORD.findall(text))
    return (_stem(word) for word in words if word not in _COMMON)


def _stem(word: str) -> str:
    for ending in ("ing", "ies", "ed", "es", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= STEM_CHARS_MIN:
            return word[: -len(ending)]
    return word


def _sentences(passage: Passage) -> Iterator[Sentence]:
    title = stems(passage.title)
    heading: frozenset[str] = frozenset()
    for found in _SENTENCE.finditer(passage.text):
        line = found.group().strip()
        text = line.strip("-*#>| \t")
        if line.startswith("#"):
            heading = stems(text)
        elif len(text) >= SENTENCE_CHARS_MIN:
            own = stems(text)
            yield Sentence(passage, text, own, (title | heading) - own)


def _weights(question: str, sentences: list[Sentence]) -> dict[str, float]:
    """A rare word tells more than one that stands in every sentence; one that is nowhere, most.

    A long message tells a story around its question: only its KEY_WORDS_MAX words of most weight
    are held against the answer, and none that the passages, found for the whole of it, lack.
    """
    said = Counter(_stems(question))
    seen = Counter(stem for s in sentences for stem in s.own & said.keys())
    weight = {
        stem: math.log(1 + len(sentences) / (1 + seen[stem])) * math.sqrt(said[stem])
        for stem in sorted(said)
    }
    if len(weight) <= KEY_WORDS_MAX:
        return weight
    found = sorted((stem for stem in weight if seen[stem]), key=lambda s: (-weight[s], s))
    return {stem: weight[stem] for stem in found[:KEY_WORDS_MAX]}


def _choose(
    sentences: list[Sentence], weight: dict[str, float]
) -> tuple[list[Sentence], dict[str, float]]:
    """Greedy: each next sentence is the one that adds most of what is still missing. Returns the
    sentences and the weight that they leave missing.
    """
    chosen: list[Sentence] = []
    missing = dict(weight)
    while sum(missing.values()) > 0 and len(chosen) < SENTENCES_MAX:
        best = max(sentences, key=lambda s: _gain(s, missing), default=None)
        if best is None or _gain(best, missing) < GAIN_MIN * sum(weight.values()):
            break
        chosen.append(best)
        missing = {stem: value * _left(best, stem) for stem, value in missing.items()}
    return chosen, missing


def _gain(sentence: Sentence, missing: dict[str, float]) -> float:
    """What a sentence adds; nothing when only its title or heading speaks of the question."""
    if not any(missing.get(stem) for stem in sentence.own):
        return 0.0
    return sum(value * (1 - _left(sentence, stem)) for stem, value in missing.items())


def _left(sentence: Sentence, stem: str) -> float:
    """The share of a word's weight that is still missing after this sentence."""
    if stem in sentence.own:
        return 0.0
    return 1 - CONTEXT if stem in sentence.context else 1.0


def _say(citations: list[Citation]) -> str:
    quotes = "\n".join(f"“{citation.quote}” [{n}]" for n, citation in enumerate(citations, 1))
    return f"{LEAD}\n{quotes}"


def _reply(prompt: Prompt, reply: Reply) -> Reply:
    """Priced at zero, because it is: nothing leaves this process."""
    return Reply(
        text=reply.text,
        calls=reply.calls,
        citations=reply.citations,
        usage=Usage(
            input=len(_WORD.findall(prompt.question)), output=len(_WORD.findall(reply.text))
        ),
        cost_usd=Decimal(0),
        model=NAME,
        provider=NAME,
    )
