"""What every client sees first."""

import time

from e2e.stage import CheckError, Stage

SEED_TEXTS = ("I hate you.", "I love you.")


def answers_and_caches(stage: Stage) -> str:
    """The seed's request is answered; the second time from the cache, with the same bytes."""
    mark = time.time_ns()
    texts = [*SEED_TEXTS, f"something new {mark}"]
    first, second = stage.gateway.post(texts), stage.gateway.post(texts)
    if first.status != 200 or second.status != 200:
        raise CheckError(f"answered {first.status}, then {second.status}")
    best = [pairs[0]["label"] for pairs in first.predictions()][:2]
    if best != ["NEGATIVE", "POSITIVE"]:
        raise CheckError(f"{SEED_TEXTS} are {best}")
    if first.cache == "hit" or second.cache != "hit":
        raise CheckError(f"x-cache was {first.cache}, then {second.cache}: a new text, then known ones")
    if first.body != second.body:
        raise CheckError("a hit and a miss differ")
    return f"answered, then from the cache; model {first.version}"
