"""Figures: samples, their medians, and the table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

Unit = Literal["ms", "x", "MiB", "bytes", "requests", "requests/s", "lines", "lines/s"]


@dataclass(frozen=True)
class Figure:
    """One figure of the table.

    Attributes:
        name: what was measured.
        kind: how the value comes of the samples: `value` their median, `difference` and `ratio` the median over pairs
            of sample and baseline sample.
        samples: in `unit_of_samples`, in order of measuring.
        baseline: one for each sample, measured right before or after it; empty for `value`.
        unit_of_samples: of samples and baseline.
        mark: the value that must not be exceeded; None: shown for information.
        aim: a value to strive for.
        is_least: the mark must be reached instead, and a higher value is better.
    """

    name: str
    kind: Literal["value", "difference", "ratio"]
    samples: Sequence[float]
    unit_of_samples: Unit
    baseline: Sequence[float] = field(default=())
    mark: float | None = None
    aim: float | None = None
    is_least: bool = False

    @property
    def value(self) -> float:
        """The value of the figure."""
        if self.kind == "value":
            return median(self.samples)
        pairs = zip(self.samples, self.baseline, strict=True)
        return median(a - b if self.kind == "difference" else a / b for a, b in pairs)

    @property
    def unit(self) -> Unit:
        """Of value, mark and aim."""
        return "x" if self.kind == "ratio" else self.unit_of_samples

    @property
    def is_met(self) -> bool | None:
        """Whether the mark is met; None without a mark."""
        return None if self.mark is None else self._reaches(self.mark)

    def _reaches(self, wanted: float) -> bool:
        return self.value >= wanted if self.is_least else self.value <= wanted

    def as_json(self) -> dict[str, Any]:
        """All data, including the raw samples."""
        return {
            "name": self.name,
            "kind": self.kind,
            "unit": self.unit,
            "value": round(self.value, 3),
            "mark": self.mark,
            "aim": self.aim,
            "met": self.is_met,
            "median": round(median(self.samples), 3),
            "baseline_median": round(median(self.baseline), 3) if self.baseline else None,
            "samples_unit": self.unit_of_samples,
            "samples": [round(one, 3) for one in self.samples],
            "baseline_samples": [round(one, 3) for one in self.baseline],
        }

    def row(self) -> list[str]:
        """Its cells, in the order of `HEADER`."""
        met = {None: "", True: "yes", False: "NO"}[self.is_met]
        if self.is_met and self.aim is not None:
            met = "yes, and the aim" if self._reaches(self.aim) else "yes, not the aim"
        return [
            self.name,
            str(len(self.samples)),
            amount(median(self.samples), self.unit_of_samples),
            amount(median(self.baseline), self.unit_of_samples) if self.baseline else "",
            {"value": "", "difference": "+", "ratio": ""}[self.kind] + amount(self.value, self.unit),
            "" if self.mark is None else amount(self.mark, self.unit),
            "" if self.aim is None else amount(self.aim, self.unit),
            met,
        ]


HEADER = ["figure", "n", "measured", "baseline", "value", "mark", "aim", "met?"]


def amount(value: float, unit: Unit) -> str:
    """A value as text."""
    if unit == "x":
        return f"{value:.2f}x"
    digits = (
        0
        if unit in ("bytes", "requests", "requests/s", "lines", "lines/s") or abs(value) >= 100
        else 1
        if abs(value) >= 10
        else 2
    )
    return f"{value:.{digits}f} {unit}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns with a header; the first is left-aligned, the others right-aligned."""
    widths = [max(len(row[n]) for row in (header, *rows)) for n in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join((first, *others)).rstrip()

    return "\n".join((line(header), line(["-" * width for width in widths]), *map(line, rows)))
