"""The report on a quantised checkpoint: what it costs, what changed, which kernels run it, how fast."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from quality.compare import Comparison
from quality.kernels import Kernel
from quality.speed import Speed

_SHOWN_KERNELS = 12


@dataclass(frozen=True)
class Report:
    """All that is known of one quantisation.

    Attributes:
        title: the checkpoint's name.
        recipe: what became int8, in words.
        tried: of each recipe that was refused, its words and why.
        calibration_texts: how many set the ranges.
        labels: of the model, in index order.
        comparisons: the first one decided.
        speed: by precision.
        kernels: of a full batch.
        instructions: what this CPU multiplies int8 with; None: nothing of the kind.
        compute: the precision between the int8 layers.
    """

    title: str
    recipe: str
    calibration_texts: int
    labels: Sequence[str]
    comparisons: Sequence[Comparison]
    speed: Mapping[str, Speed]
    kernels: Sequence[Kernel]
    instructions: str | None
    compute: str
    tried: Sequence[tuple[str, str]] = field(default=())


def caution(report: Report) -> str | None:
    """Give a sentence where int8 brings no speed on this machine."""
    if report.instructions is None:
        return (
            "This CPU has no instructions that add up products of int8 (VNNI, AMX): int8 saves memory here, not time."
        )
    return None


def page(report: Report) -> str:
    """Lay the report out as Markdown."""
    lines = [
        f"# {report.title} in int8",
        "",
        f"Int8: {report.recipe}. Everything else: {report.compute}. Ranges from {report.calibration_texts} texts.",
    ]
    lines += [f"Refused before: {says} ({why})." for says, why in report.tried]
    for comparison in report.comparisons:
        lines += ["", *_comparison(comparison, report.labels)]
    lines += ["", *_speed(report), "", *_kernels(report), ""]
    return "\n".join(lines)


def _comparison(found: Comparison, labels: Sequence[str]) -> list[str]:
    lines = [f"## {found.name}: {found.texts} texts", ""]
    lines += ["| | accuracy | labels changed | mean score change | largest |", "|---|---|---|---|---|"]
    for precision, mean in found.mean.items():
        accuracy = f"{found.accuracy[precision]:.2%}" if found.accuracy else "labels unknown"
        flips = f"{found.flipped[precision]} ({found.flipped[precision] / found.texts:.2%})"
        lines.append(f"| {precision} | {accuracy} | {flips} | {mean:.5f} | {found.largest[precision]:.4f} |")
    changes = found.changes["int8"]
    if not changes.any():
        return [*lines, "", "No text has another label in int8 than in f32."]
    lines += ["", "Texts whose label changed, from f32's (rows) to int8's (columns):", ""]
    lines += ["| | " + " | ".join(labels) + " |", "|---" * (len(labels) + 1) + "|"]
    for name, row in zip(labels, changes.tolist(), strict=True):
        if any(row):
            lines.append(f"| {name} | " + " | ".join(str(count) if count else "" for count in row) + " |")
    return lines


def _speed(report: Report) -> list[str]:
    lines = ["## Speed on this machine, engine alone, in turns", ""]
    lines += ["| | lone text, ms | full batches, texts/s | times f32, lone | batches |", "|---|---|---|---|---|"]
    for precision, speed in report.speed.items():
        ratios = f"{speed.lone_times:.2f} | {speed.batch_times:.2f}"
        lines.append(f"| {precision} | {speed.lone_ms:.1f} | {speed.texts_per_s:.0f} | {ratios} |")
    warning = caution(report)
    return [*lines, "", warning] if warning else lines


def _kernels(report: Report) -> list[str]:
    whole = sum(kernel.ms for kernel in report.kernels) or 1.0
    int8 = sum(kernel.ms for kernel in report.kernels if kernel.multiplies_int8)
    lines = [
        "## Kernels of a full batch",
        "",
        f"The library's own names and clock. Products of int8 take {int8 / whole:.0%} of the time"
        + (f"; this CPU has {report.instructions}." if report.instructions else "."),
        "",
        "| node | kernel | how many | ms | share |",
        "|---|---|---|---|---|",
    ]
    for kernel in report.kernels[:_SHOWN_KERNELS]:
        share = f"{kernel.ms / whole:.1%}"
        lines.append(f"| {kernel.node} | {kernel.kernel} | {kernel.count} | {kernel.ms:.2f} | {share} |")
    return lines
