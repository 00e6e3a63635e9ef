"""What people call things, and what the names of operations call them. English, and of no API in
particular: the words of those who serve customers on one side, those of interfaces on the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from stepfold.knowledge.terms import terms

_SAME = """
account profile settings: account settings
agent colleague staff assignee: agent user
answer answered conversation message note replied reply respond: comment
responded said wrote written: comment
assign assigned hand transfer: update assign
attached attachment file screenshot picture document upload: attachment upload
back undelete: restore recover
bill billed charge charged: invoice payment charge
block ban blocked: suspend block
bulk mass: bulk many
buyer caller client contact customer people person requester someone who whose whom: user customer
calculate number many total: count
canned template templates: macro template
cancel cancelled end stop: cancel delete
change changed edit modify rename correct set: update
changed happened history log trail when: audit event history
close closed solve solved resolve: update status
combine duplicate duplicates join together: merge
company firm business employer: organization company
copied cc copy: cc collaborator follower
create make new open register start: create
already another existing similar about: search
move put hand: update
would preview try: apply changes
deadline promised target targets response: sla policy
delete drop erase remove: delete remove
department team teams: group
device devices: session device
done finished progress ready running: status job
emails mail mails address phone: email identity address
erase good forever permanently: permanently delete
fields attributes columns: field
find look lookup search where: search
happy rated rating satisfied dissatisfied unhappy feedback complaint complain: satisfaction rating
why: reason
held quarantine quarantined stuck: suspended
hide hidden mask out sensitive secret card: redact
intern internal invisible only private: private
language translation languages: locale
list all which every: list
long took duration fast slow speed time quickly: metric
let through release accept allow: recover
logged login logout sign signed out: session logout
member members belongs belong in: membership
password: password
pay paid: payment
permission permissions allowed rights may: role permission
queue waiting inbox: view queue
rule rules automatic automatically workflow: trigger automation
auditor settings who: audit log
main principal: primary default
see view read details about look: show
someone somebody: user
tag label labelled: tag
""".strip()


_WORD = re.compile(r"[a-z]+")


def _key(word: str) -> str:
    """Its stem; a word that says nothing in a text is a key as it is."""
    word = "client" if word in ("customer", "customers") else word
    return next(iter(terms(word)), word)


def _read(text: str) -> Mapping[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        said, _, meant = line.partition(": ")
        for key in map(_key, said.split()):
            table[key] = (*table.get(key, ()), *map(_key, meant.split()))
    return table


_TABLE = _read(_SAME)


def also(phrase: str) -> Iterator[str]:
    """What else the words of a phrase may be called, as stems."""
    said = [_key(word) for word in _WORD.findall(phrase.lower())]
    found = {term: None for key in said for term in _TABLE.get(key, ())}
    yield from (term for term in found if term not in said)
