"""Skills with numbers: sums, differences, products, comparing, sorting, counting."""
from skill import Example, a_name, decorate, held_out, pick, user

SUM_EN = ["What is {a} + {b}?", "{a} + {b} = ?", "{a}+{b}", "Calculate {a} + {b}.", "What is {a} plus {b}?", "How much is {a} + {b}?",
          "Add {a} and {b}.", "Compute {a}+{b}.", "What's {a} plus {b}?", "What is the sum of {a} and {b}?", "{a} plus {b} is what?"]
SUM_ZH = ["{a}+{b}等于多少？", "{a} + {b} = ?", "{a}加{b}等于几？", "计算{a}+{b}。", "{a}加{b}是多少？", "请计算 {a} + {b}。"]
DIFF_EN = ["What is {a} - {b}?", "{a} - {b} = ?", "{a}-{b}", "Calculate {a} - {b}.", "What is {a} minus {b}?", "How much is {a} - {b}?",
           "Subtract {b} from {a}.", "Compute {a}-{b}.", "What's {a} minus {b}?", "What is the difference of {a} and {b}?"]
DIFF_ZH = ["{a}-{b}等于多少？", "{a} - {b} = ?", "{a}减{b}等于几？", "计算{a}-{b}。", "{a}减去{b}是多少？", "请计算 {a} - {b}。"]
MUL_EN = ["What is {a} × {b}?", "{a} * {b} = ?", "{a}*{b}", "Calculate {a} x {b}.", "What is {a} times {b}?", "Multiply {a} by {b}.",
          "Compute {a} * {b}.", "What's {a} times {b}?"]
MUL_ZH = ["{a}×{b}等于多少？", "{a} * {b} = ?", "{a}乘以{b}等于几？", "计算{a}×{b}。", "{a}乘{b}是多少？"]


def number(r, digits=None):
    d = digits or r.choices((1, 2, 3), (1, 2, 3))[0]
    return r.randint((0, 10, 100)[d - 1], (9, 99, 999)[d - 1])


def trained_pair(r, draw):
    """Two numbers whose sum no test asks for: for sums inside other skills."""
    while True:
        a, b = draw(), draw()
        if max(a, b) < 20 or not held_out(f"sum {min(a, b)} {max(a, b)}"):
            return a, b


def add_steps(a, b):
    """Column addition in words, ones first."""
    out, carry, names = [], 0, ("ones", "tens", "hundreds")
    for i in range(max(len(str(a)), len(str(b)))):
        x, y = a // 10 ** i % 10, b // 10 ** i % 10
        s = x + y + carry
        out.append(f"{names[i]}: {x} + {y}" + (" + 1" if carry else "") + f" = {s}" + (", carry 1" if s > 9 else ""))
        carry = s // 10
    return "\n".join(out)


def sub_steps(a, b):
    """Column subtraction in words; the smaller is taken from the larger first."""
    if a < b:
        return f"{a} is less than {b}, so the result is negative.\n" + sub_steps(b, a)
    out, borrow, names = [], 0, ("ones", "tens", "hundreds")
    for i in range(len(str(a))):
        x, y = a // 10 ** i % 10, b // 10 ** i % 10
        d = x - y - borrow
        out.append(f"{names[i]}: {x} - {y}" + (" - 1" if borrow else "") + f" = {d}" + (f", borrow: {d + 10}" if d < 0 else ""))
        borrow = int(d < 0)
    return "\n".join(out)


def sums(r, zh):
    a, b = number(r), number(r)
    _, form = pick(r, SUM_ZH if zh else SUM_EN)
    return Example("sums", f"sum {min(a, b)} {max(a, b)}", [user(decorate(r, form.format(a=a, b=b), zh))], f"{a} + {b} = {a + b}",
                   add_steps(a, b), str(a + b), "number", always_train=max(a, b) < 20)


def differences(r, zh):
    a, b = number(r), number(r)
    if a < b and r.random() < 0.8:
        a, b = b, a
    _, form = pick(r, DIFF_ZH if zh else DIFF_EN)
    return Example("differences", f"diff {a} {b}", [user(decorate(r, form.format(a=a, b=b), zh))], f"{a} - {b} = {a - b}",
                   sub_steps(a, b), str(a - b), "number", always_train=max(a, b) < 20)


def products(r, zh):
    small = r.random() < 0.35
    a, b = (r.randint(0, 12), r.randint(0, 12)) if small else (r.randint(2, 99), r.randint(2, 99))
    _, form = pick(r, MUL_ZH if zh else MUL_EN)
    tens, ones = b // 10 * 10, b % 10
    steps = f"{a} × {b} = {a * b}"
    if not small and tens and ones:
        steps = f"{a} × {tens} = {a * tens}\n{a} × {ones} = {a * ones}\n{a * tens} + {a * ones} = {a * b}"
    answer = f"{a} × {b} = {a * b}"
    if not small and tens and ones:
        answer = f"{a} × {b} = {a} × {tens} + {a} × {ones} = {a * tens} + {a * ones} = {a * b}"
    return Example("products", f"mul {min(a, b)} {max(a, b)}", [user(decorate(r, form.format(a=a, b=b), zh))], answer, steps,
                   str(a * b), "number", always_train=max(a, b) < 13)


STORIES_EN = [
    ("{n} has {a} {t} and buys {b} more. How many {t} does {n} have now?", 1), ("{n} had {a} {t} and gave away {b}. How many {t} are left?", -1),
    ("There are {a} {t} in one box and {b} {t} in another. How many {t} are there in total?", 1),
    ("A shop has {a} {t} and sells {b}. How many {t} remain?", -1), ("{n} picks {a} {t} in the morning and {b} in the evening. How many altogether?", 1)]
STORIES_ZH = [("{n}有{a}{t}，又买了{b}{m}。{n}现在有多少{t}？", 1), ("{n}有{a}{t}，送给朋友{b}{m}。还剩多少{t}？", -1),
              ("一个盒子里有{a}{t}，另一个盒子里有{b}{t}。一共有多少{t}？", 1), ("商店有{a}{t}，卖出{b}{m}。还剩多少{t}？", -1)]
THINGS = "apples books coins stamps eggs pencils balls flowers oranges cards shells stones cakes cups".split()
ZH_THINGS = [("个苹果", "个"), ("本书", "本"), ("枚硬币", "枚"), ("个鸡蛋", "个"), ("支铅笔", "支"), ("朵花", "朵"), ("个橙子", "个"), ("张卡片", "张")]


def word_problems(r, zh):
    a, b = number(r, r.choice((1, 2, 2, 3))), number(r, r.choice((1, 2)))
    i, (form, sign) = pick(r, STORIES_ZH if zh else STORIES_EN)
    if a < b:
        a, b = b, a
    name, result = a_name(r, zh), a + sign * b
    thing = r.choice(ZH_THINGS if zh else THINGS)
    line = f"{a} {'+' if sign > 0 else '-'} {b} = {result}"
    if zh:
        text = form.format(n=name, a=a, b=b, t=thing[0], m=thing[1])
        answer = f"{line}，所以答案是{result}。"
    else:
        text, answer = form.format(n=name, a=a, b=b, t=thing), f"{line}, so the answer is {result}."
    steps = add_steps(a, b) if sign > 0 else sub_steps(a, b)
    return Example("word_problems", f"story {zh} {i} {a} {b}", [user(text)], answer, steps, str(result), "number")


def running_total(r, zh):
    """A conversation that goes on with the last result."""
    (a, b), c = trained_pair(r, lambda: number(r, r.choice((1, 2)))), number(r, 1)
    plus = r.random() < 0.6 or a + b < c
    first = user(r.choice(SUM_ZH if zh else SUM_EN).format(a=a, b=b))
    text = (r.choice(["再加{c}呢？", "加上{c}是多少？"]) if plus else r.choice(["再减{c}呢？", "减去{c}是多少？"])) if zh else (
        r.choice(["And plus {c}?", "Add {c} to that.", "Now add {c}."]) if plus else r.choice(["And minus {c}?", "Now take away {c}.", "Subtract {c} from that."]))
    s = a + b
    result = s + c if plus else s - c
    return Example("running_total", f"run {a} {b} {c} {plus} {zh}", [first, {"role": "assistant", "content": f"{a} + {b} = {s}"}, user(text.format(c=c))],
                   f"{s} {'+' if plus else '-'} {c} = {result}", f"The last result was {s}.", str(result), "number")


def compare(r, zh):
    a, b = number(r), number(r)
    while a == b:
        b = number(r)
    want_big = r.random() < 0.6
    result = max(a, b) if want_big else min(a, b)
    if zh:
        text = f"{a}和{b}哪个更{'大' if want_big else '小'}？"
        answer = f"{result}更{'大' if want_big else '小'}。"
    else:
        word = r.choice(["bigger", "larger", "greater"]) if want_big else "smaller"
        text, answer = f"Which number is {word}, {a} or {b}?", f"{result} is {word}."
    relation = f"{a} {'>' if a > b else '<'} {b}"
    return Example("compare", f"cmp {a} {b} {want_big} {zh}", [user(decorate(r, text, zh))], answer, relation, answer, "exact")


def sort_numbers(r, zh):
    items = r.sample(range(0, r.choice((20, 100, 100, 1000))), r.randint(3, 6))
    down = r.random() < 0.3
    listing, result = ", ".join(map(str, items)), ", ".join(map(str, sorted(items, reverse=down)))
    if zh:
        text = f"把这些数字从{'大到小' if down else '小到大'}排序：{listing}"
    else:
        text = (f"Sort these numbers{' in descending order' if down else ''}: {listing}" if r.random() < 0.7 else
                f"Put these numbers in order, {'largest' if down else 'smallest'} first: {listing}")
    return Example("sort_numbers", f"sort {listing} {down}", [user(text)], result, f"The smallest is {min(items)}, the largest is {max(items)}.", result, "exact")


def count_up(r, zh):
    a, step = r.randint(0, 90), r.choices((1, 2, 5, 10), (6, 2, 1, 1))[0]
    b = a + step * r.randint(2, 10)
    if zh:
        text = f"从{a}数到{b}" + (f"，每次加{step}。" if step > 1 else "。")
    else:
        text = f"Count from {a} to {b}" + (f" in steps of {step}." if step > 1 else ".")
    answer = ", ".join(map(str, range(a, b + 1, step)))
    return Example("count_up", f"count {a} {b} {step}", [user(decorate(r, text, zh))], answer, f"Start at {a}, add {step}, stop at {b}.", answer, "exact")
