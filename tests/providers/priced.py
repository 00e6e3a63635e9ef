"""Prices worked out by hand, and what has none: each sum stands above its case.

The rates are the book's of today: when one of them changes there, its case fails.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from stepfold.events.values import Usage

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Case(NamedTuple):
    """One price, of a usage today at the standard tier unless it says otherwise."""

    name: str
    model: str
    usage: Usage
    rates: str
    amount: str
    tier: str = ""
    at: datetime = NOW


def day(year: int, month: int, number: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, number, hour, minute, tzinfo=UTC)


LISTED = [
    # 1200 x 2.5 + 300 x 10 = 3000 + 3000
    Case("input and output", "openai/gpt-4o", Usage(1_200, 300), "input 2.5 output 10", "0.006"),
    # 1 x 0.05 + 1 x 0.4
    Case("one token each", "openai/gpt-5-nano", Usage(1, 1), "input 0.05 output 0.4", "0.00000045"),
    # 600 x 2.5 + 400 x 1.25 + 100 x 10 = 1500 + 500 + 1000
    Case("cached reads, at OpenAI", "openai/gpt-4o-2024-08-06", Usage(1_000, 100, cached=400),
         "input 2.5 cached 1.25 output 10", "0.003"),
    # 1024 x 0.025 + 50 x 2 = 25.6 + 100
    Case("all of the input cached", "openai/gpt-5-mini-2025-08-07", Usage(1_024, 50, cached=1_024),
         "cached 0.025 output 2", "0.0001256"),
    # 2000 x 15 + 10 x 120: this model has no rate of its own for cached tokens
    Case("cached tokens without a rate cost what others do", "openai/gpt-5-pro",
         Usage(2_000, 10, cached=1_500),
         "input 15 output 120", "0.0312"),
    # 4 x 3 + 8845 x 0.3 + 6 x 3.75 + 193 x 15 = 12 + 2653.5 + 22.5 + 2895
    Case("cached reads and a 5-minute cache write", "anthropic/claude-sonnet-4-5-20250929",
         Usage(8_855, 193, cached=8_845, cache_write=6, cache_write_1h=0),
         "input 3 cached 0.3 cache_write 3.75 output 15", "0.005583"),
    # 100 x 3 + 2000 x 6 + 10 x 15 = 300 + 12000 + 150
    Case("a 1-hour cache write", "anthropic/claude-sonnet-4-5",
         Usage(2_100, 10, cache_write=2_000, cache_write_1h=2_000),
         "input 3 cache_write_1h 6 output 15", "0.01245"),
    # 100 x 3 + 300 x 0.3 + 1000 x 3.75 + 500 x 6 + 20 x 15 = 300 + 90 + 3750 + 3000 + 300
    Case("writes for 5 minutes and for an hour", "anthropic/claude-sonnet-4-6",
         Usage(1_900, 20, cached=300, cache_write=1_500, cache_write_1h=500),
         "input 3 cached 0.3 cache_write 3.75 cache_write_1h 6 output 15", "0.00744"),
    # 10 x 5 + 4332 x 0.5 + 4513 x 6.25 + 211 x 25 = 50 + 2166 + 28206.25 + 5275
    Case("another Anthropic model", "anthropic/claude-opus-4-8",
         Usage(8_855, 211, cached=4_332, cache_write=4_513),
         "input 5 cached 0.5 cache_write 6.25 output 25", "0.03569725"),
    # 1000 x 4 + 500 x 5 + 100 x 20 = 4000 + 2500 + 2000
    Case("a cache write, at OpenAI", "openai/gpt-5.6-sol", Usage(1_500, 100, cache_write=500),
         "input 4 cache_write 5 output 20", "0.0085"),
    # 20 x 1.1 + 1024 x 4.4 = 22 + 4505.6
    Case("reasoning tokens are output", "openai/o3-mini-2025-01-31", Usage(20, 1_024, thinking=960),
         "input 1.1 output 4.4", "0.0045276"),
    # 13 x 1.25 + 1273 x 10 = 16.25 + 12730
    Case("thoughts are output, at Google", "google/gemini-2.5-pro", Usage(13, 1_273, thinking=980),
         "input 1.25 output 10", "0.01274625"),
    # 200000 x 1.25 + 10 x 10
    Case("up to the end of a tier", "google/models/gemini-2.5-pro", Usage(200_000, 10),
         "input 1.25 output 10", "0.2501"),
    # 200001 x 2.5 + 10 x 15: the whole call, not only what is above
    Case("one token above it", "google/models/gemini-2.5-pro", Usage(200_001, 10),
         "input 2.5 output 15", "0.5001525"),
    # 100001 x 2.5 + 150000 x 0.25 + 10 x 15 = 250002.5 + 37500 + 150
    Case("cached tokens count for the tier", "google/gemini-2.5-pro",
         Usage(250_001, 10, cached=150_000),
         "input 2.5 cached 0.25 output 15", "0.2876525"),
    # 1000 x 0.5 + 100000 x 0.05 + 20 x 2.5 = 500 + 5000 + 50
    Case("a tier at Anthropic", "anthropic/claude-haiku-5-5", Usage(101_000, 20, cached=100_000),
         "input 0.5 cached 0.05 output 2.5", "0.00555"),
    # 272001 x 5 + 100 x 22.5 = 1360005 + 2250
    Case("a tier at OpenAI", "openai/gpt-5.4-2026-03-05", Usage(272_001, 100),
         "input 5 output 22.5", "1.362255"),
    # 13 x 0.0375 + 61 x 0.15 = 0.4875 + 9.15: not the 542 and 63 that were counted
    Case("Cohere's billed units", "cohere/command-r7b-12-2024",
         Usage(542, 63, billed={"input_tokens": 13.0, "output_tokens": 61.0}),
         "input 0.0375 output 0.15", "0.0000096375"),
    # 51 x 2.5 + 13 x 10: cached tokens are in none of the units
    Case("Cohere's billed units with a cache", "cohere/command-a-03-2025",
         Usage(1_533, 36, cached=1_440, billed={"input_tokens": 51, "output_tokens": 13}),
         "input 2.5 output 10", "0.0002575"),
    # 4 x 0.12
    Case("Cohere's embeddings", "cohere/embed-v4.0",
         Usage(billed={"input_tokens": 4, "image_tokens": 0}),
         "input 0.12", "0.00000048"),
    # 9 x 0.02
    Case("OpenAI's embeddings", "openai/text-embedding-3-small", Usage(9),
         "input 0.02", "0.00000018"),
    # 1000000 x 0.13, and nothing came out
    Case("embeddings that tell an output of none", "openai/text-embedding-3-large",
         Usage(1_000_000, 0),
         "input 0.13", "0.13"),
    # 7 x 0.15
    Case("Google's embeddings", "google/models/gemini-embedding-001", Usage(7),
         "input 0.15", "0.00000105"),
    # 7 x 0.2: it has a rate for images, but what is embedded here is text
    Case("embeddings of a model that takes images too", "google/gemini-embedding-2-preview",
         Usage(7),
         "input 0.2", "0.0000014"),
    # 8606 x 3 + 132 x 15 = 25818 + 1980 in millionths, and one search of 10 / 1000
    Case("web search, at Anthropic", "anthropic/claude-sonnet-4-20250514",
         Usage(8_606, 132, billed={"web_search": 1}),
         "input 3 output 15 per_web_search 0.01", "0.037798"),
    # 100 x 3 + 10 x 15: what is fetched costs its tokens only
    Case("web fetch is free", "anthropic/claude-sonnet-4-6",
         Usage(100, 10, billed={"web_fetch": 2}, raw={"inference_geo": "global"}),
         "input 3 output 15 per_web_fetch 0", "0.00045"),
    # 1000 x 1.25 + 100 x 10 = 2250, 3 x 10 / 1000 and 2 x 2.5 / 1000
    Case("web and file search, at OpenAI", "openai/gpt-5-2025-08-07",
         Usage(1_000, 100, billed={"web_search": 3, "file_search": 2}),
         "input 1.25 output 10 per_web_search 0.01 per_file_search 0.0025", "0.03725"),
    # 95 x 0.5 + 198 x 3 = 641.5 and 14 / 1000
    Case("web search, at Google", "google/gemini-3-flash-preview",
         Usage(95, 198, thinking=132, billed={"web_search": 1}),
         "input 0.5 output 3 per_web_search 0.014", "0.0146415"),
    # 89 x 0.3 + 1917 x 1 + 100 x 2.5 = 26.7 + 1917 + 250
    Case("audio heard", "google/gemini-2.5-flash", Usage(2_006, 100, audio_in=1_917),
         "input 0.3 audio_in 1 output 2.5", "0.0021937"),
    # 10 x 2.5 + 90 x 32 + 20 x 10 + 200 x 64 = 25 + 2880 + 200 + 12800
    Case("audio heard and spoken", "openai/gpt-audio", Usage(100, 220, audio_in=90, audio_out=200),
         "input 2.5 audio_in 32 output 10 audio_out 64", "0.015905"),
    # 100 x 1.25 + 5 x 10: this model has one rate for all that it reads
    Case("audio without a rate costs what text does", "google/gemini-2.5-pro",
         Usage(100, 5, cached=0, audio_in=90),
         "input 1.25 output 10", "0.000175"),
    # 100 x 0.3 + 10 x 2.5
    Case("Vertex has Google's prices", "vertex/publishers/google/models/gemini-2.5-flash",
         Usage(100, 10),
         "input 0.3 output 2.5", "0.000055", "ON_DEMAND"),
    # 100 x 2 + 10 x 10
    Case("Anthropic's models on Vertex", "vertex/claude-sonnet-5-5@20260901", Usage(100, 10),
         "input 2 output 10", "0.0003"),
    # 1000 x 10 + 100 x 40: the day before the price fell
    Case("before a price changed", "openai/o3", Usage(1_000, 100),
         "input 10 output 40", "0.014", at=day(2025, 6, 9, 23, 59)),
    # 1000 x 2 + 100 x 8
    Case("after it changed", "openai/o3", Usage(1_000, 100),
         "input 2 output 8", "0.0028", at=day(2025, 6, 10)),
    # 1000 x 4 + 100 x 20: a price that is announced
    Case("a price to come", "google/gemini-4-argon", Usage(1_000, 100),
         "input 4 output 20", "0.006", at=day(2026, 12, 1)),
    # 250001 x 10 + 10 x 37.5: the tier that this model once had
    Case("a tier that was given up, while it was there", "anthropic/claude-opus-4-6",
         Usage(250_001, 10),
         "input 10 output 37.5", "2.500385", at=day(2026, 3, 12)),
    # 250001 x 5 + 10 x 25
    Case("and afterwards", "anthropic/claude-opus-4-6", Usage(250_001, 10),
         "input 5 output 25", "1.250255", at=day(2026, 3, 13)),
    # 1000 x 1.5 + 500 x 0.15 + 100 x 7.5 = 1500 + 75 + 750
    Case("a batch, at Anthropic", "anthropic/claude-sonnet-4-5", Usage(1_500, 100, cached=500),
         "input 1.5 cached 0.15 output 7.5", "0.002325", "batch"),
    # 1000 x 0.625 + 500 x 0.0625 + 100 x 5 = 625 + 31.25 + 500
    Case("flex", "openai/gpt-5", Usage(1_500, 100, cached=500),
         "input 0.625 cached 0.0625 output 5", "0.00115625", "flex"),
    # 1000 x 4.25 + 100 x 17, and a search at the rate of every tier
    Case("priority", "openai/gpt-4o-2024-08-06", Usage(1_000, 100, billed={"web_search": 1}),
         "input 4.25 output 17 per_web_search 0.01", "0.01595", "priority"),
    # 100 x 10 + 10 x 50
    Case("fast, at Anthropic", "anthropic/claude-opus-4-8", Usage(100, 10),
         "input 10 output 50", "0.0015", "fast"),
    # 1000 x 2.5 + 100 x 10
    Case("OpenAI's default tier is the standard one", "openai/gpt-4o", Usage(1_000, 100),
         "input 2.5 output 10", "0.0035", "default"),
    Case("nothing was used", "openai/gpt-4o", Usage(0, 0), "", "0"),
]  # fmt: skip


OURS = """
[[price]]
provider = "cohere"
model = "rerank-*"
each.search_units = 0.002

[[price]]
provider = "cohere"
model = "rerank-v4.0-pro"
from = 2026-06-01
each.search_units = 0.0025

[[price]]
provider = "openai"
model = "gpt-4o"
from = 2026-07-01
input = 2
output = 8

[[price]]
provider = "openai"
model = "gpt-4o-2024-05-13"
input = 7

[[price]]
provider = "anthropic"
model = "claude-sonnet-4-5"
each.code_execution = 0.05

[[price]]
provider = "anthropic"
model = "claude-sonnet-4-5"
tier = "priority"
input = 1
output = 2

[[price]]
provider = "house"
model = "llama-*"
input = 0.000001
output = 0
each.request = 0.0001
[[price.above]]
tokens = 1_000
input = 3
[[price.above]]
tokens = 10_000
input = 5
output = 1

[[price]]
provider = "google"
model = "gemini-2.5-flash-image"
input = 0.3
output = 30
"""


OVERRIDDEN = [
    # 3 x 0.002
    Case("rerank searches", "cohere/rerank-v3.5", Usage(billed={"search_units": 3}),
         "per_search_units 0.002", "0.006"),
    # 1 x 0.002, the pattern's: the model's own begins the next day
    Case("before an override begins", "cohere/rerank-v4.0-pro", Usage(billed={"search_units": 1}),
         "per_search_units 0.002", "0.002", at=day(2026, 5, 31, 23, 59)),
    # 1 x 0.0025
    Case("from its first day on", "cohere/rerank-v4.0-pro", Usage(billed={"search_units": 1}),
         "per_search_units 0.0025", "0.0025", at=day(2026, 6, 1)),
    # 600 x 2 + 400 x 1.25 + 100 x 8: the rate that it does not name is the book's
    Case("an override wins, rate by rate", "openai/gpt-4o-2024-08-06",
         Usage(1_000, 100, cached=400),
         "input 2 cached 1.25 output 8", "0.0025"),
    # 1000 x 7 + 100 x 15: not the one of gpt-4o
    Case("the name with its date wins over the one without", "openai/gpt-4o-2024-05-13",
         Usage(1_000, 100),
         "input 7 output 15", "0.0085"),
    # 1000 x 2.5 + 100 x 10
    Case("an override that has not begun", "openai/gpt-4o", Usage(1_000, 100),
         "input 2.5 output 10", "0.0035", at=day(2026, 6, 30)),
    # 1000 x 3 + 100 x 15 = 4500, and two at 0.05
    Case("a unit that the book does not know", "anthropic/claude-sonnet-4-5",
         Usage(1_000, 100, billed={"code_execution": 2}),
         "input 3 output 15 per_code_execution 0.05", "0.1045"),
    # 1000 x 1 + 100 x 2
    Case("a tier that the book does not know", "anthropic/claude-sonnet-4-5", Usage(1_000, 100),
         "input 1 output 2", "0.0012", "priority"),
    # 1 x 0.000001, and a request
    Case("a model of the house, finer than a float", "house/llama-4", Usage(1, 0),
         "input 0.000001 per_request 0.0001", "0.000100000001"),
    # 1001 x 3 and a request; 10 tokens of output are free
    Case("its first tier", "house/llama-4", Usage(1_001, 10),
         "input 3 output 0 per_request 0.0001", "0.003103"),
    # 10001 x 5 + 10 x 1 and a request
    Case("its second tier", "house/llama-4", Usage(10_001, 10),
         "input 5 output 1 per_request 0.0001", "0.050115"),
    # 100 x 0.3 + 1290 x 30
    Case("a model that paints, by the rate of what it paints", "google/gemini-2.5-flash-image",
         Usage(100, 1_290),
         "input 0.3 output 30", "0.03873"),
]  # fmt: skip


class Unknown(NamedTuple):
    name: str
    model: str
    usage: Usage
    tier: str = ""
    at: datetime = NOW


TEN = Usage(10, 10)
UNKNOWN = [
    Unknown("the model", "openai/gpt-99", TEN),
    Unknown("the provider", "nobody/gpt-4o", TEN),
    Unknown("a provider whose name holds another's", "my-openai/gpt-4o", TEN),
    Unknown("no provider", "/gpt-4o", TEN),
    Unknown("a unit", "openai/gpt-4o", Usage(10, 10, billed={"code_interpreter": 1})),
    Unknown("a search where searches have no rate",
             "openai/o3-mini", Usage(10, 10, billed={"web_search": 1})),
    Unknown("rerank, without an override", "cohere/rerank-v3.5", Usage(billed={"search_units": 1})),
    Unknown("what Cohere billed", "cohere/command-r7b-12-2024", Usage(542, 63)),
    Unknown("images that Cohere billed",
             "cohere/embed-v4.0", Usage(billed={"input_tokens": 4, "image_tokens": 9})),
    Unknown("any count", "openai/gpt-4o", Usage()),
    Unknown("the output", "openai/gpt-4o", Usage(10)),
    Unknown("the input", "openai/gpt-4o", Usage(None, 10)),
    Unknown("output of a model that has no rate for it", "openai/text-embedding-3-small", TEN),
    Unknown("tokens of a model that is paid by the hour", "openai/whisper-1", TEN),
    Unknown("what of the output is an image", "google/gemini-2.5-flash-image", TEN),
    Unknown("what of the audio was cached",
             "google/gemini-2.5-flash", Usage(10, 1, cached=5, audio_in=5)),
    Unknown("which count is right", "openai/gpt-4o", Usage(10, 1, cached=11)),
    Unknown("what a negative count means", "openai/gpt-4o", Usage(-1, 1)),
    Unknown("what no number means",
             "openai/gpt-4o", Usage(1, 1, billed={"web_search": float("nan")})),
    Unknown("a batch without a rate", "openai/gpt-4.5-preview", TEN, "batch"),
    Unknown("flex where there is none", "openai/gpt-4o", TEN, "flex"),
    Unknown("flex before the book knew it", "openai/gpt-5", TEN, "flex", day(2026, 10, 11)),
    Unknown("capacity paid by contract", "anthropic/claude-sonnet-4-5", TEN, "priority"),
    Unknown("throughput paid by contract", "vertex/gemini-2.5-pro", TEN, "PROVISIONED_THROUGHPUT"),
    Unknown("the premium of a region",
            "anthropic/claude-sonnet-4-6", Usage(10, 10, raw={"inference_geo": "us"})),
    Unknown("what another model took that helped",
            "anthropic/claude-sonnet-4-6",
            Usage(10, 10, raw={"iterations": [{"model": "claude-opus-4-8", "input_tokens": 9}]})),
    Unknown("the tier that was to be chosen", "openai/gpt-4o", TEN, "auto"),
]  # fmt: skip
