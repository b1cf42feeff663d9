"""One request's path: look texts up, forward the misses, assemble the answers.

Rules kept here: a text that many ask for at the same time is computed once; one answer never mixes model versions;
answers are stored under the version that made them; order is the request's.
"""

import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

from serving.errors import ServiceError
from serving.http.reply import Headers
from transformer.cache.key import CacheKeys
from transformer.cache.tiers import UNREAD
from transformer.errors import PredictorNonsenseError
from transformer.metrics import Metrics
from transformer.pipeline.answer import Answer, Model
from transformer.pipeline.flights import Flights
from transformer.pipeline.models import ModelsInForce
from transformer.pipeline.ports import Cache, Predictor


class Classified(NamedTuple):
    """One request's result.

    Attributes:
        model: the version every answer is from.
        answers: one per text, in request order.
        found: how many distinct texts were cached.
        asked: how many distinct texts there were.
        lookup_s: seconds spent looking up.
        predict_s: seconds spent waiting for forwards.
    """

    model: Model
    answers: Sequence[Answer]
    found: int
    asked: int
    lookup_s: float
    predict_s: float

    @property
    def outcome(self) -> Literal["hit", "miss", "partial"]:
        """Whether all, none or some of the distinct texts were cached."""
        if self.found == self.asked:
            return "hit"
        return "partial" if self.found else "miss"

    @property
    def truncated(self) -> int:
        """How many texts the model read only in part."""
        return sum([answer.truncated for answer in self.answers])  # half of what a generator costs


class Pipeline:
    """Classifies texts through the cache.

    Args:
        cache: where answers are kept.
        predictor: where missing answers come from.
        keys: names answers in the cache.
        models: knows the version in force.
        metrics: counts every text by outcome.
    """

    def __init__(
        self, *, cache: Cache, predictor: Predictor, keys: CacheKeys, models: ModelsInForce, metrics: Metrics
    ) -> None:
        self._cache = cache
        self._predictor = predictor
        self._keys = keys
        self._models = models
        self._metrics = metrics
        self._flights = Flights(forward=self._forward, metrics=metrics)

    @property
    def model(self) -> Model | None:
        """The model version in force; None before the first."""
        return self._models.current

    def recall(self, texts: Sequence[str]) -> Classified | None:
        """Answer every text from memory; None if it does not have them all."""
        started = time.perf_counter()
        model = self._models.current
        if model is None:
            return None
        given: list[Answer] = []
        peek, key_of, prefix = self._cache.peek, self._keys.key, model.prefix
        for text in texts:
            answer = peek(key_of(prefix, text))
            if answer is None:
                return None
            given.append(answer)
        found = len(set(texts))
        self._metrics.texts("hit_l1", found)
        if found < len(texts):
            self._metrics.texts("duplicate", len(texts) - found)
        tally = model.tally
        for answer in given:
            tally[answer.bin] += 1
        return Classified(
            model=model,
            answers=given,
            found=found,
            asked=found,
            lookup_s=time.perf_counter() - started,
            predict_s=0.0,
        )

    async def classify(self, texts: Sequence[str], headers: Headers) -> Classified:
        """Answer every text.

        Args:
            texts: valid texts, at least one.
            headers: the request's; some go to the predictor.

        Raises:
            ServiceError: a text is not cached and the predictor gave no answer.
        """
        model = self._models.current
        unique = list(dict.fromkeys(texts)) if len(texts) > 1 else texts
        if len(unique) < len(texts):
            self._metrics.texts("duplicate", len(texts) - len(unique))
        started = time.perf_counter()
        have, certain = ({}, True) if model is None else await self._look_up(model, unique, count=True)
        looked_up = time.perf_counter()
        found = len(have)
        if found < len(unique):
            missing = [text for text in unique if text not in have]
            try:
                model, have = await self._complete(model, have, missing, unique, headers)
            except ServiceError:
                # The look-up was cut short, and there may be an answer to be had.
                if model is None or certain:
                    raise
                have |= (await self._look_up(model, missing, count=False, patient=True))[0]
                if len(have) < len(unique):
                    raise
        assert model is not None  # noqa: S101  # either it was known or an answer brought it
        for text in texts:
            model.tally[have[text].bin] += 1
        return Classified(
            model=model,
            answers=[have[text] for text in texts],
            found=found,
            asked=len(unique),
            lookup_s=looked_up - started,
            predict_s=time.perf_counter() - looked_up,
        )

    async def close(self) -> None:
        """Wait for running forwards: their answers are still worth storing."""
        await self._flights.land()

    async def _look_up(
        self, model: Model, texts: Sequence[str], *, count: bool, patient: bool = False
    ) -> tuple[dict[str, Answer], bool]:
        """Give the answers that are cached, and whether it is certain that there are no more."""
        certain = True

        def read_all(values: Sequence[bytes | None]) -> list[Answer | None]:
            nonlocal certain
            certain = UNREAD not in values
            return model.read_all(values)

        have: dict[str, Answer] = {}
        peek, key_of, prefix = self._cache.peek, self._keys.key, model.prefix
        absent: list[tuple[str, bytes]] = []
        for text in texts:
            key = key_of(prefix, text)
            answer = peek(key)
            if answer is None:
                absent.append((text, key))
            else:
                have[text] = answer
        in_memory = len(have)
        if absent:
            fetched = await self._cache.fetch([key for _, key in absent], read_all, patient=patient)
            have.update({text: answer for (text, _), answer in zip(absent, fetched, strict=True) if answer is not None})
        if count:
            self._metrics.texts("hit_l1", in_memory)
            if len(have) > in_memory:
                self._metrics.texts("hit_l2", len(have) - in_memory)
        return have, certain

    async def _complete(
        self,
        model: Model | None,
        have: dict[str, Answer],
        missing: Sequence[str],
        unique: Sequence[str],
        headers: Headers,
    ) -> tuple[Model, dict[str, Answer]]:
        """Get the missing answers, and make all answers one version's."""
        flown = await self._flights.fly(missing, headers)
        by_version: dict[str, dict[str, Answer]] = {}
        models: dict[str, Model] = {}
        if model is not None and have:
            by_version[model.version], models[model.version] = have, model
        for text, (its_model, answer) in flown.items():
            by_version.setdefault(its_model.version, {})[text] = answer
            models[its_model.version] = its_model
        if len(models) == 1:
            ((version, answers),) = by_version.items()
            return models[version], answers
        # A rollout is in progress. Finish under the newest answer's version: what is unknown under it is looked up,
        # then requested; if yet another version answers, one call for all texts gives a single version.
        newest = flown[missing[0]].model
        answers = by_version[newest.version]
        answers |= (await self._look_up(newest, [text for text in unique if text not in answers], count=False))[0]
        rest = [text for text in unique if text not in answers]
        if not rest:
            return newest, answers
        final, scored = await self._forward(rest, headers)
        if final.version == newest.version:
            return newest, answers | scored
        return await self._forward(unique, headers)

    async def _forward(self, texts: Sequence[str], headers: Headers) -> tuple[Model, dict[str, Answer]]:
        scored = await self._predictor.score(texts, headers)
        model = self._models.model(scored.version, scored.labels, scored.scores_are)
        try:
            answers = {
                text: model.answer(scores, truncated=i in scored.truncated)
                for i, (text, scores) in enumerate(zip(texts, scored.scores, strict=True))
            }
        except ValueError:
            raise PredictorNonsenseError from None
        self._models.adopt(model)  # only now: a version that comes with nonsense must not be used for look-ups
        self._cache.store([(self._keys.key(model.prefix, text), answer) for text, answer in answers.items()])
        return model, answers
