"""Answering as JSON that fits a given JSON schema. The schema names and orders the members; the text says more than is asked."""
from chat import to_json
from skill import Example, a_name, made_up, user
from skills_chat import COLOURS, FOODS
from skills_text import JOBS

SIZES = [("small", "小"), ("medium", "中"), ("large", "大")]
THINGS = [("lamp", "台灯"), ("chair", "椅子"), ("bag", "包"), ("coat", "外套"), ("kettle", "水壶"), ("clock", "时钟"), ("tent", "帐篷"), ("vase", "花瓶")]


def text_of(schema_type, **more):
    return dict(type=schema_type, **more)


def person(r, zh):
    """-> (subject's member, its value, [(keys to choose from, schema, value, what the text says)])"""
    z, n = int(zh), a_name(r, zh)
    age, town, job = r.randint(5, 90), made_up(r), r.choice(JOBS)[z]
    member, foods = r.random() < 0.5, [f[z] for f in r.sample(FOODS, r.randint(1, 3))]
    colour, seat = r.choice(COLOURS)[z], r.randint(1, 500)
    said = [("age years age_in_years".split(), text_of("integer"), age, f"{n}{age}岁。" if zh else f"{n} is {age} years old."),
            ("city town home".split(), text_of("string"), town, f"{n}住在{town}。" if zh else f"{n} lives in {town}."),
            ("job profession work".split(), text_of("string"), job, f"{n}是一名{job}。" if zh else f"{n} works as a {job}."),
            ("member is_member".split(), text_of("boolean"), member, (f"{n}是会员。" if member else f"{n}不是会员。") if zh else f"{n} is {'' if member else 'not '}a member."),
            ("likes foods favourites".split(), text_of("array", items={"type": "string"}), foods, f"{n}喜欢{'和'.join(foods)}。" if zh else f"{n} likes {' and '.join(foods)}."),
            ("colour color".split(), text_of("string"), colour, f"{n}最喜欢{colour}。" if zh else f"The favourite colour of {n} is {colour}."),
            ("seat seat_number".split(), text_of("integer"), seat, f"{n}的座位是{seat}号。" if zh else f"{n} has seat {seat}.")]
    return r.choice(["name", "person", "full_name"]), n, said


def product(r, zh):
    z, thing = int(zh), r.choice(THINGS)
    t = thing[z]
    price, colour, size, stock, maker = r.randint(1, 999), r.choice(COLOURS)[z], r.choice(SIZES), r.random() < 0.5, made_up(r)
    sizes = [s[z] for s in SIZES]
    said = [("price cost".split(), text_of("integer"), price, f"{t}的价格是{price}元。" if zh else f"The {t} costs {price} dollars."),
            ("colour color".split(), text_of("string"), colour, f"{t}是{colour}的。" if zh else f"The {t} is {colour}."),
            (["size"], text_of("string", enum=sizes), size[z], f"{t}的尺寸是{size[z]}号。" if zh else f"The size of the {t} is {size[z]}."),
            ("in_stock available".split(), text_of("boolean"), stock, (f"{t}有货。" if stock else f"{t}没有货。") if zh else f"The {t} is {'' if stock else 'not '}in stock."),
            ("maker brand".split(), text_of("string"), maker, f"{t}是{maker}生产的。" if zh else f"The {t} is made by {maker}."),
            ("pieces count".split(), text_of("integer"), pieces := r.randint(1, 99), f"一共有{pieces}件{t}。" if zh else f"There are {pieces} of the {t}.")]
    return r.choice(["item", "product", "name"]), t, said


ASK_EN = ["Answer as JSON that fits this schema: {s}\n{t}", "{t}\nAnswer as JSON that fits this schema: {s}", "Text: {t}\nSchema: {s}\nGive only JSON.", "Extract the data from the text as JSON. Schema: {s}\n{t}"]
ASK_ZH = ["请用符合这个模式的JSON回答：{s}\n{t}", "{t}\n请按这个模式输出JSON：{s}", "文字：{t}\n模式：{s}\n只输出JSON。"]


def json_schema(r, zh):
    subject, name, said = r.choice((person, person, product))(r, zh)
    said = r.sample(said, r.randint(2, 5))
    asked = r.sample(said, r.randint(1, min(4, len(said))))
    members = [(subject, text_of("string"), name)] + [(r.choice(keys), schema, value) for keys, schema, value, _ in asked]
    r.shuffle(members)
    schema = {"type": "object", "properties": {k: s for k, s, _ in members}, "required": [k for k, _, _ in members]}
    if r.random() < 0.5:
        schema["additionalProperties"] = False
    text = ("" if zh else " ").join(line for _, _, _, line in said)
    value = {k: v for k, _, v in members}
    prompt = r.choice(ASK_ZH if zh else ASK_EN).format(s=to_json(schema), t=text)
    think = (f"字段：{'、'.join(value)}。" if zh else f"Members: {', '.join(value)}.")
    answer = to_json(value)
    return Example("json_schema", f"schema {prompt}", [user(prompt)], answer, think, answer, "json-schema", schema=schema)
