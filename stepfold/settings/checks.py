"""Can these routes work? Models that nobody knows, tasks that no candidate can do, circles, what is
never reached: each is told, with its line and the way out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stepfold.handlers.choosing import CONVERSE
from stepfold.routing import Conditions, Need, Server
from stepfold.settings.catalogue import Does, Skills, like, providers, skills
from stepfold.settings.written import Listed, Problems, Written
from stepfold.settings.written_forms import MODELS
from stepfold.tasks import READY

EMBED, RERANK = "embed", "rerank"
DOES: Mapping[str, Does] = {EMBED: "embed", RERANK: "rerank"}
"""The tasks that are not answered in words."""
TASKS = (CONVERSE, *READY, "enrich", EMBED, RERANK)
"""The names of tasks that have a meaning; others are the user's own."""
ALWAYS = Conditions()


def needs_of(task: str) -> frozenset[Need]:
    """What a task needs by its nature, whatever is asked."""
    if task == CONVERSE or task in DOES:
        return frozenset()
    ready = READY.get(task)
    own: frozenset[Need] = ready.needs if ready else frozenset()
    return own | {"structured"}


class Checks:
    """`declared` is what the file itself says of models, `servers` the providers that it brings."""

    def __init__(
        self,
        written: Sequence[Written],
        declared: Mapping[str, Skills],
        servers: Mapping[str, Server],
        problems: Problems,
    ) -> None:
        self._written = written
        self._declared = declared
        self._servers = servers
        self._problems = problems
        self._wrong = problems.wrong
        self.models: dict[str, Skills] = {}

    def run(self) -> None:
        """Afterwards `models` holds every candidate that is known."""
        for each in self._written:
            for listed in (*each.ask, *each.shadow):
                self._check(each, listed)
        self._check_circles()
        for each in self._written:
            self._check_reached(each.ask)
            self._check_reached(each.shadow)
            self._check_possible(each)

    # -- one candidate --------------------------------------------------------------------------

    def _check(self, written: Written, listed: Listed) -> None:
        task = listed.candidate.task
        if task and task not in self._tasks():
            known = ", ".join(sorted(self._tasks()))
            self._wrong(listed.at, f"{written.route.name}: no task {task!r} (known: {known})")
        if task:
            return
        name = listed.candidate.model
        known_skills = self._declared.get(name) or skills(name)
        if known_skills is None:
            self._wrong(listed.at, f"{written.route.name}: {self._unknown(name)}")
            return
        self.models[name] = known_skills
        self._check_skills(written, listed, known_skills)

    def _unknown(self, name: str) -> str:
        provider = name.partition("/")[0]
        near = like(name)
        hint = f"did you mean {near!r}? Else " if near else ""
        declare = f'[{MODELS}."{name}"] says what it can do (tools, vision, structured, context)'
        if "/" not in name or provider in providers() or provider in self._servers:
            return f"model {name!r} is not known: {hint}{declare}"
        known = ", ".join(dict.fromkeys((*providers(), *self._servers)))
        return (
            f"model {name!r}: provider {provider!r} is not known (known: {known}): {hint}"
            f"[providers.{provider}] names a server of your own, and {declare}"
        )

    def _check_skills(self, written: Written, listed: Listed, known: Skills) -> None:
        wanted = DOES.get(written.route.task, "answer")
        if known.does != wanted:
            told = {"embed": "embeds", "rerank": "reranks", "other": "does neither"}
            what = f"{listed.name} {told.get(known.does, 'answers in text')}"
            other = "answers" if wanted == "answer" else told[wanted]
            self._wrong(listed.at, f"{written.route.name}: {what}: take a model that {other}")
        for need in listed.candidate.when.needs:
            if not getattr(known, need):
                why = f"is asked only when {need} is needed, and has none: take another model there"
                self._wrong(listed.at, f"{written.route.name}: {listed.name} {why}")

    # -- lists ----------------------------------------------------------------------------------

    def _check_reached(self, listed: Sequence[Listed]) -> None:
        for number, each in enumerate(listed):
            for before in listed[:number]:
                same = before.name == each.name
                if same and before.candidate.when in (ALWAYS, each.candidate.when):
                    line = self._problems.line(before.at)
                    why = f"{each.name} stands above already, in line {line}: take one out"
                    self._wrong(each.at, f"{why}, or say when each is meant")
                    break

    def _check_possible(self, written: Written) -> None:
        """Can any candidate do what the task needs by its nature? One that nobody knows is told of
        elsewhere.
        """
        needs = needs_of(written.route.task)
        candidates = list(self._candidates(written.ask, frozenset({written.route.task})))
        known = [self.models.get(each.candidate.model) for each in candidates]
        if not needs or not candidates or None in known:
            return
        for each in candidates:
            can = self.models[each.candidate.model]
            if all(getattr(can, need) for need in needs - set(each.candidate.when.not_needs)) and (
                not needs & set(each.candidate.when.not_needs)
            ):
                return
        wanted, names = " and ".join(sorted(needs)), ", ".join(each.name for each in candidates)
        why = f"needs {wanted}, and none of its candidates has that ({names}): add a model that has"
        self._wrong((*written.at, "ask"), f"{written.route.name} {why}")

    def _candidates(self, listed: Sequence[Listed], seen: frozenset[str]) -> Iterator[Listed]:
        """The models that a list can lead to."""
        for each in listed:
            task = each.candidate.task
            if not task:
                yield each
            elif task not in seen:
                for other in self._of(task):
                    yield from self._candidates(other.ask, seen | {task})

    # -- circles --------------------------------------------------------------------------------

    def _check_circles(self) -> None:
        told: set[frozenset[str]] = set()
        for written in self._written:
            for listed in (*written.ask, *written.shadow):
                circle = self._circle(written, listed)
                if circle and frozenset(circle) not in told:
                    told.add(frozenset(circle))
                    way = " → ".join((*circle, circle[0]))
                    self._wrong(listed.at, f"a circle of tasks: {way}: name a model in one of them")

    def _circle(self, written: Written, listed: Listed) -> tuple[str, ...]:
        """The tasks through which a candidate leads back to its own, else none. A route of a
        customer or an agent may name its own task: that is the wider route.
        """
        begin, task = written.route.task, listed.candidate.task
        if task != begin:
            return self._way(task, begin, (begin,)) if task else ()
        narrow = written.route.customer or written.route.agent
        return () if narrow and len(self._of(task)) > 1 else (begin,)

    def _way(self, task: str, end: str, way: tuple[str, ...]) -> tuple[str, ...]:
        if task == end:
            return way
        if task in way:
            return ()
        for written in self._of(task):
            for listed in (*written.ask, *written.shadow):
                other = listed.candidate.task
                if other and other != task and (found := self._way(other, end, (*way, task))):
                    return found
        return ()

    def _tasks(self) -> frozenset[str]:
        return frozenset(each.route.task for each in self._written)

    def _of(self, task: str) -> list[Written]:
        return [each for each in self._written if each.route.task == task]
