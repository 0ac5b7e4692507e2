"""Prints the table of scripts/bench from its measurements, and appends a line for each figure to the results.

usage: bench_table.py MEASUREMENTS RESULTS DATE COMMIT SCALE MACHINE

A measurement is a line `<figure> TAB <who> TAB <value>`; the results' columns are named in their first line. Ratios
are of medians; minima stand beside them, since a busy machine only ever adds.
"""

import os
import sys
from collections import defaultdict
from statistics import median

# figure, what it is, unit, goal, what it is compared with (None: the goal is for the value itself)
FIGURES = [
    ("read1", "read 20,000 × 20 KiB, first pass", "s", 3.2, "read"),
    ("read2", "read 20,000 × 20 KiB, second pass", "s", 1.2, "read"),
    ("list1", "ls -l of 100,000, first", "s", 3.0, "list"),
    ("list2", "ls -l of 100,000, second", "s", 0.8, "list"),
    ("unseen", "ls -l of 100,000, never seen", "s", 3.0, "head"),
    ("mbox-warm", "mbox of 100,000 × 8 KiB, warm", "s", 1.3, "mbox-warm"),
    ("mbox-cold", "mbox of 100,000 × 8 KiB, cold", "s", 0.7, "mbox-cold"),
    ("mbox-stat1", "stat of that mbox, once", "s", 1e-3, None),
    ("mbox-stat2", "stat of that mbox, after", "s", 3e-6, None),
    ("warm-day2", "warm day 2, 1 % changed, against day 1", "s", 0.02, "warm-day1"),
    ("find-one", "find a message among 120,000", "s", 0.05, None),
    ("find-many", "find a word that all of them have", "s", 0.1, None),
    ("mount", "mount 15 × 10,000 mailboxes", "s", 0.2, None),
    ("memory", "resident after the passes", "MB", None, None),
    ("memory-big", "resident after 15 × 1,000,000", "MB", 150, None),
    ("requests1", "requests per file, first pass", "", None, None),
    ("requests2", "requests in the second pass", "", 0, None),
    ("late-idle", "a look-up, 99th percentile: alone", "s", None, None),
    ("late-mbox", "the same while somebody pulls an mbox", "s", None, None),
    ("late-listing", "the same during a listing never seen", "s", None, None),
    ("push-first", "first pass, messages pushed ahead", "s", None, "read"),
    ("ask-first", "the same, each asked for", "s", None, "read"),
    ("push-cold", "first pass with nothing in memory, pushed", "s", None, "read-cold"),
    ("ask-cold", "the same, each asked for", "s", None, "read-cold"),
    ("push-two", "two readers at once, pushed", "s", None, "two"),
    ("ask-two", "the same, each asked for", "s", None, "two"),
    ("push-cp", "cp -r, pushed", "s", None, "cp"),
    ("ask-cp", "the same, each asked for", "s", None, "cp"),
    ("push-tar", "tar, pushed", "s", None, "tar"),
    ("ask-tar", "the same, each asked for", "s", None, "tar"),
    ("push-mixed", "every seventh message, pushed", "s", None, "mixed"),
    ("ask-mixed", "the same, each asked for", "s", None, "mixed"),
    ("push-smb", "all of a folder through Samba, pushed", "s", None, "smb"),
    ("ask-smb", "the same, each asked for", "s", None, "smb"),
    ("push-waste", "a reader stops after 300: read from the store, pushed", "MB", None, None),
    ("ask-waste", "the same, each asked for", "MB", None, None),
]
# figures of folders that grow: their subjects are the numbers of messages
GROWTH = [("growth-native", "natively opened and read", "s"), ("growth-new", "listed, never seen", "s"), ("growth-known", "listed, known", "s"), ("growth-memory", "resident after", "MB")]
SUBJECTS = ["mailtm", "bindfs", "restic"]
COLUMNS = "date commit scale machine figure subject median minimum native ratio goal spread".split()


def show(value, unit):
    if value is None:
        return "n/a"
    if unit != "s":
        return f"{value:.3g} {unit}".rstrip()
    for factor, name in ((1, "s"), (1e3, "ms")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {name}"
    return f"{value * 1e6:.3g} µs"


def times(value):
    return "" if value is None else f"{value:.3g}×"


def noise(spread):
    if spread is None:
        return "one round: how noisy it was is unknown"
    judgement = "quiet" if spread < 0.1 else "noisy: trust the minima" if spread < 0.5 else "too noisy to judge by"
    return f"spread of the native times: up to {spread:.0%} of their median ({judgement})"


def disturbance(disturbed):
    """A cache that the system empties meanwhile is not warm: both sides then wait for the disk, by chance."""
    if not any(disturbed):
        return ""
    return f"{sum(map(int, disturbed))} of {len(disturbed)} measurements found pages gone from a warm cache, four times"


def names_of_day2(middle):
    """What warming day 2 cannot do without: the names that its largest directory has, which one call after another tells."""
    names, all_read, day1 = middle.get(("names-day2", "native")), middle.get(("head", "native")), middle.get(("warm-day1", "mailtm"))
    if None in (names, all_read, day1):
        return
    print(
        f"\nday 2: the names in its largest directory alone take {show(names, 's')} natively, {names / all_read:.1%} of "
        f"reading the beginnings of its messages, {names / day1:.1%} of what day 1 takes mailtm"
    )


def plot_growth(middle):
    """A line for each number of messages, with bars; ten times the messages at a constant cost for each is ten times the bar."""
    for figure, title, unit in GROWTH:
        points = sorted((int(who), value) for (f, who), value in middle.items() if f == figure)
        if not points:
            continue
        print(f"\n{title}")
        most = max(value for _, value in points)
        for messages, value in points:
            each = f"{value / messages * 1e6:.3g} {'µs' if unit == 's' else 'bytes'} each"
            native = middle.get(("growth-native", str(messages)))
            beside = f"{value / native:.2f}×" if native and unit == "s" else ""
            bar = "█" * max(1, round(50 * value / most))
            print(f"  {messages:>9,}  {show(value, unit):>8}  {each:>16}  {beside:>6}  {bar}")


def read_measurements(path):
    values = defaultdict(list)
    with open(path, encoding="utf-8") as file:
        for line in file:
            figure, who, value = line.rstrip("\n").split("\t")
            values[figure, who].append(float(value))
    return values


def main(measurements, results, date, commit, scale, machine):
    values = read_measurements(measurements)
    middle = {key: median(all_of) for key, all_of in values.items()}
    spreads = [
        (max(all_of) - min(all_of)) / middle[key]
        for key, all_of in values.items()
        if key[1] == "native" and len(all_of) > 1
    ]
    spread = max(spreads, default=None)
    rows = [["", "goal", "native", "mailtm", "minimum", "ratio", "of minima", "", "bindfs", "restic"]]
    lines = []
    for figure, title, unit, goal, base in FIGURES:
        base_key = (base, "mailtm" if base == "warm-day1" else "native")
        native = middle.get(base_key)
        ratio = {who: middle[figure, who] / native for who in SUBJECTS if native and (figure, who) in middle}
        mine = middle.get((figure, "mailtm"))
        best = min(values.get((figure, "mailtm"), []), default=None)
        best_ratio = best / min(values[base_key]) if native and best is not None else None
        reached = ratio.get("mailtm") if base else mine
        verdict = "" if goal is None or reached is None else "ok" if reached <= goal else "MISSED"
        rows.append([
            title,
            "" if goal is None else times(goal) if base else show(goal, unit),
            show(native, "s") if base else "",
            show(mine, unit),
            show(best, unit),
            times(ratio.get("mailtm")),
            times(best_ratio),
            verdict,
            times(ratio.get("bindfs")) or (show(middle.get((figure, "bindfs")), unit) if not base else "n/a"),
            times(ratio.get("restic")) or "n/a",
        ])
        for who in SUBJECTS:
            if (figure, who) in middle:
                cells = [middle[figure, who], min(values[figure, who]), native, ratio.get(who), goal, spread]
                cells = ["" if cell is None else f"{cell:.6g}" for cell in cells]
                lines.append([date, commit, scale, machine, figure, who, *cells])
    for (figure, who), value in sorted(middle.items()):
        if figure.startswith("growth-"):
            lines.append([date, commit, scale, machine, figure, who, f"{value:.6g}", f"{min(values[figure, who]):.6g}", "", "", "", ""])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        first, *rest = (cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths)))
        print("  ".join([first, *rest]).rstrip())
    names_of_day2(middle)
    plot_growth(middle)
    disturbed = disturbance(values["disturbed", "system"])
    print("\n" + "; ".join(filter(None, [noise(spread), disturbed, f"scale {scale}", machine])))
    new = not os.path.exists(results) or os.path.getsize(results) == 0
    with open(results, "a", encoding="utf-8") as file:
        if new:
            print(*COLUMNS, sep="\t", file=file)
        for line in lines:
            print(*line, sep="\t", file=file)


if len(sys.argv) != 7:
    sys.exit(__doc__)
main(*sys.argv[1:])
