"""A description as it stands in a file: JSON or YAML, OpenAPI 3.0 or 3.1."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from msgspec import Struct

from stepfold.tools.openapi.errors import DescriptionRefused
from stepfold.tools.openapi.findings import Findings
from stepfold.tools.openapi.yaml_text import read_yaml

Json = dict[str, Any]
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
BYTES_MAX = 30_000_000
VERSIONS = ("3.0", "3.1")


class Description(Struct, frozen=True):
    """`document` is as it was written; `digest` names the bytes of the file."""

    document: Json
    digest: str
    characters: int
    findings: Findings


def read_description(path: Path) -> Description:
    """DescriptionRefused begins with the path and says what is wrong, with the line if there is
    one.
    """
    try:
        if path.stat().st_size > BYTES_MAX:
            raise DescriptionRefused(f"larger than {BYTES_MAX:,} bytes: take out what is not used")
        return parse_description(path.read_bytes())
    except DescriptionRefused as error:
        raise DescriptionRefused(f"{path}: {error}") from error
    except OSError as error:
        raise DescriptionRefused(f"{path}: {error.strerror}") from error


def parse_description(raw: bytes) -> Description:
    findings = Findings()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"byte {error.start:,} is no UTF-8: save the file as UTF-8"
        raise DescriptionRefused(why) from error
    try:
        told = _json(text, findings) if text.lstrip()[:1] == "{" else read_yaml(text, findings)
    except RecursionError as error:
        raise DescriptionRefused("nested too deep to be read") from error
    if _HALF.search(text):
        told = _mended(told)
    _check(told, findings)
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    return Description(told, digest, len(text), findings)


def _json(text: str, findings: Findings) -> Any:
    def mapping(pairs: list[tuple[str, Any]]) -> Json:
        told = dict(pairs)
        if len(told) < len(pairs):
            twice = sorted({name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1})
            findings.note("#", f"{', '.join(map(repr, twice))} stands twice", "the last one counts")
        return told

    try:
        return json.loads(text, object_pairs_hook=mapping, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DescriptionRefused(f"{where}: no JSON: {error.msg}") from error
    except ValueError as error:
        raise DescriptionRefused(f"no JSON: {error}") from error


def called(told: Any) -> str:
    """What kind of JSON it is, as people say it."""
    names: dict[type, str] = {bool: "true or false", str: "a text", list: "a list"}
    names |= {int: "a number", float: "a number", dict: "a mapping"}
    return "empty" if told is None else names.get(type(told), "no JSON")


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def _mended(told: Any) -> Any:
    """Without halves of characters, which an escape can spell and nothing can write."""
    if isinstance(told, str):
        return told.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(told, dict):
        return {_mended(name): _mended(each) for name, each in told.items()}
    return [_mended(each) for each in told] if isinstance(told, list) else told


def _check(told: Any, findings: Findings) -> None:
    if not isinstance(told, dict):
        raise DescriptionRefused(f"it is {called(told)}, not an OpenAPI description (a mapping)")
    if "swagger" in told:
        raise DescriptionRefused(
            f"Swagger {told['swagger']} is not supported, OpenAPI 3.0 and 3.1 are: convert it, for"
            " example with the tool swagger2openapi, and connect what that writes"
        )
    version = told.get("openapi")
    if version is None:
        near = [name for name in ("asyncapi", "arazzo", "overlay") if name in told]
        what = f"this is {near[0]}" if near else "`openapi: 3.0.3` or the like is missing"
        raise DescriptionRefused(f"no OpenAPI description: {what}")
    if not str(version).startswith("3"):
        raise DescriptionRefused(f"OpenAPI {version} is not supported (known: 3.0, 3.1)")
    if not str(version).startswith(VERSIONS):
        findings.note("#/openapi", f"OpenAPI {version} is not 3.0 or 3.1", "read as 3.1")
    if not isinstance(told.get("paths", {}), dict):
        raise DescriptionRefused("#/paths is no mapping of paths")
    if not told.get("paths"):
        more = ": it describes webhooks only, which call you" if told.get("webhooks") else ""
        raise DescriptionRefused(f"#/paths is missing or empty, so there is no operation{more}")
