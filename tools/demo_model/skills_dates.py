"""Skills with dates: weekdays and days counted on, with the steps said. A year is a common one unless it is named."""
from skill import Example, decorate, user
from skills_text import DAYS, MONTHS

LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def is_leap(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def date_text(month, day, zh):
    return f"{month + 1}月{day}日" if zh else f"{day} {MONTHS[month][0]}"


def weeks(n, zh):
    """The step that takes whole weeks off."""
    return f"{n} = {n // 7} × 7 + {n % 7}" + ("。" if zh else ".")


def walk(start, n, zh):
    """The weekdays after `start`, one for each day that is left; backwards where n is negative."""
    sign = 1 if n > 0 else -1
    return [DAYS[(start + sign * i) % 7][int(zh)] for i in range(abs(n) + 1)]


def example(kind, text, steps, said, gold, r, zh, key):
    """The answer says the steps too, so that it can be found without thinking."""
    between = "" if zh else " "
    return Example("dates", f"date {kind} {key}", [user(decorate(r, text, zh))], between.join(steps + [said]), between.join(steps), gold)


def weekday_after(r, zh):
    start, n, back = r.randrange(7), r.randint(2, 60), r.random() < 0.3
    days = walk(start, -(n % 7) if back else n % 7, zh)
    a, b = days[0], days[-1]
    steps = [weeks(n, zh), ("→" if zh else " → ").join(days) + ("。" if zh else ".")]
    if zh:
        text, said = (f"今天是{a}，{n}天{'前' if back else '后'}是星期几？", f"{n}天{'前' if back else '后'}是{b}。")
    else:
        text = r.choice([f"Today is {a}. What day was it {n} days ago?"] if back else [f"Today is {a}. What day is it in {n} days?", f"If today is {a}, which weekday is it in {n} days?"])
        said = f"{n} days ago it was {b}." if back else f"In {n} days it is {b}."
    return example("after", text, steps, said, b, r, zh, f"{zh} {start} {n} {back}")


def weekday_of(r, zh):
    """One date of a month has a weekday; which has another of the same month?"""
    month, start = r.randrange(12), r.randrange(7)
    first = r.randint(1, LENGTHS[month] - 2)
    day = r.randint(first + 1, LENGTHS[month])
    n = day - first
    days = walk(start, n % 7, zh)
    steps = [f"{day} - {first} = {n}" + ("。" if zh else "."), weeks(n, zh), ("→" if zh else " → ").join(days) + ("。" if zh else ".")]
    a, b = date_text(month, first, zh), date_text(month, day, zh)
    text = f"{a}是{days[0]}，{b}是星期几？" if zh else f"{a} is a {days[0]}. Which weekday is {b}?"
    said = f"{b}是{days[-1]}。" if zh else f"{b} is a {days[-1]}."
    return example("of", text, steps, said, days[-1], r, zh, f"{zh} {month} {start} {first} {day}")


def date_after(r, zh):
    month, n = r.randrange(12), r.randint(2, 45)
    day = r.randint(1, LENGTHS[month])
    at, m, steps = day + n, month, [f"{day} + {n} = {day + n}" + ("。" if zh else ".")]
    while at > LENGTHS[m]:
        name = f"{m + 1}月有{LENGTHS[m]}天" if zh else f"{MONTHS[m][0]} has {LENGTHS[m]} days"
        steps.append(f"{name}：{at} - {LENGTHS[m]} = {at - LENGTHS[m]}。" if zh else f"{name}: {at} - {LENGTHS[m]} = {at - LENGTHS[m]}.")
        at, m = at - LENGTHS[m], (m + 1) % 12
    a, b = date_text(month, day, zh), date_text(m, at, zh)
    text = r.choice([f"{a}过{n}天是几月几日？", f"{a}之后{n}天是哪一天？"]) if zh else r.choice([f"What date is {n} days after {a}?", f"Which date comes {n} days after {a}?"])
    said = f"{a}过{n}天是{b}。" if zh else f"{n} days after {a} is {b}."
    return example("plus", text, steps, said, b, r, zh, f"{zh} {month} {day} {n}")


def days_between(r, zh):
    month = r.randrange(11)
    day = r.randint(1, LENGTHS[month] - 1)
    later = r.choice((month, month + 1))
    other = r.randint(day + 1, LENGTHS[later]) if later == month else r.randint(1, LENGTHS[later])
    if later == month:
        n = other - day
        steps = [f"{other} - {day} = {n}" + ("。" if zh else ".")]
    else:
        left = LENGTHS[month] - day
        n = left + other
        steps = [f"{month + 1}月有{LENGTHS[month]}天：{LENGTHS[month]} - {day} = {left}。" if zh else f"{MONTHS[month][0]} has {LENGTHS[month]} days: {LENGTHS[month]} - {day} = {left}.",
                 f"{left} + {other} = {n}" + ("。" if zh else ".")]
    a, b = date_text(month, day, zh), date_text(later, other, zh)
    text = f"从{a}到{b}有多少天？" if zh else r.choice([f"How many days are there from {a} to {b}?", f"How many days is it from {a} to {b}?"])
    days = f"{n}天" if zh else f"{n} day" + "s" * (n != 1)
    said = f"一共{days}。" if zh else f"It is {days}."
    return example("between", text, steps, said, days, r, zh, f"{zh} {month} {day} {later} {other}")


def leap_step(year, zh):
    """Why the year is or is not a leap year."""
    leap, rest = is_leap(year), year % 4
    if year % 100 == 0:
        if zh:
            return f"{year}是整百年，{'能' if leap else '不能'}被400整除，{'是' if leap else '不是'}闰年。"
        return f"{year} ends a century and is {'' if leap else 'not '}a multiple of 400, so it is {'' if leap else 'not '}a leap year."
    why = f"{year} = {year // 4} × 4" + (f" + {rest}" if rest else "")
    return f"{why}，{year}年{'是' if leap else '不是'}闰年。" if zh else f"{why}, so {year} is {'' if leap else 'not '}a leap year."


def month_length(r, zh):
    month = r.randrange(12) if r.random() < 0.4 else 1
    year = r.randint(1900, 2100)
    n = 29 if month == 1 and is_leap(year) else LENGTHS[month]
    steps = [f"{month + 1}月总是有{n}天。" if zh else f"{MONTHS[month][0]} always has {n} days."]
    if month == 1:
        steps = [leap_step(year, zh)]
    text = f"{year}年{month + 1}月有多少天？" if zh else f"How many days does {MONTHS[month][0]} {year} have?"
    said = f"{year}年{month + 1}月有{n}天。" if zh else f"{MONTHS[month][0]} {year} has {n} days."
    return example("length", text, steps, said, f"{n}天" if zh else f"{n} days", r, zh, f"{zh} {month} {year}")


def dates(r, zh):
    return r.choices((weekday_after, weekday_of, date_after, days_between, month_length), (3, 3, 3, 2, 1))[0](r, zh)
