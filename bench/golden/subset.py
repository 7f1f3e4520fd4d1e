"""Writes the rows of the high-precision tables that the op table carries (run after `generate.py`).

    python bench/golden/subset.py

Of every function and direction it takes sixteen rows spread evenly over the table, up to the second derivative.
"""

from collections import defaultdict
from pathlib import Path

CRATES = Path(__file__).parent.parent.parent / "crates"
TABLES = CRATES / "gradus-num/tests/golden"
TARGET = CRATES / "gradus-core/src/table/golden.txt"
ROWS = 16


def main():
    out = []
    for name, arity in (("unary.txt", 1), ("binary.txt", 2)):
        groups = defaultdict(list)
        for line in (TABLES / name).read_text().splitlines():
            fields = line.split(" ")
            groups[fields[0], fields[1]].append(fields[: 5 + arity])
        for (function, _), rows in groups.items():
            if function == "sinc":  # composed, not a primitive
                continue
            step = max(len(rows) / ROWS, 1)
            picked = [rows[int(i * step)] for i in range(min(ROWS, len(rows)))]
            out += [" ".join(fields) for fields in picked]
    TARGET.write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
