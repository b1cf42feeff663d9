"""The model versions that answers come from, and the current one, which answered last."""

from collections.abc import Callable, Sequence

from serving.scores import ScoresAre
from transformer.cache.key import CacheKeys
from transformer.metrics import Metrics
from transformer.pipeline.answer import Model

_FORMER_MODELS = 4  # versions whose labels are remembered; a rollout has two


class ModelsInForce:
    """Remembers versions with their labels, and which of them look-ups use.

    Attributes:
        current: the version in force; None while unknown.
        confirmed: whether the predictor itself has named its model.

    Args:
        keys: names the versions' answers in the cache.
        metrics: publishes the version in force.
        note: told the version, labels and kind of scores that the predictor names; None for no one.
    """

    def __init__(
        self,
        *,
        keys: CacheKeys,
        metrics: Metrics,
        note: Callable[[str, Sequence[str], ScoresAre], None] | None = None,
    ) -> None:
        self._keys = keys
        self._metrics = metrics
        self._note = note
        self._models: dict[str, Model] = {}
        self.current: Model | None = None
        self.confirmed = False

    def model(self, version: str, labels: Sequence[str], scores_are: ScoresAre = "softmax") -> Model:
        """Give a version's model; the same object as long as its labels and scores stay the same."""
        model = self._models.get(version)
        if model is None or model.labels != tuple(labels) or model.scores_are != scores_are:
            tally = self._metrics.tally(tuple(labels))
            model = Model(
                version=version,
                labels=labels,
                prefix=self._keys.prefix(version),
                tally=tally,
                scores_are=scores_are,
                sealed=self._keys.secret,
            )
            self._models[version] = model
            while len(self._models) > _FORMER_MODELS:
                del self._models[next(iter(self._models))]
        return model

    def presume(self, version: str, labels: Sequence[str], scores_are: ScoresAre = "softmax") -> None:
        """Look answers up under a version that others name, until the predictor itself has answered."""
        if self.current is None:
            self._put_in_force(self.model(version, labels, scores_are))

    def adopt(self, model: Model) -> None:
        """Put the model that the predictor names in force."""
        self.confirmed = True
        if self._note is not None:
            self._note(model.version, model.labels, model.scores_are)
        self._put_in_force(model)

    def _put_in_force(self, model: Model) -> None:
        self.current = model
        self._metrics.version = model.version
