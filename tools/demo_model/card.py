"""The scores of a model card: card.py SCORES.json [...] prints the Markdown table of what `hadal eval skills --json` wrote.

Several files (bf16, fp8 cache, AWQ) are put side by side: the share right of all languages and passes, and the difference from the
first in points.
"""
import json
import sys


def percent(scores):
    asked = sum(s["asked"] for s in scores)
    return 100 * sum(s["right"] for s in scores) / asked if asked else None


def shown(value):
    return "–" if value is None else f"{value:.1f}"


def by_pass(report):
    print("| skill | bar | language | " + " | ".join(report["passes"]) + " |")
    print("|---" * (3 + len(report["passes"])) + "|")
    for row in report["rows"]:
        cells = []
        for name in report["passes"]:
            score = row["scores"].get(name)
            low = score and "bar" in row and score["percent"] < row["bar"]
            cells.append(shown(score and score["percent"]) + (" (missed)" if low else ""))
        print(f"| {row['skill']} | {row.get('bar', '')} | {row['language']} | " + " | ".join(cells) + " |")


def side_by_side(reports):
    print("| skill | " + " | ".join(path for path, _ in reports) + " |")
    print("|---" * (1 + len(reports)) + "|")
    for row in reports[0][1]["rows"]:
        if row["language"] != "all":
            continue
        values = [percent(r["scores"].values()) for _, report in reports for r in report["rows"] if (r["skill"], r["language"]) == (row["skill"], "all")]
        print(f"| {row['skill']} | {shown(values[0])} | " + " | ".join(f"{shown(v)} ({v - values[0]:+.1f})" for v in values[1:]) + " |")


if __name__ == "__main__":
    loaded = []
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as f:
            loaded.append((path, json.load(f)))
    by_pass(loaded[0][1]) if len(loaded) == 1 else side_by_side(loaded)
