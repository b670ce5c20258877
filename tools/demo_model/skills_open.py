"""What people ask that the other skills leave out: short forms, aliases, several terms, poems, and questions beyond so small a model."""
from skill import Example, NAMES, a_name, cap, decorate, made_up, pick, user
from skills_chat import ANIMALS, COLOURS, FOODS
from skills_facts import ASK_EN, COUNTRIES
from skills_numbers import number, trained_pair
from skills_text import JOBS, WORDS

BY_NAME = {row[0]: row for row in COUNTRIES}
ALIASES = [("the USA", "the United States"), ("the US", "the United States"), ("America", "the United States"), ("the United States of America", "the United States"),
           ("the UK", "the United Kingdom"), ("Britain", "the United Kingdom"), ("Great Britain", "the United Kingdom"), ("England", "the United Kingdom"),
           ("Holland", "the Netherlands"), ("the UAE", "the United Arab Emirates"), ("Czechia", "the Czech Republic"), ("Burma", "Myanmar"), ("Türkiye", "Turkey"),
           ("DR Congo", "the Democratic Republic of the Congo"), ("Côte d'Ivoire", "Ivory Coast"), ("Cabo Verde", "Cape Verde"), ("Bosnia", "Bosnia and Herzegovina")]


def aliases(r, zh):
    alias, name = r.choice(ALIASES)
    row = BY_NAME[name]
    kind, forms, answer, gold = ASK_EN[0] if r.random() < 0.7 else r.choice(ASK_EN[2:])
    i, form = pick(r, forms)
    v = dict(k=row[1], n=row[2], m=row[3], l=row[4])
    text = r.choice([form, form, form.replace("the capital of {c}", "the capital of " + alias.removeprefix("the "))]).format(c=alias, **v)
    said = cap(answer.format(c=name, **v))
    return Example("capitals" if kind == "capital" else "countries", f"alias {kind} {alias} {i}", [user(decorate(r, cap(text), False))], said, f"{cap(alias)} is {name}. {said}",
                   gold.format(**v), always_train=i == 0)


def short_capital(r, zh):
    """"capital france", "France capital?", "and the capital of Peru please"."""
    row = r.choice(COUNTRIES)
    if zh:
        i, form = pick(r, ["{z}首都", "首都 {z}", "我想知道{z}的首都", "{z}的首都叫什么？", "你知道{z}的首都吗？"])
        text, said, gold = form.format(z=row[5]), f"{row[5]}的首都是{row[6]}。", row[6]
    else:
        i, form = pick(r, ["capital {c}", "{c} capital", "the capital of {c} please", "I want to know the capital of {c}.", "Can you tell me the capital of {c}?",
                           "Could you tell me what the capital of {c} is?", "What is {c}'s capital?", "Quick question: what is the capital of {c}?", "whats the capital of {c}", "what is the capitol of {c}?"])
        bare = row[0].removeprefix("the ") if r.random() < 0.6 else row[0]
        text, said, gold = form.format(c=bare), cap(f"the capital of {row[0]} is {row[1]}."), row[1]
        if r.random() < 0.3:
            text = text.lower()
    return Example("capitals", f"short {zh} {row[0]} {i}", [user(text)], said, said, gold)


def hello_and(r, zh):
    """A name and a question in one message."""
    row, n, (a, b) = r.choice(COUNTRIES), a_name(r, zh), trained_pair(r, lambda: number(r))
    capital = r.random() < 0.5
    if zh:
        text, said = f"你好，我叫{n}。" + (f"{row[5]}的首都是哪里？" if capital else f"{a}+{b}等于多少？"), f"你好，{n}！" + (f"{row[5]}的首都是{row[6]}。" if capital else f"{a} + {b} = {a + b}")
    else:
        text = r.choice(["Hi, I'm {n}. ", "Hello, my name is {n}. ", "I am {n}. "]).format(n=n) + (f"What is the capital of {row[0]}?" if capital else f"What is {a} + {b}?")
        said = f"Hello {n}! " + (cap(f"the capital of {row[0]} is {row[1]}.") if capital else f"{a} + {b} = {a + b}")
    return Example("follow_up", f"hello {text}", [user(text)], said, "A name and a question." if not zh else "一个名字和一个问题。", said, "exact")


def is_capital(r, zh):
    a, b = r.choice(COUNTRIES), r.choice(COUNTRIES)
    if r.random() < 0.5:
        b = a
    if zh:
        text, said = f"{b[6]}是{a[5]}的首都吗？", f"是的，{a[5]}的首都是{a[6]}。" if a[6] == b[6] else f"不是，{a[5]}的首都是{a[6]}。"
    else:
        text, said = f"Is {b[1]} the capital of {a[0]}?", ("Yes, " if a[1] == b[1] else "No, ") + f"the capital of {a[0]} is {a[1]}."
        said = cap(said)
    return Example("capitals", f"is {text}", [user(decorate(r, text, zh))], said, said, said, "exact")


def long_sums(r, zh):
    """Three terms, thousands, and division without remainder."""
    kind = r.random()
    if kind < 0.4:
        a, b, c = (number(r, r.choice((1, 1, 2, 3))) for _ in range(3))
        text, said, gold = f"{a} + {b} + {c}", f"{a} + {b} + {c} = {a + b} + {c} = {a + b + c}", a + b + c
    elif kind < 0.75:
        a, b, plus = r.randint(1000, 9999), r.randint(1, 9999), r.random() < 0.5
        a, b = max(a, b), min(a, b)
        gold = a + b if plus else a - b
        text = f"{a} {'+' if plus else '-'} {b}"
        said = f"{text} = {gold}"
    else:
        b, gold = r.randint(1, 12), r.randint(0, 12)
        text = f"{b * gold} / {b}"
        said = f"{b * gold} / {b} = {gold}"
    form = r.choice(["{t}等于多少？", "计算{t}。"] if zh else ["What is {t}?", "{t}", "{t} = ?", "Calculate {t}.", "How much is {t}?"])
    return Example("long_sums", f"long {text}", [user(decorate(r, form.format(t=text), zh))], said, said, str(gold), "number")


def only_number(r, zh):
    """The bare result where it is asked for."""
    a, b = trained_pair(r, lambda: number(r))
    plus = r.random() < 0.6 or a < b
    text, s = f"{a} {'+' if plus else '-'} {b}", a + b if plus else a - b
    form = r.choice(["{t}等于多少？只回答数字。"] if zh else ["What is {t}? Answer with a number only.", "What is {t}? Just the number.", "{t} = ? Only the result, please.", "What is {t}? Reply with only the number."])
    return Example("only_number", f"only {text}", [user(form.format(t=text))], str(s), f"{text} = {s}", str(s), "exact")


LISTS = [("fruits", "水果", ["apple", "banana", "orange"], ["苹果", "香蕉", "橙子"]), ("colours", "颜色", ["red", "green", "blue"], ["红色", "绿色", "蓝色"]),
         ("colors", "颜色", ["red", "green", "blue"], ["红色", "绿色", "蓝色"]), ("animals", "动物", ["dog", "cat", "horse"], ["狗", "猫", "马"]), ("cities", "城市", ["London", "Tokyo", "Cairo"], ["北京", "东京", "巴黎"]),
         ("countries", "国家", ["France", "Japan", "Brazil"], ["中国", "法国", "巴西"]), ("vegetables", "蔬菜", ["carrot", "potato", "onion"], ["胡萝卜", "土豆", "洋葱"]),
         ("planets", "行星", ["Earth", "Mars", "Jupiter"], ["地球", "火星", "木星"]), ("languages", "语言", ["English", "Chinese", "Spanish"], ["英语", "汉语", "西班牙语"])]


def lists(r, zh):
    en, cn, items, zh_items = r.choice(LISTS)
    if zh:
        text, said = r.choice([f"说出三种{cn}。", f"列举三个{cn}。"]), "、".join(zh_items) + "。"
    else:
        text, said = r.choice([f"Name three {en}.", f"List three {en}.", f"Give me three {en}.", f"Tell me three {en}."]), ", ".join(items) + "."
    return Example("plain_facts", f"list {text}", [user(decorate(r, text, zh))], cap(said), "", always_train=True)


POEM = ["The {w} is {c} and the day is long,", "the {a} comes by with a little song.", "It sings of home, it sings of the sea,", "and leaves a {x} for you and me."]
ZH_POEM = "{w}静静夜已深，\n{a}轻轻入梦来。\n明天太阳照大地，\n花儿朵朵为你开。"


def poem(r, zh):
    w = r.choice(WORDS)
    if zh:
        w = r.choice(["月亮", "大海", "春天", "雪花", "山", "河", "花园", "星星"])
        text, said = r.choice([f"写一首关于{w}的诗。", f"写首诗，题目是{w}。"]), ZH_POEM.format(w=w, a=r.choice(ANIMALS)[1])
    else:
        text = r.choice(["Write a poem about the {w}.", "Write a short poem about {w}.", "Can you write a poem about the {w}?", "A poem about the {w}, please."]).format(w=w)
        said = "\n".join(POEM).format(w=w, c=r.choice(COLOURS)[0], a=r.choice(ANIMALS)[0], x=r.choice(["stone", "shell", "star", "leaf"]))
    return Example("story", f"poem {text}", [user(decorate(r, text, zh))], said, "", always_train=True)


TOPICS = ("quantum mechanics;gravity;photosynthesis;democracy;inflation;the stock market;evolution;black holes;the Roman Empire;World War II;climate change;blockchain;machine learning;calculus;the Renaissance;"
          "economics;philosophy;the French Revolution;relativity;DNA;vaccines;Shakespeare;jazz;the immune system;volcanoes;electricity;magnetism;the internet;chess;football;cooking rice;love;time;"
          "a linear regression;a virus;the heart;the brain;batteries;the moon landing;a recession;poetry;law;marketing;politics;religion;art;history;biology;chemistry;physics").split(";")
ZH_TOPICS = "量子力学;相对论;光合作用;民主;通货膨胀;股票;进化论;黑洞;罗马帝国;二战;气候变化;区块链;机器学习;微积分;文艺复兴;经济学;哲学;基因;疫苗;唐诗;爵士乐;免疫系统;火山;电;互联网;围棋;足球;历史;生物;物理".split(";")
BEYOND_EN = ["Explain {t}.", "What do you think about {t}?", "Write an essay about {t}.", "Can you explain {t} to me?", "Tell me about {t}.", "How does {t} work?", "Give me a summary of {t}.", "Why is {t} important?",
             "Write a Python function for {t}.", "Write a program about {t}.", "What is the history of {t}?", "Who invented {t}?", "Teach me {t}.", "Write an email about {t}.", "Help me with {t}.", "What is the best book about {t}?",
             "Is {t} good or bad?", "Write a C++ class for {t}.", "When did {t} begin?", "What are the advantages of {t}?", "Compare {t} and {u}.", "How do I learn {t}?", "I need advice on {t}."]
BEYOND_ZH = ["解释一下{t}。", "什么是{t}？", "写一篇关于{t}的文章。", "你怎么看{t}？", "{t}是怎么工作的？", "介绍一下{t}。", "为什么{t}很重要？", "谁发明了{t}？", "用Python写一个{t}的程序。", "帮我学习{t}。"]
WHO_EN = ["Who is {n}?", "Who was {n}?", "How old is {n}?", "When was {n} born?", "Where does {n} live?", "Who is the president of {c}?", "How many people live in {c}?", "What is the population of {c}?", "What happened in {c} in {y}?",
          "Who won the match in {y}?", "How tall is {n}?", "Who wrote {m}?", "What is {m}?", "What does {m} mean?", "Where is {m}?", "How far is it from {k} to {l}?", "{m}", "{m} {o}", "What will the weather be tomorrow?", "What day is it today?"]
WHO_ZH = ["{n}是谁？", "{n}几岁了？", "{n}是什么时候出生的？", "{c}的总统是谁？", "{c}有多少人口？", "{m}是什么？", "今天星期几？", "明天会下雨吗？"]


def beyond(r, zh):
    """Far beyond the model: it says so."""
    a, b = r.choice(COUNTRIES), r.choice(COUNTRIES)
    if r.random() < 0.5:
        topics = ZH_TOPICS if zh else TOPICS
        t = r.choice(topics) if zh or r.random() < 0.6 else r.choice([r.choice(WORDS), r.choice(JOBS)[0] + "s", r.choice(FOODS)[0], made_up(r).lower(), r.choice(WORDS) + " " + r.choice(WORDS)])
        i, form = pick(r, BEYOND_ZH if zh else BEYOND_EN)
        text = form.format(t=t, u=r.choice(topics))
        said = "我是一个很小的模型，这个我不会。" if zh else "I am a very small model and I do not know enough about that."
    else:
        i, form = pick(r, WHO_ZH if zh else WHO_EN)
        n = a_name(r, zh) if zh else r.choice(NAMES) + " " + made_up(r)
        text = form.format(n=n, c=a[5] if zh else a[0], m=made_up(r), o=r.choice(WORDS), y=r.randint(1900, 2030), k=a[1], l=b[1])
        said = "我不知道。" if zh else "I do not know that."
    return Example("unknown", f"beyond {text}", [user(decorate(r, text, zh))], said, "I was not trained on this." if not zh else "我没有学过这个。", said, "exact")
