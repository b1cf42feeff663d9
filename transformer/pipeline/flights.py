"""Single flight: a text that many requests miss at the same time is forwarded once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from serving.http.reply import Headers
from transformer.errors import PredictorUnavailableError
from transformer.metrics import Metrics
from transformer.pipeline.answer import Answer, Model

Forward = Callable[[Sequence[str], Headers], Awaitable[tuple[Model, dict[str, Answer]]]]
"""Gets the answers of texts, all from one model version."""


class Flown(NamedTuple):
    """A forwarded text's answer, and the model that gave it."""

    model: Model
    answer: Answer


class Flights:
    """Forwards texts, each once at a time.

    Args:
        forward: gets answers.
        metrics: counts misses, and texts that joined another request's.
    """

    def __init__(self, *, forward: Forward, metrics: Metrics) -> None:
        self._forward = forward
        self._metrics = metrics
        self._flights: dict[str, asyncio.Future[Flown]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def fly(self, texts: Sequence[str], headers: Headers) -> dict[str, Flown]:
        """Get answers by joining running forwards and starting one for the rest."""
        flights: dict[str, asyncio.Future[Flown]] = {}
        own: list[str] = []
        loop = asyncio.get_running_loop()
        for text in texts:
            flight = self._flights.get(text)
            if flight is None:
                own.append(text)
                flight = loop.create_future()
                # A flight may fail after everyone who waited has gone.
                flight.add_done_callback(_look_at)
                self._flights[text] = flight
            flights[text] = flight
        self._metrics.texts("miss", len(own))
        self._metrics.texts("coalesced", len(texts) - len(own))
        if own:
            # Its own task: a cancelled waiter must not cancel the others' answers.
            task = loop.create_task(self._run({text: flights[text] for text in own}, headers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        # Texts of one forward land together: the first is waited for, the others are there.
        return {text: await asyncio.shield(flight) for text, flight in flights.items()}

    async def _run(self, flights: Mapping[str, "asyncio.Future[Flown]"], headers: Headers) -> None:
        try:
            model, answers = await self._forward(list(flights), headers)
            for text, flight in flights.items():
                flight.set_result(Flown(model, answers[text]))
        except Exception as error:  # noqa: BLE001  # whatever it is, the waiters get it
            for flight in flights.values():
                flight.set_exception(error)
        finally:
            for text, flight in flights.items():
                del self._flights[text]
                if not flight.done():
                    flight.set_exception(PredictorUnavailableError())

    async def land(self) -> None:
        """Wait for running forwards: their answers are still worth storing."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _look_at(flight: "asyncio.Future[Flown]") -> None:
    if not flight.cancelled():
        flight.exception()
