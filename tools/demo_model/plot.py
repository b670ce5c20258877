"""The curve of a training as a picture (SVG, no library): loss, and the load of the least and most used expert.

    plot.py LOG.jsonl OUT.svg
"""
import json
import math
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 360, 56, 28, 36, 44
# (key, name, colour)
LINES = [("loss", "loss", "#1f5fa8"), ("mtp_loss", "loss two tokens ahead", "#d2691e")]


def smooth(values, weight=0.9):
    out, mean = [], values[0]
    for v in values:
        mean = weight * mean + (1 - weight) * v
        out.append(mean)
    return out


def write(log_path, out_path):
    with open(log_path) as f:
        rows = [r for r in map(json.loads, f) if r["step"] >= 4]
    if len(rows) < 2:
        return
    last, series = rows[-1]["step"], [(key, name, colour, smooth([r[key] for r in rows])) for key, name, colour in LINES if key in rows[0]]
    every = [v for s in series for v in s[3]]
    low, high = math.floor(math.log10(min(every))), math.ceil(math.log10(max(every)))
    x = lambda step: LEFT + (WIDTH - LEFT - RIGHT) * step / last
    y = lambda v: TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(v)) / (high - low)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for power in range(low, high + 1):
        at = y(10.0 ** power)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/><text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{10.0 ** power:g}</text>')
    for i in range(5):
        step = last * i // 4
        parts.append(f'<text x="{x(step):.1f}" y="{HEIGHT - 24}" text-anchor="middle">{step}</text>')
    parts.append(f'<text x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">steps ({rows[-1]["seconds"] / 60:.0f} minutes)</text>')
    for i, (_, name, colour, values) in enumerate(series):
        points = " ".join(f"{x(r['step']):.1f},{y(v):.1f}" for r, v in zip(rows, values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
                     f'<text x="{LEFT + 8 + 220 * i}" y="22" fill="{colour}">{name}: {values[-1]:.4f}</text>')
    with open(out_path, "w") as f:
        f.write("\n".join(parts + ["</svg>"]) + "\n")


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2])
