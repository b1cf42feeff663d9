"""How far served scores are from transformers' own: a table of what the parity tests measured.

python load/bench/parity_table.py results/parity.xml
"""

import re
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree as ET

_CASE = re.compile(r"test_(ids_and_scores_are_those|served_as)_.*\[(.*)\]")


def differences(path: Path) -> tuple[dict[str, dict[str, float]], dict[str, float], float]:
    """Read pytest's JUnit XML.

    Returns:
        the largest difference by family and head, the same by layout, and the seconds that all of it took.
    """
    (suite,) = ET.parse(path).getroot().iter("testsuite")  # noqa: S314  # the project's own tests wrote it
    families: dict[str, dict[str, float]] = defaultdict(dict)
    layouts: dict[str, float] = {}
    for case in suite.iter("testcase"):
        said = {each.get("name"): each.get("value", "") for each in case.iter("property")}
        named = _CASE.match(case.get("name", ""))
        if named is None or "largest difference" not in said:
            continue
        largest = float(said["largest difference"])
        if named[1] == "served_as":
            layouts[named[2]] = largest
        else:
            families[said["family"]][said["head"]] = largest
    return families, layouts, float(suite.get("time", "nan"))


def main() -> None:
    """Print the tables."""
    families, layouts, seconds = differences(Path(sys.argv[1]))
    heads = list(next(iter(families.values())))
    print("| family | " + " | ".join(heads) + " |\n|" + "---|" * (1 + len(heads)))
    for family, by_head in families.items():
        print(f"| {family} | " + " | ".join(f"{by_head[head]:.1e}" for head in heads) + " |")
    print("\n| layout | largest difference |\n|---|---|")
    for layout, largest in sorted(layouts.items(), key=lambda each: -each[1]):
        print(f"| {layout} | {largest:.1e} |")
    print(f"\n{sum(map(len, families.values()))} models and {len(layouts)} layouts in {seconds:.0f} s")


if __name__ == "__main__":
    main()
