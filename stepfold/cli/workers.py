"""What a process that works is made of: the library, the script, and a module of the user's own."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from stepfold.app import HELP_DESK, Opened, Parts, granted, misfit
from stepfold.cli.exits import CommandRefused
from stepfold.cli.screen import count
from stepfold.handlers.decide import Veto
from stepfold.handlers.observer import Observer
from stepfold.knowledge.library import Library
from stepfold.policy.agent import Agent
from stepfold.providers.model import Model
from stepfold.providers.prices import load_prices
from stepfold.providers.scripted import PROVIDER as SCRIPTED
from stepfold.providers.scripted import ScriptedModel, load_script
from stepfold.settings import Settings, read_agent
from stepfold.settings.hosted import hosted
from stepfold.tools.tool import Tool


class Hooks(Struct, frozen=True):
    """What a module may bring: `TOOLS` and `MODELS` (by name), `VETOES` and `OBSERVERS`."""

    tools: Sequence[Tool] = ()
    models: Mapping[str, Model] = {}
    vetoes: Sequence[Veto] = ()
    observers: Sequence[Observer] = ()


def parts_of(here: Settings, script: Path | None, hooks: str | None) -> Parts:
    brought = load_hooks(hooks) if hooks else Hooks()
    ours = hosted()
    models = {**ours.models, **brought.models}
    if script is not None:
        models[SCRIPTED] = _scripted(script)
    return Parts(
        knowledge=Library(here.knowledge),
        models=models,
        rerankers=ours.rerankers,
        prices=load_prices(here.prices),
        tools={tool.spec.name: tool for tool in brought.tools},
        vetoes=brought.vetoes,
        observers=brought.observers,
    )


def _scripted(script: Path) -> Model:
    try:
        return ScriptedModel(load_script(script))
    except ValueError as error:
        raise CommandRefused(str(error)) from error


def load_hooks(name: str) -> Hooks:
    """Import a module, from the folder the command stands in too."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = import_module(name)
    except ImportError as error:
        raise CommandRefused(f"hooks {name!r}: {error}") from error
    except Exception as error:  # whatever a stranger's module does when it is imported
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename}:{last.lineno}"
        raise CommandRefused(f"hooks {name!r}: {where}: {type(error).__name__}: {error}") from error
    brought = {
        field: getattr(module, field.upper())
        for field in Hooks.__struct_fields__
        if hasattr(module, field.upper())
    }
    if not brought:
        known = ", ".join(field.upper() for field in Hooks.__struct_fields__)
        raise CommandRefused(f"hooks {name!r}: the module defines none of {known}")
    return Hooks(**brought)


async def choose_agent(
    found: Opened, parts: Parts, agent: Path | None, script: Path | None
) -> Agent:
    """The agent of new conversations: that of the file, the one for a script, or the appointed."""
    if agent is not None:
        chosen = await _appoint(found, parts, read_agent(agent))
    elif script is not None:
        chosen = await _appoint(found, parts, replace(HELP_DESK, models=(SCRIPTED,)))
    else:
        chosen = await found.appointed()
        if misfit(chosen, parts) is None and granted(chosen, parts) != chosen:
            chosen = await _appoint(found, parts, chosen)  # its tools are others than they were
    return chosen


async def _appoint(found: Opened, parts: Parts, agent: Agent) -> Agent:
    """What the tools are in themselves by now is pinned with the agent."""
    why = misfit(agent, parts)
    if why:
        raise CommandRefused(why)
    agent = granted(agent, parts)
    await found.agents.appoint(agent)
    return agent


def told_knowledge(here: Settings, agent: Agent) -> str:
    """What the agent can search, and what to do when it is nothing."""
    have = {each.name: each for each in Library(here.knowledge).collections()}
    told = [
        f"{name} ({count(have[name].documents, 'document')})"
        if name in have
        else f"{name} is empty: stepfold knowledge add PATH --collection {name}"
        for name in agent.collections
    ]
    return "; ".join(told) or "none: this agent searches nothing"
