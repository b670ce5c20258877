"""Skills of memory: countries, elements, and a list of plain facts. The facts are all learned; ways of asking are held out."""
from skill import Example, SYLLABLES, assistant, cap, decorate, held_out, made_up, pick, table, user

COUNTRIES = table("countries.tsv")      # name, capital, continent, currency, language, Chinese name, Chinese capital
ELEMENTS = table("elements.tsv")        # name, symbol, Chinese name; the row is the atomic number
CHINESE = {row[0]: row[1] for row in table("chinese_names.tsv")}    # of currencies and languages
PLAIN = table("plain.tsv")              # question; other ways of asking; answer; gold
ZH_CONTINENT = {"Africa": "非洲", "Asia": "亚洲", "Europe": "欧洲", "North America": "北美洲", "South America": "南美洲", "Oceania": "大洋洲"}

# (attribute, ways of asking, answer, gold) over {c} country, {k} capital, {n} continent, {m} money, {l} language
ASK_EN = [
    ("capital", ["What is the capital of {c}?", "What's the capital of {c}?", "Which city is the capital of {c}?", "Name the capital of {c}.",
                 "Tell me the capital of {c}.", "Do you know the capital of {c}?", "Capital of {c}?", "{c}: what is the capital?",
                 "What is the capital city of {c}?", "What city is {c}'s capital?"],
     "The capital of {c} is {k}.", "{k}"),
    ("country", ["{k} is the capital of which country?", "Which country has the capital {k}?", "What country is {k} the capital of?", "Of which country is {k} the capital?"],
     "{k} is the capital of {c}.", "{c}"),
    ("continent", ["On which continent is {c}?", "What continent is {c} in?", "Where is {c}?", "In which part of the world is {c}?"],
     "{c} is in {n}.", "{n}"),
    ("currency", ["What is the currency of {c}?", "Which currency is used in {c}?", "What money do they use in {c}?", "How do people pay in {c}?", "What currency does {c} use?"],
     "The currency of {c} is the {m}.", "{m}"),
    ("language", ["What language is spoken in {c}?", "Which language do people speak in {c}?", "What do people speak in {c}?", "What is the language of {c}?"],
     "People in {c} speak {l}.", "{l}")]
ASK_ZH = [
    ("capital", ["{z}的首都是哪里？", "{z}的首都是什么？", "{z}的首都在哪里？", "哪个城市是{z}的首都？", "告诉我{z}的首都。", "{z}首都是哪个城市？", "{z}的首都？"], "{z}的首都是{y}。", "{y}"),
    ("country", ["{y}是哪个国家的首都？", "哪个国家的首都是{y}？", "以{y}为首都的国家是哪个？"], "{y}是{z}的首都。", "{z}"),
    ("continent", ["{z}在哪个洲？", "{z}位于哪个大洲？", "{z}属于哪个洲？"], "{z}位于{x}。", "{x}"),
    ("currency", ["{z}的货币是什么？", "{z}用什么货币？", "在{z}用什么钱？", "{z}的钱叫什么？", "{z}的法定货币是什么？"], "{z}的货币是{m}。", "{m}"),
    ("language", ["{z}人说什么语言？", "{z}的语言是什么？", "在{z}人们说什么话？", "{z}讲哪种语言？"], "{z}人说{l}。", "{l}"),
    ("english", ["{z}用英语怎么说？", "“{z}”的英文是什么？", "怎么用英语说{z}？"], "{z}的英文是{c}。", "{c}"),
    ("chinese", ["{c}的中文名是什么？", "How do you say {c} in Chinese?", "{c}用中文怎么说？"], "{c}的中文是{z}。", "{z}")]
COUNTRY_SKILLS = {"capital": "capitals", "currency": "currencies", "language": "languages"}
WEIGHTS_EN, WEIGHTS_ZH = (10, 3, 2, 5, 4), (10, 3, 2, 7, 5, 2, 2)
CAPITALS_OFTEN = {}
for _row in COUNTRIES:
    CAPITALS_OFTEN[_row[1]] = CAPITALS_OFTEN.get(_row[1], 0) + 1
    CAPITALS_OFTEN[_row[6]] = CAPITALS_OFTEN.get(_row[6], 0) + 1


def countries(r, zh, attribute=None):
    asks = ASK_ZH if zh else ASK_EN
    kind, forms, answer, gold = next(a for a in asks if a[0] == attribute) if attribute else r.choices(asks, WEIGHTS_ZH if zh else WEIGHTS_EN)[0]
    row = r.choice(COUNTRIES)
    while kind == "country" and CAPITALS_OFTEN[row[6 if zh else 1]] > 1:     # Kingston twice in Chinese: no one answer
        row = r.choice(COUNTRIES)
    i, form = pick(r, forms)
    v = dict(c=row[0], k=row[1], n=row[2], m=row[3], l=row[4], z=row[5], y=row[6], x=ZH_CONTINENT[row[2]])
    if zh:
        v.update(m=CHINESE[row[3]], l=CHINESE[row[4]])
    v_bare = dict(v, c=row[0].removeprefix("the ")) if kind in ("english", "chinese") or form.startswith("{c}:") else v
    text, said = cap(form.format(**v_bare)), cap(answer.format(**v_bare))
    think = f"用户问的是{v['z']}。{said}" if zh else f"The user asks about {v['k'] if kind == 'country' else v['c']}. {said}"
    return Example(COUNTRY_SKILLS.get(kind, "countries"), f"{kind} {zh} {row[0]} {i}", [user(decorate(r, text, zh))], said, think,
                   gold.format(**v_bare), always_train=i == 0 and kind == "capital")


def and_what_about(r, zh):
    """A second question that only names another country."""
    a, b = r.sample(COUNTRIES, 2)
    if zh:
        turns = [user(f"{a[5]}的首都是哪里？"), assistant(f"{a[5]}的首都是{a[6]}。"), user(r.choice([f"那{b[5]}呢？", f"{b[5]}呢？"]))]
        said, gold = f"{b[5]}的首都是{b[6]}。", b[6]
    else:
        kind, forms, answer, gold = r.choice(ASK_EN[:1] * 3 + ASK_EN[2:])
        va, vb = (dict(c=x[0], k=x[1], n=x[2], m=x[3], l=x[4]) for x in (a, b))
        follow = r.choice(["And {c}?", "What about {c}?", "And of {c}?", "How about {c}?"]).format(**vb)
        i, form = pick(r, forms)
        while held_out(f"{kind} False {a[0]} {i}"):             # a test asks that
            i, form = pick(r, forms)
        turns = [user(cap(form.format(**va))), assistant(cap(answer.format(**va))), user(follow)]
        said, gold = cap(answer.format(**vb)), gold.format(**vb)
    return Example("follow_up", f"follow {zh} {a[0]} {turns[0]['content']} {b[0]}", turns, said, f"现在问的是{b[5]}。{said}" if zh else f"Now about {b[0]}. {said}", gold)


ELEMENTS_EN = [("symbol", ["What is the chemical symbol of {e}?", "What is the symbol for {e}?", "Which symbol does {e} have?", "Chemical symbol of {e}?"],
                "The symbol of {e} is {s}.", "is {s}."),
               ("name", ["Which element has the symbol {s}?", "What element is {s}?", "The symbol {s} stands for which element?"], "{s} is the symbol of {e}.", "{e}"),
               ("number", ["What is the atomic number of {e}?", "Which atomic number does {e} have?", "{E}: what is the atomic number?"],
                "The atomic number of {e} is {i}.", "is {i}.")]
ELEMENTS_ZH = [("symbol", ["{z}的化学符号是什么？", "{z}元素的符号是什么？", "{z}用什么符号表示？"], "{z}的化学符号是{s}。", "是{s}。"),
               ("name", ["{s}是什么元素？", "符号{s}代表哪种元素？"], "{s}是{z}。", "{z}"), ("number", ["{z}的原子序数是多少？", "{z}是第几号元素？"], "{z}的原子序数是{i}。", "是{i}。")]


def elements(r, zh):
    kind, forms, answer, gold = r.choice(ELEMENTS_ZH if zh else ELEMENTS_EN)
    n = r.randrange(len(ELEMENTS))
    name, symbol, chinese = ELEMENTS[n]
    i, form = pick(r, forms)
    v = dict(e=name.lower(), E=name, s=symbol, i=n + 1, z=chinese)
    text = form.format(**v)
    if kind != "name":                      # symbols keep their capitals
        text = decorate(r, text, zh)
    said = cap(answer.format(**v)) if kind == "number" else answer.format(**v)
    return Example("elements", f"element {kind} {zh} {n} {i}", [user(text)], said, f"{name}: symbol {symbol}, number {n + 1}.", gold.format(**v))


def plain(r, zh):
    """zh is not used: the list has both languages."""
    row = r.choice(PLAIN)
    forms = [row[0]] + [x for x in row[1].split(";") if x]
    i, text = pick(r, forms)
    chinese = any("\u4e00" <= c <= "\u9fff" for c in text)
    return Example("plain_facts", f"plain {text}", [user(decorate(r, text, chinese))], row[2], row[2], row[3], always_train=i == 0)


def unknown(r, zh):
    """A country or element that does not exist: say so instead of inventing."""
    word = made_up(r, 2, 4) + r.choice(["", "", "ia", "land", "stan"])
    if r.random() < 0.25:
        word = "".join(r.choice(SYLLABLES) for _ in range(2)) + "ium"
        text = f"{word}的化学符号是什么？" if zh else f"What is the chemical symbol of {word}?"
        said = f"我不知道叫{word}的元素。" if zh else f"I don't know an element called {word}."
        gold = "不知道" if zh else "don't know"
    else:
        ask = r.choice(["capital", "currency", "language", "continent"])
        if zh:
            text, said, gold = f"{word}的首都是哪里？", f"我不知道叫{word}的国家。", "不知道"
        else:
            form = r.choice(next(a for a in ASK_EN if a[0] == ask)[1])
            text, said, gold = cap(form.format(c=word, k=word)), f"I don't know a country called {word}.", "don't know"
    return Example("unknown", f"unknown {zh} {text}", [user(text)], said, f"{word} is not in any list I know.", gold)
