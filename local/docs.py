"""Writes tables of settings, metrics and families into the services' READMEs, from the code: `python -m local.docs`.

A table is between `<!-- settings -->`, or a similar marker, and the next `<!-- end -->`.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from prometheus_client import CollectorRegistry
from pydantic_settings import BaseSettings

from predictor.checkpoint.config import ScoresAre
from predictor.checkpoint.families import FAMILIES
from predictor.metrics import Metrics as PredictorMetrics
from predictor.settings import Settings as PredictorSettings
from serving.throttling import Throttling
from transformer.metrics import Metrics as TransformerMetrics
from transformer.settings import Settings as TransformerSettings

ROOT = Path(__file__).resolve().parents[1]


def settings_table(settings: type[BaseSettings]) -> str:
    """Write every setting's variable, default and meaning; raises ValueError if a meaning is missing."""
    prefix = settings.model_config["env_prefix"]
    rows = []
    for name, field in settings.model_fields.items():
        if not field.description:
            raise ValueError(f"{prefix}{name.upper()} has no description")
        rows.append((f"`{prefix}{name.upper()}`", _default(field), field.description))
    return _table(("Variable", "Default", "Meaning"), rows)


def metrics_table(families: Iterable[Any], labels: dict[str, Sequence[str]]) -> str:
    """Write every metric's name, type, labels and meaning."""
    rows = []
    for family in families:
        if family.name.endswith("_created"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        named = ", ".join(f"`{label}`" for label in labels.get(family.name, ()))
        rows.append((f"`{name}`", family.type, named, family.documentation))
    return _table(("Metric", "Type", "Labels", "Meaning"), sorted(rows))


def families_table() -> str:
    """Write every family of checkpoints with its heads and precisions."""
    heads, precisions = ", ".join(get_args(ScoresAre)), "f32, bf16; int8"
    rows = [(f"`{family.architecture}`", heads, precisions) for family in FAMILIES.values()]
    return _table(("`architectures` in config.json", "Heads", "Precisions"), rows)


def pages() -> dict[Path, str]:
    """Give both READMEs as they should be."""
    registry = CollectorRegistry()
    predictor = PredictorMetrics(registry=registry)
    known = {metric._name: metric._labelnames for metric in vars(predictor).values() if hasattr(metric, "_labelnames")}  # noqa: SLF001
    own = [*TransformerMetrics().collect(), *Throttling(service="transformer").collect()]
    return {
        ROOT / "transformer" / "README.md": _filled(
            ROOT / "transformer" / "README.md",
            settings=settings_table(TransformerSettings),
            metrics=metrics_table(own, {family.name: family._labelnames for family in own}),  # noqa: SLF001
        ),
        ROOT / "predictor" / "README.md": _filled(
            ROOT / "predictor" / "README.md",
            settings=settings_table(PredictorSettings),
            families=families_table(),
            metrics=metrics_table([*registry.collect(), *Throttling(service="predictor").collect()], known),
        ),
    }


def _filled(path: Path, **tables: str) -> str:
    text = path.read_text()
    for name, table in tables.items():
        text, found = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda match, table=table: f"{match[1]}{table}{match[2]}",
            text,
            flags=re.DOTALL,
        )
        if found != 1:
            raise ValueError(f"{path} needs one place for {name}, and has {found}")
    return text


def _default(field: Any) -> str:
    if field.default_factory is not None or field.default in (None, ""):
        return ""
    value = str(field.default).lower() if isinstance(field.default, bool) else field.default
    return f"`{value}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(line.replace("|  |", "| |") for line in lines) + "\n"


def main() -> int:
    """Write both."""
    for path, text in pages().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
