"""The definitions of the measures at the end of report.md."""

MEASURES = """\
- theme_precision: share of the {k} directions whose top item is relevant. The relevant collections of a theme are \
those whose title, category or description holds all its core words. No embedding and no method sees this list. A \
theme without a relevant collection is left out.
- theme_precision_all: share of all retrieved items that are relevant.
- theme_recall: share of the relevant collections that are retrieved, of at most {budget}.
- recall@{budget}: share of the reference items that are retrieved (eq. 5). An item that two directions retrieve \
counts once. The reference set is one of many plausible answers, so read recall together with vendi and groundedness.
- recall_seen@{budget}, recall_unseen@{budget}: recall of the reference items that some training reference holds, and \
of those that none holds.
- hit@{budget}: share of queries with at least one retrieved reference item.
- swap: how often a query's own answer fits it better than the answer to another query does. 0.5 is chance. An answer \
fits a query by the mean cosine of its top items with the query. Ties are shared.
- identification: share of queries that their own answer fits best of all answers.
- jaccard: number of items that two answers share, divided by the number of items in at least one of them, as a mean \
over the other queries' answers. It is 1 if every query gets the same answer.
- catalogue_share: share of the pool that is in at least one answer. It has no interval.
- vendi: Vendi score of the directions' top items, divided by {k}. It is 1 if all items are orthogonal and 1/{k} if \
all are identical.
- groundedness: 1 minus the mean Euclidean distance between a direction and its nearest item (eq. 3). The directions \
of r4t_diffusion and r4t_student are the generated embeddings.
- alignment: mean cosine between the directions and the query (eq. 4).
- oar_reward: {reward.w_ground:g} groundedness + {reward.w_div:g} vendi + {reward.w_align:g} alignment (eq. 1).
- specific_reward: mean over the {k} directions of groundedness times nearness, times a power of vendi. Nearness is \
the probability that the top item belongs to the query and not to one of some training queries (InfoNCE). A missing \
direction counts 0.
- back_translation_reward: how much more probable a language model finds the query after the texts of the top items \
than after random items, in nats per token, plus a multiple of ln(vendi). It exists for a run that was trained on it.
- latency_ms_b*: time of one fan-out in milliseconds. The number after b is the batch size in queries. The value is \
the median over {repeats} repeats, after one warm-up call that is not timed. A language model fans out from query \
texts to parsed sub-queries. The diffusion fans out from the query embedding to L rows. Embedding and search are not \
timed. Methods that generate nothing have no latency.
- answer ms: wall time of a whole answer (generation, embedding, search, re-ranking) in milliseconds per query. \
Queries are answered in batches. A method is cheaper than another if it takes at most {cheaper:.0%} of its time.

A difference is the mean over queries of one method's value minus the other's. A method wins if the 95% interval of \
the difference leaves 0 out. The best cheap method is the one with the highest mean over these queries, which favours \
the cheap side.

A method emits fewer than {k} directions if an output is short or cannot be parsed. The missing directions retrieve \
no items and add nothing to vendi and theme_precision, which are still divided by {k}. Groundedness and alignment are \
means over the emitted directions. An empty output scores 0. Equation numbers are from arXiv 2603.06397.
"""
