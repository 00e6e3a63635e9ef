"""The terms that text is found by: stemmed words without stop words, and pairs of neighbours.

A pair ("silver card") tells apart what single words do not. Nothing here knows a trade or a
customer: the stop words are English, and conversation ("hi, could you please tell me ...").
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from itertools import pairwise

from Stemmer import Stemmer

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

_STOP_WORDS = """
a about above after again against all am an and any are as at be because been before being
below between both but by can did do does doing don down during each few for from further had
has have having he her here hers herself him himself his how i if in into is it its itself just
me more most my myself no nor not now of off on once only or other our ours ourselves out over
own same she should so some such than that the their theirs them themselves then there these
they this those through to too under until up very was we were what when where which while who
whom why will with you your yours yourself yourselves
ain aren couldn didn doesn hadn hasn haven isn ll mightn mustn needn re shan shouldn ve wasn
weren won wouldn
also always another anyone anything anyway could dear else ever every everything get gets
getting give given go goes going got happen happened happens hello help hey hi however instead
know let like likely look looking make makes making many may maybe mean might much must need
needs never nothing ok okay one perhaps please possible put quite rather really right said say
says see seem seems shall simply since someone something sorry still sure take tell thank thanks
thing things think though told try trying us use used using usually want wanted wants way well
went whatever whether within without wonder wondering would yes yet
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


def terms(text: str) -> list[str]:
    """The terms of `text` in order, with repetitions; pairs never reach over a stop word."""
    stems = [_stem(word) for word in _WORD.findall(text.lower())]
    pairs = [f"{left} {right}" for left, right in pairwise(stems) if left and right]
    return [stem for stem in stems if stem] + pairs


@cache
def _stemmer() -> Stemmer:
    return Stemmer("english")


@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    """Empty for a stop word; "don't" and "customer’s" count as their first part."""
    bare = re.split("['’]", word, maxsplit=1)[0]
    return "" if bare in STOP_WORDS else str(_stemmer().stemWord(bare))
