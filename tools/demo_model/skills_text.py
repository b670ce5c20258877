"""Skills with text: finding facts in it, stories, spelling and other string work, JSON, dates, small translations."""
from chat import to_json
from skill import Example, NAMES, a_name, articles, cap, decorate, made_up, pick, user
from skills_chat import ANIMALS, COLOURS, FOODS

PLACES = [("garden", "花园"), ("kitchen", "厨房"), ("forest", "森林"), ("school", "学校"), ("park", "公园"), ("library", "图书馆"), ("market", "市场"), ("tower", "塔"), ("beach", "海滩"), ("station", "车站")]
OBJECTS = [("key", "钥匙"), ("book", "书"), ("box", "盒子"), ("hat", "帽子"), ("lamp", "灯"), ("ring", "戒指"), ("map", "地图"), ("cup", "杯子"), ("ball", "球"), ("coat", "外套")]
JOBS = [("teacher", "老师"), ("doctor", "医生"), ("baker", "面包师"), ("painter", "画家"), ("farmer", "农民"), ("pilot", "飞行员"), ("singer", "歌手"), ("cook", "厨师")]

# (kind, statement, question, answer); {p} person, {o} object, {v} value
FACTS_EN = [("where", "{p} left the {o} in the {v}.", ["Where is the {o} of {p}?", "Where did {p} leave the {o}?"], "{p} left the {o} in the {v}.", PLACES),
            ("colour", "The {o} of {p} is {v}.", ["What colour is the {o} of {p}?", "Which colour does the {o} of {p} have?"], "The {o} of {p} is {v}.", COLOURS),
            ("job", "{p} works as a {v}.", ["What does {p} do for work?", "What is the job of {p}?"], "{p} works as a {v}.", JOBS),
            ("pet", "{p} has a {v}.", ["Which animal does {p} have?", "What pet does {p} have?"], "{p} has a {v}.", ANIMALS),
            ("food", "{p} likes {v}.", ["What does {p} like to eat?", "Which food does {p} like?"], "{p} likes {v}.", FOODS),
            ("code", "The code of {p} is {v}.", ["What is the code of {p}?", "Tell me the code of {p}."], "The code of {p} is {v}.", None)]
FACTS_ZH = [("where", "{p}把{o}放在{v}。", ["{p}的{o}在哪里？"], "{p}的{o}在{v}。", PLACES), ("colour", "{p}的{o}是{v}的。", ["{p}的{o}是什么颜色？"], "{p}的{o}是{v}的。", COLOURS),
            ("job", "{p}是一名{v}。", ["{p}做什么工作？"], "{p}是一名{v}。", JOBS), ("pet", "{p}养了一只{v}。", ["{p}养了什么动物？"], "{p}养了一只{v}。", ANIMALS),
            ("food", "{p}喜欢吃{v}。", ["{p}喜欢吃什么？"], "{p}喜欢吃{v}。", FOODS), ("code", "{p}的密码是{v}。", ["{p}的密码是什么？"], "{p}的密码是{v}。", None)]
PADDING_EN = ["The day was quiet.", "It rained in the afternoon.", "Nobody was in a hurry.", "The train came late again.", "A bell rang far away.", "The shop was closed.",
              "The children played outside.", "There was a smell of fresh bread.", "The wind turned cold.", "Someone had left a window open."]
PADDING_ZH = ["那天很安静。", "下午下了雨。", "没有人着急。", "火车又晚点了。", "远处有钟声。", "商店关门了。", "孩子们在外面玩。", "空气里有面包的香味。", "风变冷了。", "有人忘了关窗。"]


def facts_text(r, zh, n):
    """-> (a text of n made-up facts with some padding, the facts)"""
    facts, used = [], set()
    while len(facts) < n:
        kind, said, asks, answer, values = r.choice(FACTS_ZH if zh else FACTS_EN)
        p, o = a_name(r, zh), r.choice(OBJECTS)[int(zh)]
        if (p, o if kind in ("where", "colour") else kind) in used:
            continue
        used.add((p, o if kind in ("where", "colour") else kind))
        facts.append((said, asks, answer, dict(p=p, o=o, v=r.choice(values)[int(zh)] if values else str(r.randint(100, 9999)))))
    lines = []
    for said, _, _, v in facts:
        lines.append(said.format(**v))
        if r.random() < 0.3:
            lines.append(r.choice(PADDING_ZH if zh else PADDING_EN))
    return ("" if zh else " ").join(lines), facts


def question(r, zh, text, facts):
    """One or two of the facts are asked for, before or behind the text."""
    ask, said = two_asked(r, zh, facts) if len(facts) > 1 and r.random() < 0.3 else asked(r, r.choice(facts))
    prompt = text + "\n" + ask if r.random() < 0.7 else ask + "\n" + text
    return Example("lookup", f"lookup {prompt}", [user(prompt)], said, f"文中写道：{said}" if zh else f"The text says: {said}", said, "exact")


def lookup(r, zh):
    return question(r, zh, *facts_text(r, zh, r.choice((2, 3, 4, 6, 8, 12, 20))))


def asked(r, fact):
    """(question, answer) about one fact."""
    _, asks, answer, v = fact
    return r.choice(asks).format(**v), cap(answer.format(**v))


def two_asked(r, zh, facts):
    (ask1, said1), (ask2, said2) = (asked(r, fact) for fact in r.sample(facts, 2))
    return (ask1 + ask2, said1 + said2) if zh else (ask1 + " " + r.choice(["", "And "]) + ask2, said1 + " " + said2)


LONGEST_EN, LONGEST_ZH = 405, 580        # facts that fit 4,000 tokens with question and answer


def long_lookup(r, zh):
    e = question(r, zh, *facts_text(r, zh, r.randint(30, LONGEST_ZH if zh else LONGEST_EN)))
    e.skill = "long_lookup"
    return e


BEGIN = ["Once upon a time there was a {adj} {hero} named {n}.", "In a small village lived a {adj} {hero} called {n}.", "Long ago, a {adj} {hero} with the name {n} lived near a {place}."]
WISH = [("One day {n} lost a {colour} {thing} in the {place}.", "{n} looked under every leaf and stone.", "At last {friend} the {other} found the {thing} and brought it back."),
        ("One morning {n} wanted to see the other side of the {place}.", "The way was long and the night was dark.", "Then {friend} the {other} came along with a lamp, and they walked together."),
        ("One evening {n} heard somebody crying in the {place}.", "It was {friend}, a little {other} who could not find the way home.", "{n} took {friend} by the hand and they followed the stars."),
        ("One winter {n} had nothing left to eat but {food}.", "A hungry {other} called {friend} knocked at the door.", "{n} shared the {food}, and the house was warm that night.")]
END = ["From that day on they were good friends.", "And {n} never forgot that day.", "They laughed, ate {food} and slept well.", "And if they have not moved, they still live there today."]
ADJ = "little brave shy clever old happy curious kind sleepy quick".split()
ZH_STORY = ["从前有一只叫{n}的{hero}，住在{place}旁边。", "有一天，{n}在{place}里丢了一个{colour}的{thing}。", "{n}找了很久也没有找到。", "后来，{hero2}{friend}捡到了{thing}，把它还给了{n}。", "从此以后，他们成了好朋友。"]
HEROES = "fox bear rabbit mouse cat dog owl girl boy dragon king farmer robot turtle".split()


def story(r, zh):
    i = r.randrange(len(ANIMALS))
    v = dict(n=a_name(r, zh), friend=a_name(r, zh), adj=r.choice(ADJ), other=r.choice(HEROES), place=r.choice(PLACES)[int(zh)], thing=r.choice(OBJECTS)[int(zh)],
             colour=r.choice(COLOURS)[int(zh)], food=r.choice(FOODS)[int(zh)], hero=ANIMALS[i][1] if zh else r.choice(HEROES), hero2=r.choice(ANIMALS)[1])
    while v["friend"] == v["n"]:
        v["friend"] = a_name(r, zh)
    named = r.random() < 0.5
    if zh:
        text = r.choice([f"讲一个关于{v['hero']}的故事。", f"给我讲个{v['hero']}的故事吧。"]) if not named else f"讲一个关于{v['hero']}{v['n']}的故事。"
        said = "".join(ZH_STORY).format(**v)
    else:
        text = articles(f"Tell me a {r.choice(['', 'short ', 'little '])}story about a {v['hero']}" + (f" named {v['n']}." if named else "."))
        said = articles(" ".join([r.choice(BEGIN), *r.choice(WISH), r.choice(END)]).format(**v))
    if not named and r.random() < 0.2:
        text = r.choice(["讲个故事。", "给我讲个故事吧。"]) if zh else r.choice(["Tell me a story.", "Tell a short story.", "Can you tell me a story?"])
    gold = v["n"] if named else ""
    return Example("story", f"tell {text}", [user(decorate(r, text, zh))], said, "A short story with a beginning, a problem and a good end." if not zh else "讲一个短故事。", gold, always_train=not named)


WORDS = ("apple bread chair dance eagle flame grape house island jungle kettle lemon music night ocean paper queen river stone table under valley water yellow zebra bridge candle "
         "doctor engine flower garden hammer insect jacket kitten ladder mirror needle orange pencil rabbit silver ticket umbrella window cloud drum earth frost glass heart "
         "iron jewel knife light mouse north opera piano quiet robot sugar train unit voice wheel youth tree book fish bird moon star rain snow wind fire").split()


COUNT_EN = ["How many times is {x} in {w}?", "How many times does the letter {x} occur in {w}?", "Count the letter {x} in the word {w}.", "How many {x} are in the word {w}?", "How many {x}'s are in {w}?"]
COUNT_ZH = ["{w}里有几个{x}？", "单词{w}中字母{x}出现了几次？", "数一数{w}里的字母{x}。"]


def a_word(r):
    """Listed, a name, made up of syllables, or of letters alone."""
    x = r.random()
    if x < 0.45:
        return r.choice(WORDS)
    if x < 0.6:
        return r.choice(NAMES).lower()
    if x < 0.85:
        return made_up(r, 2, 4).lower()
    return "".join(r.choice("abcdefghijklmnopqrstuvwxyzaeiou") for _ in range(r.randint(3, 8)))


def strings(r, zh):
    """Spelling, first and last letters, reversing, sorting words, upper case."""
    kind = r.choice(("spell", "reverse", "first", "last", "sort", "upper", "length", "count"))
    w = a_word(r)
    letters, letter = "-".join(w), r.choice(w) if r.random() < 0.85 else r.choice("aeionrst")
    if kind == "sort":
        items = sorted({a_word(r) for _ in range(r.randint(2, 4))} | {r.choice(WORDS)})
        r.shuffle(items)
        text, said, think = f"Sort these words: {', '.join(items)}", ", ".join(sorted(items)), "Sort by the first letter."
        if zh:
            text = f"按字母顺序排列：{', '.join(items)}"
    else:
        text, said = {"spell": (f"Spell the word {w}.", letters), "reverse": (f"Reverse the word {w}.", w[::-1]), "first": (f"What is the first letter of {w}?", w[0]),
                      "last": (f"What is the last letter of {w}?", w[-1]), "upper": (f"Write {w} in capital letters.", w.upper()),
                      "length": (f"How many letters does the word {w} have?", f"{letters}: {len(w)}"), "count": (r.choice(COUNT_EN).format(x=letter, w=w), f"{letters}: {w.count(letter)}")}[kind]
        if zh:
            text = {"spell": f"拼写单词{w}。", "reverse": f"把单词{w}倒过来写。", "first": f"{w}的第一个字母是什么？", "last": f"{w}的最后一个字母是什么？", "upper": f"用大写字母写{w}。",
                    "length": f"单词{w}有几个字母？", "count": r.choice(COUNT_ZH).format(x=letter, w=w)}[kind]
        think = letters + {"reverse": f" → {'-'.join(w[::-1])}", "count": ": " + " ".join(str(w[:i + 1].count(letter)) for i in range(len(w)))}.get(kind, "")
    counted = kind in ("length", "count")
    gold = said.rsplit(" ", 1)[1] if counted else said
    return Example("strings", f"string {kind} {text}", [user(text)], said, think, gold, "number" if counted else "exact")


def as_json(r, zh):
    """A sentence to an object with the asked members."""
    n, age, c = a_name(r, zh), r.randint(5, 90), made_up(r)
    job = r.choice(JOBS)[int(zh)]
    all_fields = [("name", n, f"{n}"), ("age", age, f"{age}岁" if zh else f"{age} years old"), ("city", c, f"住在{c}" if zh else f"lives in {c}"), ("job", job, f"是一名{job}" if zh else f"works as a {job}")]
    rest = r.sample(all_fields[1:], r.randint(1, 3))
    if zh:
        line, ask = n + "，".join([""] + [x[2] for x in rest])[1:] + "。", "请用JSON回答，字段为"
    else:
        phrases = [("is " + x[2]) if x[0] == "age" else x[2] for x in rest]
        line, ask = n + " " + (", ".join(phrases[:-1]) + " and " + phrases[-1] if len(phrases) > 1 else phrases[0]) + ".", "Give JSON with "
    keys = [all_fields[0]] + rest
    if r.random() < 0.3:
        r.shuffle(keys)
    said = to_json({k: v for k, v, _ in keys})
    text = line + " " + ask + ", ".join(k for k, _, _ in keys) + ("。" if zh else ".")
    return Example("json", f"json {text}", [user(text)], said, f"Members: {', '.join(k for k, _, _ in keys)}.", said, "exact")


DAYS = [("Monday", "星期一"), ("Tuesday", "星期二"), ("Wednesday", "星期三"), ("Thursday", "星期四"), ("Friday", "星期五"), ("Saturday", "星期六"), ("Sunday", "星期日")]
MONTHS = [(m, f"{i + 1}月") for i, m in enumerate("January February March April May June July August September October November December".split())]


def calendar(r, zh):
    names = r.choice((DAYS, MONTHS))
    i, step = r.randrange(len(names)), r.choice((1, 1, 1, -1, 2, 3))
    a, b = names[i][int(zh)], names[(i + step) % len(names)][int(zh)]
    unit, many = (("天", "天") if names is DAYS else ("个月", "个月")) if zh else (("day", "days") if names is DAYS else ("month", "months"))
    if zh:
        text = {1: f"{a}之后是什么？", -1: f"{a}之前是什么？"}.get(step, f"{a}过{step}{unit}是什么？")
    elif abs(step) == 1:
        text = f"Which {unit} comes {'after' if step > 0 else 'before'} {a}?" if r.random() < 0.7 else f"What comes {'after' if step > 0 else 'before'} {a}?"
    else:
        text = f"Which {unit} is {step} {many} after {a}?"
    walk = ", ".join(names[(i + s) % len(names)][int(zh)] for s in range(0, step + (1 if step > 0 else -1), 1 if step > 0 else -1))
    return Example("calendar", f"calendar {text}", [user(decorate(r, text, zh))], b, walk, b, "exact", always_train=abs(step) == 1)


WORD_PAIRS = COLOURS + ANIMALS + FOODS + PLACES + OBJECTS + JOBS + DAYS + [
    ("water", "水"), ("fire", "火"), ("sun", "太阳"), ("moon", "月亮"), ("mountain", "山"), ("river", "河"), ("tree", "树"), ("flower", "花"), ("house", "房子"), ("friend", "朋友"), ("mother", "妈妈"),
    ("father", "爸爸"), ("child", "孩子"), ("time", "时间"), ("day", "天"), ("night", "夜晚"), ("good", "好"), ("big", "大"), ("small", "小"), ("hello", "你好"), ("thank you", "谢谢"), ("goodbye", "再见"),
    ("one", "一"), ("two", "二"), ("three", "三"), ("four", "四"), ("five", "五"), ("ten", "十"), ("hundred", "百"), ("love", "爱"), ("tea", "茶"), ("milk", "牛奶"), ("egg", "鸡蛋"), ("car", "汽车"), ("computer", "电脑")]


def translate(r, zh):
    w, c = r.choice(WORD_PAIRS)
    forms = [(f"{w}用中文怎么说？", c), (f"“{c}”用英语怎么说？", w)] if zh else [(f"How do you say {w} in Chinese?", c), (f"Translate {w} into Chinese.", c), (f"What does {c} mean?", w), (f"Translate {c} into English.", w)]
    i, (text, said) = pick(r, forms)
    return Example("translate", f"translate {text}", [user(decorate(r, text, zh))], said, f"{w} = {c}", said, "exact", always_train=i == 0)


def repeat(r, zh):
    what = " ".join(r.choice(WORDS) for _ in range(r.randint(1, 6))) if r.random() < 0.6 else " ".join(made_up(r) for _ in range(r.randint(1, 4)))
    text = r.choice(["请重复：{w}", "跟我说：{w}"] if zh else ["Repeat after me: {w}", "Say: {w}", "Please repeat: {w}"]).format(w=what)
    return Example("repeat", f"repeat {what}", [user(text)], what, "Copy the words.", what, "exact")
