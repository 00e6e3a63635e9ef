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
from stepfold.tools.tool import Tool, ToolSpec

TOOL = "a tool is made by @tool, or a FunctionTool"
VETO = "a veto is a function of the state and the step"
OBSERVER = "an observer is an Observer(name, kinds, see)"
MODEL = "a name that is a text stands for a model, which has `async def reply(self, prompt, /)`"


class Hooks(Struct, frozen=True):
    """What a module may bring: `TOOLS`, `VETOES` and `OBSERVERS`, and `MODELS` by their names."""

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
    if why := _misshapen(brought):
        raise CommandRefused(f"hooks {name!r}: {why}")
    return Hooks(**brought)


def _misshapen(brought: Mapping[str, object]) -> str:
    """Which of them is not what is asked for, and what that is; empty where all are."""
    lists = (
        ("tools", _is_tool, TOOL),
        ("vetoes", callable, VETO),
        ("observers", _is_observer, OBSERVER),
    )
    for field, fits, what in lists:
        several, name = brought.get(field, ()), field.upper()
        if isinstance(several, str) or not isinstance(several, Sequence):
            return f"{name} is a {_kind(several)}: a list, and {what}"
        for index, each in enumerate(several):
            if not fits(each):
                return f"{name}[{index}] is a {_kind(each)}: {what}"
    models = brought.get("models", {})
    if not isinstance(models, Mapping):
        return f"MODELS is a {_kind(models)}: a table of names to models"
    for model, each in models.items():
        if not isinstance(model, str) or not callable(getattr(each, "reply", None)):
            return f"MODELS[{model!r}] is a {_kind(each)}: {MODEL}"
    return ""


def _is_tool(each: object) -> bool:
    return isinstance(getattr(each, "spec", None), ToolSpec)


def _is_observer(each: object) -> bool:
    return isinstance(each, Observer)


def _kind(each: object) -> str:
    return type(each).__name__


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
