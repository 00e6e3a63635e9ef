"""Recall of the required documents at 10, over the bank's 60 questions.

Run as `python -m bench.recall [--json]`; the data is looked for under STEPFOLD_DATA.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from statistics import mean

import msgspec

from stepfold.knowledge.documents import load
from stepfold.knowledge.index import Index

DEPTH = 10


class Question(msgspec.Struct, frozen=True):
    id: str
    question: str
    required_documents: frozenset[str]


class Report(msgspec.Struct, frozen=True):
    """`ceiling` is the best recall possible: many questions require more than 10 documents."""

    questions: int
    documents: int
    chunks: int
    recall_at_10: float
    ceiling: float
    build_s: float
    search_ms: float
    search_ms_max: float


def measure(folder: Path) -> Report:
    documents = load(folder / "documents.jsonl")
    Index.build(documents[:1]).search("warm", 1)
    started = time.perf_counter()
    index = Index.build(documents)
    build_s = time.perf_counter() - started
    recalls, spent = [], []
    questions = _questions(folder / "questions.jsonl")
    for question in questions:
        started = time.perf_counter()
        found = index.search_documents(question.question, DEPTH)
        spent.append((time.perf_counter() - started) * 1000)
        recalls.append(_recall(question, frozenset(passage.document for passage in found)))
    return Report(
        questions=len(questions),
        documents=len(documents),
        chunks=len(index),
        recall_at_10=round(mean(recalls), 4),
        ceiling=round(mean(_ceiling(question) for question in questions), 4),
        build_s=round(build_s, 3),
        search_ms=round(mean(spent), 2),
        search_ms_max=round(max(spent), 2),
    )


def _questions(file: Path) -> list[Question]:
    lines = file.read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Question) for line in lines if line.strip()]


def _recall(question: Question, found: frozenset[str]) -> float:
    return len(question.required_documents & found) / len(question.required_documents)


def _ceiling(question: Question) -> float:
    required = len(question.required_documents)
    return min(DEPTH, required) / required


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    as_json = parser.parse_args().json
    folder = Path(os.environ.get("STEPFOLD_DATA", "../shared/data")) / "bank_kb"
    if not folder.is_dir():
        print(f"bench.recall: {folder} does not exist; set STEPFOLD_DATA", file=sys.stderr)
        return 2
    report = msgspec.to_builtins(measure(folder))
    lines = [f"{name.replace('_', ' '):15} {value:>8}" for name, value in report.items()]
    print(json.dumps(report) if as_json else "\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
