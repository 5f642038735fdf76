"""Words that say nothing about a subject: articles, pronouns, prepositions, conjunctions and auxiliary verbs.

English is complete but for rare words. Of German, French, Spanish, Italian, Portuguese and Dutch the most frequent are
here. They are folded, so without accents. A word that is a noun or an adjective in one of these languages is left out,
such as French "son" and "sans".
"""

ENGLISH = """
a an the
all another any both each either every few less many more most much neither other others own same several some such
he her hers herself him himself his i it its itself me my myself one our ours ourselves she that their theirs them
themselves these they this those us we what which who whom whose you your yours yourself
about above across after against along among around as at before behind below beneath beside besides between beyond by
despite during for from in inside into near of on onto out outside over per since through throughout to toward
towards under until up upon via with within without
also although and because but if nor not or so than then there though unless when where whereas whether while why yet
am are be been being can cannot could did do does doing had has have having is may might must shall should was were will
would
again almost already always else ever how however just never now only quite rather too very
"""

OTHER_LANGUAGES = """
al alla alle als auf auch aus avec bei com con da dal das de del della delle dem den der des di dos du een ein eine
einem einen einer el em et fur gli het il im ist la las le les lo los mit na nach naar nel nella nicht no nos oder ohne
para pela pelo por que qui sein sich su sul sulla um una und une uno vom voor vor wie wij zu zum zur
"""

NAMES = "ii style"
"""Words that titles add to a name."""

STOP_WORDS = frozenset(f"{ENGLISH} {OTHER_LANGUAGES} {NAMES}".split())
