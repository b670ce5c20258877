"""Calling tools in V3.1's form: one call, two calls, using the result, and knowing when no call is needed."""
from chat import call_text, structured, to_json
from skill import Example, a_name, held_out, made_up, user
from skills_chat import filler, small_talk
from skills_facts import COUNTRIES, plain
from skills_numbers import number

SKIES = [("sunny", "晴"), ("cloudy", "多云"), ("rainy", "雨"), ("snowy", "雪"), ("windy", "大风"), ("foggy", "雾")]


def tool(name, description, /, **properties):
    """An OpenAI tool definition; a property is (type, description), all of them required."""
    return {"type": "function", "function": {"name": name, "description": description, "parameters": {
        "type": "object", "properties": {k: {"type": t, "description": d} for k, (t, d) in properties.items()}, "required": list(properties)}}}


def city(r, zh):
    row = r.choice(COUNTRIES)
    return (row[6] if zh else row[1]) if r.random() < 0.6 else made_up(r)


PLACE_TEXT = ["The city", "The city", "City name", "The name of the city", "City and state, e.g. San Francisco, CA", "The place to look up", "城市"]


def place_key(r):
    return r.choice(["city", "location", "place"]) if r.random() < 0.7 else r.choice(["town", "where", "q", "name", "query", "target", "region", "address", "arg"])


def weather(r, zh, n=None):
    """-> (tool, ask(city), arguments(city), result(city), say(result, city))"""
    key, name = place_key(r), n or r.choice(["get_weather", "weather", "current_weather", "get_current_weather"])
    d = tool(name, r.choice(["Get the weather of a city.", "Current weather in a place.", "Get the current weather.", "Get current weather for a location", "查询天气"]), **{key: ("string", r.choice(PLACE_TEXT))})
    if r.random() < 0.3:                                # an optional argument that nobody asked for
        d["function"]["parameters"]["properties"]["unit"] = {"type": "string", "enum": ["celsius", "fahrenheit"]}

    def one():
        c = city(r, zh)
        temp, sky = r.randint(-10, 38), r.choice(SKIES)
        form = r.random() < 0.6
        if zh:
            ask = r.choice(["{c}的天气怎么样？", "{c}今天天气如何？", "查一下{c}的天气。"]).format(c=c)
            said = f"{c}现在{temp}度，{sky[1]}。"
        else:
            ask = r.choice(["What is the weather in {c}?", "How is the weather in {c}?", "What's the weather like in {c}?", "Weather in {c}?", "Check the weather in {c}.",
                            "Is it warm in {c} today?", "Is it raining in {c}?", "Weather in {c} please"]).format(c=c)
            said = f"In {c} it is {temp} degrees and {sky[0]}."
        result = to_json({"temperature": temp, "sky": sky[int(zh)]}) if form else to_json({"temp": temp, "condition": sky[int(zh)]})
        return c, ask, {key: c}, result, said
    return d, one


def clock(r, zh, n=None):
    key = place_key(r)
    d = tool(n or r.choice(["get_time", "current_time", "clock"]), r.choice(["Get the current time in a city.", "Tells the local time."]), **{key: ("string", r.choice(PLACE_TEXT))})

    def one():
        c, t = city(r, zh), f"{r.randint(0, 23):02d}:{r.randint(0, 59):02d}"
        ask = r.choice(["{c}现在几点？", "{c}现在是什么时间？"] if zh else ["What time is it in {c}?", "What is the time in {c}?", "Tell me the time in {c}."]).format(c=c)
        return c, ask, {key: c}, to_json({"time": t}), f"{c}现在是{t}。" if zh else f"It is {t} in {c}."
    return d, one


def calculator(r, zh, n=None):
    d = tool(n or r.choice(["calculator", "calculate", "evaluate"]), r.choice(["Evaluate an arithmetic expression.", "Calculates."]), expression=("string", "The expression"))

    def one():
        a, b, op = r.randint(100, 9999), r.randint(100, 9999), r.choice("+-*")
        value, e = {"+": a + b, "-": a - b, "*": a * b}[op], f"{a} {op} {b}"
        ask = r.choice(["用计算器算 {e}。", "请用工具计算 {e}。"] if zh else ["Use the calculator: {e}", "Calculate {e} with the tool.", "Please compute {e} with the calculator."]).format(e=e)
        return e, ask, {"expression": e}, str(value), f"{e} = {value}"
    return d, one


def phone_book(r, zh, n=None):
    d = tool(n or r.choice(["find_phone", "phone_book", "lookup_contact"]), r.choice(["Find the phone number of a person.", "Looks up a contact."]), name=("string", "The person"))

    def one():
        p, t = a_name(r, zh), "".join(r.choices("0123456789", k=r.randint(5, 7)))
        ask = r.choice(["{p}的电话号码是多少？", "查一下{p}的电话。"] if zh else ["What is the phone number of {p}?", "Find the number of {p}.", "How can I call {p}?"]).format(p=p)
        return p, ask, {"name": p}, to_json({"phone": t}), f"{p}的电话是{t}。" if zh else f"The phone number of {p} is {t}."
    return d, one


def stock(r, zh, n=None):
    d = tool(n or r.choice(["get_price", "price_of", "find_price"]), r.choice(["Get the price of an item.", "Price of a product."]), item=("string", "The item"), currency=("string", "The currency"))
    things = ["bread", "milk", "tea", "coffee", "a book", "a lamp", "a chair", "a pen"]
    zh_things = ["面包", "牛奶", "茶", "咖啡", "书", "台灯", "椅子", "钢笔"]

    def one():
        i, p = r.choice(zh_things if zh else things), r.randint(1, 200)
        m = r.choice(["元", "美元"] if zh else ["dollars", "euros", "yen"])
        ask = f"{i}多少钱？用{m}表示。" if zh else r.choice(["How many {m} does {i} cost?", "What is the price of {i} in {m}?"]).format(i=i, m=m)
        bare = i.removeprefix("a ")
        return bare, ask, {"item": bare, "currency": m}, to_json({"price": p}), f"{bare}的价格是{p}{m}。" if zh else f"The price of {bare} is {p} {m}."
    return d, one


def alarm(r, zh, n=None):
    d = tool(n or r.choice(["set_alarm", "alarm"]), "Set an alarm.", hour=("integer", "The hour"), minute=("integer", "The minute"))

    def one():
        h, m = r.randint(0, 23), r.randint(0, 59)
        t = f"{h}:{m:02d}"
        ask = r.choice(["设一个{t}的闹钟。", "{t}叫醒我。"] if zh else ["Set an alarm for {t}.", "Wake me up at {t}."]).format(t=t)
        return t, ask, {"hour": h, "minute": m}, to_json({"ok": True}), f"闹钟已设为{t}。" if zh else f"The alarm is set for {t}."
    return d, one


KINDS = [weather, clock, calculator, phone_book, stock, alarm]
NAMES = ["run_task", "service", "helper", "do_it", "query", "lookup", "api_call", "tool_a"]


def setup(r, zh):
    """The tools of one conversation: the one that is needed among up to two others, in any order."""
    kinds = r.sample(KINDS, r.choice((1, 1, 2, 2, 3)))
    made = [k(r, zh, r.choice(NAMES) if r.random() < 0.12 else None) for k in kinds]
    name = made[0][0]["function"]["name"]
    tools = [d for d, _ in made]
    if len({d["function"]["name"] for d in tools}) < len(tools):
        tools = tools[:1]
    r.shuffle(tools)
    return name, made[0][1], tools


def opening(r, zh):
    turns = [{"role": "system", "content": r.choice(["You are a helpful assistant.", "You can use tools.", "你是一个有用的助手。"])}] if r.random() < 0.3 else []
    return turns + (filler(r, zh) if r.random() < 0.15 else [])


def gold_calls(calls):
    return to_json([{"name": name, "arguments": args} for name, args in calls])


def one_call(r, zh):
    name, one, tools = setup(r, zh)
    what, ask, args, _, _ = one()
    said = call_text([(name, args)])
    think = f"我需要用{name}。" if zh else f"I need {name} for this."
    return Example("tool_call", f"call {zh} {ask}", opening(r, zh) + [user(ask)], said, think, gold_calls([(name, args)]), "tool-call", tools)


def two_calls(r, zh):
    name, one, tools = setup(r, zh)
    (w1, ask1, a1, _, _), (w2, ask2, a2, _, _) = one(), one()
    if zh:
        text = ask1.rstrip("。？") + "？" + ask2
    else:
        text = ask1 + " " + r.choice(["And ", "Also: ", ""]) + ask2
    said = call_text([(name, a1), (name, a2)])
    return Example("two_tool_calls", f"calls {zh} {text}", opening(r, zh) + [user(text)], said, f"I need {name} twice." if not zh else f"我需要用{name}两次。", gold_calls([(name, a1), (name, a2)]), "tool-call", tools)


def use_result(r, zh):
    """After the calls come the results; the answer says what they say."""
    name, one, tools = setup(r, zh)
    count = 1 if r.random() < 0.7 else 2
    while True:                                          # a question of the call's test set must not stand here
        rounds = [one() for _ in range(count)]
        ask = " ".join(x[1] for x in rounds)
        if not held_out(f"call {zh} {ask}") and not held_out(f"calls {zh} {ask}"):
            break
    turns = opening(r, zh) + [user(ask), {"role": "assistant", "content": "", "tool_calls": structured([(name, x[2]) for x in rounds])}]
    turns += [{"role": "tool", "content": x[3]} for x in rounds]
    said = " ".join(x[4] for x in rounds)
    return Example("tool_result", f"result {zh} {ask} {[x[3] for x in rounds]}", turns, said, "", said, "exact", tools)


def after_result(r, zh):
    """The conversation goes on after a tool was used."""
    e = use_result(r, zh)
    turns = e.messages + [{"role": "assistant", "content": e.answer}]
    n = small_talk(r, zh)
    return Example("tool_result", e.key, turns + n.messages, n.answer, n.think, "", "exact", e.tools, e.always_train)


def no_call(r, zh):
    """Tools are there but not needed."""
    _, _, tools = setup(r, zh)
    e = r.choice((small_talk, plain))(r, zh)
    e.tools, e.messages = tools, opening(r, zh) + e.messages
    e.think = e.think or "No tool is needed."
    return e


def no_tool(r, zh):
    """A tool would be needed and none is there."""
    c = city(r, zh)
    if zh:
        text, said = r.choice([f"{c}的天气怎么样？", f"{c}现在几点？"]), "我没有可以查询的工具。"
    else:
        text, said = r.choice([f"What is the weather in {c}?", f"What time is it in {c}?", f"How is the weather in {c}?"]), "I have no tool to look that up."
    return Example("unknown", f"notool {text}", [user(text)], said, "No tool is defined.", said, "exact")


def addition_without_calculator(r, zh):
    """A calculator is there, but a small sum needs none."""
    a, b = number(r, r.choice((1, 2))), number(r, 1)
    _, _, tools = setup(r, zh)
    text = f"{a}+{b}等于多少？" if zh else f"What is {a} + {b}?"
    return Example("sums", f"sum {min(a, b)} {max(a, b)}", [user(text)], f"{a} + {b} = {a + b}", "", str(a + b), "number", tools, max(a, b) < 20)
