"""Tokenises short requests at once, on the event loop, and long ones in one thread, a slice of each in turn."""

import logging
import threading
from collections import deque
from collections.abc import Callable

from predictor.batching.job import Job
from predictor.checkpoint.tokenizer import TextTokenizer
from predictor.errors import InferenceFailedError

log = logging.getLogger(__name__)

# A slice takes a few milliseconds: that is how long a short text may wait behind a body of one megabyte.
_SLICE_TEXTS = 16
_SLICE_CHARS = 16_384
# This much takes less time than waking another thread, and delays the event loop no longer than reading the request.
_SHORT_CHARS = 512


class TokenisingThread:
    """Tokenises jobs and passes each on when it is complete.

    Args:
        tokenizer: shared with the callers of ``put``.
        on_tokenised: called with every job, also with failed or abandoned ones, in the thread that finished it.
    """

    def __init__(self, *, tokenizer: TextTokenizer, on_tokenised: Callable[[Job], None]) -> None:
        self._tokenizer = tokenizer
        self._on_tokenised = on_tokenised
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="tokeniser", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Finish what is queued and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def put(self, job: Job) -> None:
        """Take a job to tokenise; a short one is passed on when this returns."""
        if sum(map(len, job.texts)) <= _SHORT_CHARS:
            self._advance(job)
        else:
            self._append(job)

    def _append(self, job: Job) -> None:
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()

    def _run(self) -> None:
        while (job := self._next_job()) is not None:
            self._advance(job)

    def _advance(self, job: Job) -> None:
        try:
            self._tokenise_slice(job)
        except Exception:  # whatever the library raises, its thread must survive
            log.exception("tokenising failed", extra={"texts": len(job.texts)})
            job.fail(InferenceFailedError("A text of this request cannot be tokenised."))
        if job.over or len(job.encoded) == len(job.texts):
            self._on_tokenised(job)
        else:
            self._append(job)

    def _next_job(self) -> Job | None:
        with self._changed:
            while not self._jobs and not self._closing:
                self._changed.wait()
            return self._jobs.popleft() if self._jobs else None

    def _tokenise_slice(self, job: Job) -> None:
        if job.over:
            return
        texts: list[str] = []
        chars = 0
        for text in job.texts[len(job.encoded) : len(job.encoded) + _SLICE_TEXTS]:
            if texts and chars + len(text) > _SLICE_CHARS:
                break
            texts.append(text)
            chars += len(text)
        job.encoded += self._tokenizer.encode(texts)
