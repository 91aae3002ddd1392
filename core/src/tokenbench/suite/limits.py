"""The least and the most that may be asked for, each with its reason: stated here, once.

Past them a number is a slip of the keyboard, found while planning, before it fills a disk or makes
a run without an end. docs/reference/suite.md repeats them; a test compares.
"""

MOST_DURATION_S = 7 * 24 * 3600.0
"""A week: soak tests take days. Also the longest time-out, and the longest mean gap of arrivals."""

MOST_REQUESTS = 5_000_000
"""Of one phase: each is a prompt on disk before the clock starts (4 kB for 1,000 tokens: 20 GB) and
a record in memory after it. Half of what :data:`tokenbench.load.arrivals.MOST` allows, because the
number of random arrivals differs from the expected one.
"""

MOST_PROMPT_TOKENS = 10_000_000_000
"""Of all prompts of one phase: 40 GB of text, at four bytes a token."""

MOST_CONTEXT_TOKENS = 100_000_000
"""Of one prompt and its answer: ten times the longest context of an open model (Llama 4 Scout,
10 million, its model card of 2025-04-05).
"""

MOST_CONCURRENCY = 64_512
"""A stream is a connection, and a client has the ports 1024 to 65535 towards one server."""

MOST_RATE = 100_000.0
"""Arrivals a second: were each answered within a second, more would be in flight than a client has
ports.
"""

LEAST_RATE = 1 / MOST_DURATION_S
"""One arrival in the longest repeat: a longer gap would never be seen."""

LEAST_BURSTINESS, MOST_BURSTINESS = 0.001, 1000.0
"""Gaps whose spread is 32 times their mean, and 0.03 times: below all come at once, above it is a
constant rate.
"""

MOST_REPEATS = 1000
"""The interval of confidence shrinks with the root of the number; a dozen is usual."""

MOST_LEVELS = 1000
"""Concurrencies and rates of one suite: each is a point of at least a warm-up and a repeat."""

MOST_DEGREE = 4096
"""Of parallelism, and replicas of a pool: the largest published is EP 320 (DeepSeek-V3 technical
report, arXiv 2412.19437).
"""
