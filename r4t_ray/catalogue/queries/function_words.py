"""Words that say nothing about a subject: articles, pronouns, prepositions, conjunctions and auxiliary verbs.

The most frequent of English, German, French, Spanish, Italian, Portuguese and Dutch, folded, so without accents. A word
that names a thing or a person in some language is left out: "can", "fur" (German "für"), "dal", "den".
"""

ENGLISH = """
a an the
all another any both each either every few less many more most much neither other others own same several some such
he hers herself himself his i it its itself me my myself one our ours ourselves she that their theirs them
themselves these they this those us we what which who whom whose you your yours yourself
about above across after against along among around as at before behind below beneath beside besides between beyond by
despite during for from in inside into near of on onto out outside over per since through throughout to toward
towards under until up upon via with within without
also although and because but if nor not or so than then there though unless when where whereas whether while why yet
am are be been being cannot could did do does doing had has have having is might shall should was were
would
again almost already always else ever how however just never now only quite rather too very
"""

OTHER_LANGUAGES = """
al alla alle als auf auch aus avec bei con da das de del della delle dem der des di du een ein eine
einem einen einer el em et gli het il ist la las le les lo los na nach naar nel nella nicht no nos oder ohne
para pela pelo por que qui sich su sul sulla um una und une vom voor vor wie wij zu zum zur
"""

NAMES = "ii style"
"""Words that titles add to a name."""

STOP_WORDS = frozenset(f"{ENGLISH} {OTHER_LANGUAGES} {NAMES}".split())
