"""One request's way: look texts up, forward the misses, put the answers together. Declares its ports.

Rules kept here: a text is computed once however many ask for it at the same time; one answer never mixes model
versions; answers are stored under the version that made them; order is the request's.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from transformer.cache.key import CacheKeys
from transformer.cache.tiers import UNREAD
from transformer.errors import PredictorNonsenseError, PredictorUnavailableError, TransformerError
from transformer.metrics import Metrics
from transformer.pipeline.answer import Answer, Model

_FORMER_MODELS = 4  # versions whose labels are remembered; a rollout has two


RawHeaders = Iterable[tuple[bytes, bytes]]
"""Header names (lower case) and values as ASGI gives them."""


class Scored(NamedTuple):
    """One answer of the predictor.

    Attributes:
        version: the model that made it.
        labels: its labels in class order.
        scores: a probability per label for every text, in the order asked.
        truncated: indices of texts the model read only in part.
    """

    version: str
    labels: Sequence[str]
    scores: Sequence[Sequence[float]]
    truncated: frozenset[int]


class Cache(Protocol):
    """Port: where answers are kept. Trouble reads as absence."""

    @property
    def peek(self) -> Callable[[bytes], Answer | None]:
        """Give the look-up that costs no round trip."""

    async def fetch(
        self,
        keys: Sequence[bytes],
        read_all: Callable[[Sequence[bytes | None]], list[Answer | None]],
        *,
        patient: bool = False,
    ) -> list[Answer | None]:
        """Look up keys that ``peek`` does not know; ``patient`` when there is no other way to an answer."""

    def store(self, answers: Sequence[tuple[bytes, Answer]]) -> None:
        """Keep answers; returns at once."""


class Predictor(Protocol):
    """Port: where missing answers come from."""

    async def score(self, texts: Sequence[str], headers: RawHeaders) -> Scored:
        """Get every text's scores from one model version."""


class Classified(NamedTuple):
    """One request's result.

    Attributes:
        model: the version every answer is from.
        answers: one per text, in request order.
        found: how many different texts were cached.
        asked: how many different texts there were.
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
        """Say whether all, none or some of the different texts were cached."""
        if self.found == self.asked:
            return "hit"
        return "partial" if self.found else "miss"

    @property
    def truncated(self) -> int:
        """Count the texts that the model read only in part."""
        return sum(answer.truncated for answer in self.answers)


class _Flown(NamedTuple):
    model: Model
    answer: Answer


class Pipeline:
    """Classifies texts through the cache.

    Attributes:
        confirmed: whether the predictor itself has said which model it serves.

    Args:
        cache: where answers are kept.
        predictor: where missing answers come from.
        keys: names answers in the cache.
        metrics: counts what becomes of every text.
        note: told the version and labels of whatever the predictor says.
    """

    def __init__(
        self,
        *,
        cache: Cache,
        predictor: Predictor,
        keys: CacheKeys,
        metrics: Metrics,
        note: Callable[[str, Sequence[str]], None] = lambda _version, _labels: None,
    ) -> None:
        self._cache = cache
        self._predictor = predictor
        self._keys = keys
        self._metrics = metrics
        self._note = note
        self.confirmed = False
        self._models: dict[str, Model] = {}
        self._in_force: Model | None = None
        self._flights: dict[str, asyncio.Future[_Flown]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def model(self) -> Model | None:
        """The model version in force: the one that answered last; None before the first."""
        return self._in_force

    def presume(self, version: str, labels: Sequence[str]) -> None:
        """Look answers up under a version that others name, until the predictor itself has spoken."""
        if self._in_force is None:
            self._put_in_force(self._model(version, labels))

    def adopt(self, version: str, labels: Sequence[str]) -> Model:
        """Put the model version that the predictor says in force and give it."""
        return self._adopt(self._model(version, labels))

    def _adopt(self, model: Model) -> Model:
        self.confirmed = True
        self._note(model.version, model.labels)
        return self._put_in_force(model)

    def _put_in_force(self, model: Model) -> Model:
        self._in_force = model
        self._metrics.version = model.version
        return model

    def _model(self, version: str, labels: Sequence[str]) -> Model:
        model = self._models.get(version)
        if model is None or model.labels != tuple(labels):
            model = Model(version=version, labels=labels, prefix=self._keys.prefix(version))
            self._models[version] = model
            while len(self._models) > _FORMER_MODELS:
                del self._models[next(iter(self._models))]
        return model

    def recall(self, texts: Sequence[str]) -> Classified | None:
        """Answer every text from memory; None when that does not have them all."""
        started = time.perf_counter()
        model = self._in_force
        if model is None:
            return None
        answers: dict[str, Answer] = {}
        peek, key_of, prefix = self._cache.peek, self._keys.key, model.prefix
        for text in texts:
            answer = peek(key_of(prefix, text))
            if answer is None:
                return None
            answers[text] = answer
        found = len(answers)
        self._metrics.texts("hit_l1", found)
        if found < len(texts):
            self._metrics.texts("duplicate", len(texts) - found)
        return Classified(
            model=model,
            answers=[answers[text] for text in texts],
            found=found,
            asked=found,
            lookup_s=time.perf_counter() - started,
            predict_s=0.0,
        )

    async def classify(self, texts: Sequence[str], headers: RawHeaders) -> Classified:
        """Answer every text.

        Args:
            texts: valid texts, at least one.
            headers: the request's, for the predictor to pick from.

        Raises:
            TransformerError: a text is not cached and the predictor gave no answer.
        """
        model = self._in_force
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
            except TransformerError:
                # The look-up was cut short, and there may be an answer to be had.
                if model is None or certain:
                    raise
                have |= (await self._look_up(model, missing, count=False, patient=True))[0]
                if len(have) < len(unique):
                    raise
        assert model is not None  # noqa: S101  # either it was known or an answer brought it
        return Classified(
            model=model,
            answers=[have[text] for text in texts],
            found=found,
            asked=len(unique),
            lookup_s=looked_up - started,
            predict_s=time.perf_counter() - looked_up,
        )

    async def close(self) -> None:
        """Wait for forwards under way: their answers are still worth storing."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

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
        headers: RawHeaders,
    ) -> tuple[Model, dict[str, Answer]]:
        """Get the missing answers, and make all answers one version's."""
        flown = await self._fly(missing, headers)
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
        # A rollout is under way. Finish under the newest answer's version: what is not known under it is looked up,
        # then asked for; an answer by yet another version is followed by one call for everything, which is pure.
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

    async def _fly(self, texts: Sequence[str], headers: RawHeaders) -> dict[str, _Flown]:
        """Get answers by joining forwards under way and starting one for the rest."""
        flights: dict[str, asyncio.Future[_Flown]] = {}
        own: list[str] = []
        for text in texts:
            flight = self._flights.get(text)
            if flight is None:
                own.append(text)
                flight = asyncio.get_running_loop().create_future()
                # A flight may fail after all who waited have gone.
                flight.add_done_callback(_look_at)
                self._flights[text] = flight
            flights[text] = flight
        self._metrics.texts("miss", len(own))
        self._metrics.texts("coalesced", len(texts) - len(own))
        if own:
            # Its own task: a waiter that is cancelled takes nobody down with it.
            task = asyncio.create_task(self._run_flight({text: flights[text] for text in own}, headers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await asyncio.wait(set(flights.values()))
        return {text: flight.result() for text, flight in flights.items()}

    async def _run_flight(self, flights: Mapping[str, "asyncio.Future[_Flown]"], headers: RawHeaders) -> None:
        try:
            model, answers = await self._forward(list(flights), headers)
            for text, flight in flights.items():
                flight.set_result(_Flown(model, answers[text]))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the waiters' to see
            for flight in flights.values():
                flight.set_exception(error)
        finally:
            for text, flight in flights.items():
                del self._flights[text]
                if not flight.done():
                    flight.set_exception(PredictorUnavailableError())

    async def _forward(self, texts: Sequence[str], headers: RawHeaders) -> tuple[Model, dict[str, Answer]]:
        scored = await self._predictor.score(texts, headers)
        model = self._model(scored.version, scored.labels)
        try:
            answers = {
                text: model.answer(scores, truncated=i in scored.truncated)
                for i, (text, scores) in enumerate(zip(texts, scored.scores, strict=True))
            }
        except ValueError:
            raise PredictorNonsenseError from None
        self._adopt(model)  # only now: a version that comes with nonsense is none to look answers up under
        self._cache.store([(self._keys.key(model.prefix, text), answer) for text, answer in answers.items()])
        return model, answers


def _look_at(flight: "asyncio.Future[_Flown]") -> None:
    if not flight.cancelled():
        flight.exception()
