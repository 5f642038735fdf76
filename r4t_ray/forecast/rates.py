"""Rates of the stages and their needs, for ``r4t pipeline CONFIG --dry-run``: figures of docs/, each with its page."""

from __future__ import annotations

# Rates per second: docs/measurements.md, "The stages of the cookbook"; EMBED_TEXTS: "The embed stage".
INGEST_ROWS, INDEX_VECTORS, EMBED_TEXTS = 20_000, 9_900, 350
WARM_START_EXAMPLES, ROLLOUTS, FAN_OUTS = 104, 22, 85
DIFFUSION_SAMPLES, DECODER_SETS, EVALUATED_ANSWERS = 480, 300, 40
MODEL_CALLS = 8.7
"""Calls per second of SmolLM2-135M in float32 on one core, by the back-translation reward: docs/rewards.md."""
START_S = 31
"""Start of a stage on Ray: docs/synthesis.md, "Replayed", 41.7 s less 10,011 pairs at 925 pairs/s."""
SLOWEST = 2.3
"""Minutes on the slower of two machines over minutes on the faster: README.md, 39 and 17."""
COOKBOOK_ITEMS, COOKBOOK_SETS, COOKBOOK_BYTES = 4_606, 3_129, 550_000
QUERIES = {"wscr": 0.78, "oar": 0.27}
"""Queries per set of the cookbook. A tenth is for validation, and a tenth is held out."""
GIB = 2**30
RAY, MODEL, PROCESS = 2.8 * GIB, 1.0 * GIB, 0.3 * GIB
"""Ray and the driver; a process with the encoder, and one without (the replay): docs/synthesis.md, "Replayed"."""
FOLM, ROLLOUT, PAIRS, ENGINE = 8.7 * GIB, 2.2 * GIB, 3.6 * GIB, 2.4 * GIB
"""docs/measurements.md, "Soft-GRPO beside plain trl": 10.9 and 13.1; docs/synthesis.md, "Live": 6.0 and 8.4."""
DIFFUSION, WORKER = 4.8 * GIB, 0.8 * GIB
ROW = 1_100
"""Bytes of a record in memory. As the next line: docs/measurements.md, "The stages of the cookbook"."""
HNSW, DECODER_ITEM, PAIR, FOLM_DISK, DIFFUSION_DISK, REPORT = 272, 1_500, 1_300, 37e6, 4.3e6, 500_000
"""Bytes on disk: a vector's links, an item of the decoder, a fan-out, a task's models, the report. Same section."""
NATIVE_DIM = 384
"""Width of the shipped encoder; the embed stage holds its vectors on disk until it ends."""
