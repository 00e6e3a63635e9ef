"""The one conversation that every side of the bench runs: a question, a search, an answer.

Text is a pure function of (conversation, turn), unlike in every turn, and about as compressible as
help-desk prose, so that no store gains by finding repeats. Standard library only: peers import it.
"""

import json
import random
import re
from collections.abc import Iterable
from functools import cache

PASSAGES = 5
PASSAGE_CHARS = 900
QUOTE_CHARS = 300
TOOL = "search"
TOOL_DESCRIPTION = "Search the knowledge base; returns passages."

_VOCABULARY = """
a able about above accept access account across action active actual add address adjust advice
after again against age agent agree air alert all allow almost alone along already also always
amount and annual another answer any apply approve april area around arrange arrive article as ask
assist at attach august available average away back balance bank base basic be because become been
before begin behind below best better between bill block board body book both bottom branch break
bring brown browser build building business but button buy by calendar call can cancel card care
carry case cash cause center certain chain change channel charge chat check child choice choose
city claim class clean clear click client close code collect color come comment common company
compare complete confirm connect consider contact contain content continue contract control copy
correct cost could count country cover create credit current customer cycle daily damage data date
day deadline deal december decide default delay delete deliver demand department deposit depth
describe design detail device different digital direct discount display dispute do document does
dollar domestic door double down download draft draw drive drop due duration during each early
earn east easy edit effect eight either email employee empty enable end enough enter entire entry
equal error estimate even event every exact example except exchange exist expect expense expire
explain export extend extra face fact fail family fast february fee few field figure file fill
final find fine finish first five fix flight follow for foreign form forward four free frequent
friday from front full function fund further future gain general get gift give go good grace grant
great green group grow guarantee guest guide half hand handle happen hard have head health hear
help here hide high history hold holiday home hotel hour house how however if image import
important in include income increase individual industry inform initial inside instead insurance
interest internal into invoice is issue it item its january job join july june just keep key kind
know label language large last late launch law lead learn least leave left legal length less let
letter level limit line link list little live load loan local lock log long look lose loss lost
low loyalty machine mail main make manage manual many march market match matter maximum may mean
measure medium meet member message method middle might mile minimum minor minute miss mobile mode
model monday money month more morning most move much must name national near necessary need
network never new next nine no none normal north not note nothing notice november now number
object october of off offer office often old on once one online only open option or order origin
other our out outside over own owner package page paid paper parcel parent part partner party pass
past path pay payment pending people per percent period permit person phone photo physical pick
place plan plate platform please point policy portal position possible post power present press
previous price print privacy private process product profile program project proof proper protect
provide public purchase purpose quality quarter question quick quote range rate rather reach read
ready real reason receipt receive recent record reduce refer refund region register regular reject
related release remain remember remind remove renew rental repair repeat replace reply report
request require reset reside resolve response rest result retail return review reward right risk
road roll room route rule run safe sale same saturday save say schedule screen search season seat
second section secure see select self sell send senior separate september series serve service
session set settings seven several share ship short should show side sign signal similar simple
since single site six size small so software some soon sort source south space speak special spend
staff stage standard start state statement station status stay step still stock stop storage store
street strong student submit such sum summer sunday supply support sure switch system table take
task tax team tell ten term test than that the their them then there these they thing third this
those three through thursday ticket time title to today together token tool top total track trade
transfer travel trial trip true trust try tuesday turn two type under union unit until update
upgrade upon urgent use user usual valid value vehicle verify version very view visit voice wait
walk want warning was watch water way wednesday week weekly well were west what when where which
while white who whole why wide will window winter wire with within without word work world would
write year yellow yes yesterday yet you young your zero zone
"""
WORDS = tuple(_VOCABULARY.split())

_REFERENCE = re.compile(r"(\d+)[/_](\d+)")


@cache
def question(conversation: int, turn: int) -> str:
    """What the contact writes; names conversation and turn, so that `where` finds them again."""
    words = _prose(random.Random(f"question {conversation} {turn}"), 90)
    return f"Case {conversation}/{turn}: {words}?"


@cache
def query(conversation: int, turn: int) -> str:
    """What the model asks the tool for."""
    words = _prose(random.Random(f"query {conversation} {turn}"), 40)
    return f"{conversation}/{turn} {words}"


def call_id(conversation: int, turn: int) -> str:
    """The id of the turn's one tool call, in letters that every provider accepts."""
    return f"call_{conversation}_{turn}"


@cache
def passages(conversation: int, turn: int) -> tuple[str, ...]:
    """The five passages that the search returns, each about 900 characters."""
    chance = random.Random(f"passages {conversation} {turn}")
    return tuple(_prose(chance, PASSAGE_CHARS) + "." for _ in range(PASSAGES))


def found(conversation: int, turn: int) -> str:
    """The passages as the one text that a tool gives back where a tool can only give text."""
    return "\n\n".join(passages(conversation, turn))


def quote(conversation: int, turn: int) -> tuple[int, str]:
    """Which passage the answer quotes, and the words, which stand in it verbatim."""
    index = (conversation + turn) % PASSAGES
    return index, passages(conversation, turn)[index][:QUOTE_CHARS]


def answer(conversation: int, turn: int) -> str:
    """What the model says at the end of the turn, about 400 characters."""
    index, words = quote(conversation, turn)
    return (
        f"Thank you for writing about case {conversation}/{turn}. Our knowledge base says: "
        f'"{words}" This is from passage {index + 1}.'
    )


def where(text: str) -> tuple[int, int]:
    """The (conversation, turn) that a question, a query or a call id names first."""
    match = _REFERENCE.search(text)
    assert match is not None, f"no conversation/turn in {text[:80]!r}"
    return int(match[1]), int(match[2])


def texts(conversation: int, turns: int) -> list[str]:
    """Every text of a conversation in order: per turn the question, what was found, the answer."""
    return [
        text
        for turn in range(1, turns + 1)
        for text in (
            question(conversation, turn),
            found(conversation, turn),
            answer(conversation, turn),
        )
    ]


def chat_json(conversation: int, turns: int) -> str:
    """The conversation in OpenAI chat form, compact JSON: the measure of the bytes stored."""
    messages = [m for turn in range(1, turns + 1) for m in _chat_turn(conversation, turn)]
    return json.dumps({"messages": messages}, ensure_ascii=False, separators=(",", ":"))


def warm(conversations: Iterable[int], turns: int) -> None:
    """Write all the text before a clock runs: searching is instant, and generating it is not."""
    for conversation in conversations:
        for turn in range(1, turns + 1):
            question(conversation, turn)
            query(conversation, turn)
            passages(conversation, turn)


def _chat_turn(conversation: int, turn: int) -> list[dict[str, object]]:
    call = call_id(conversation, turn)
    arguments = json.dumps({"query": query(conversation, turn)}, separators=(",", ":"))
    function = {"name": TOOL, "arguments": arguments}
    return [
        {"role": "user", "content": question(conversation, turn)},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call, "content": found(conversation, turn)},
        {"role": "assistant", "content": answer(conversation, turn)},
    ]


def _prose(chance: random.Random, chars: int) -> str:
    """Sentences of ten words, the tenth followed by a number, cut at `chars` or just before."""
    words = chance.choices(WORDS, k=chars // 5 + 2)
    words[0] = words[0].capitalize()
    for at in range(9, len(words), 10):
        words[at] = f"{words[at]} {chance.randrange(1, 10_000)}."
        if at + 1 < len(words):
            words[at + 1] = words[at + 1].capitalize()
    return " ".join(words)[:chars].rstrip(" .")
