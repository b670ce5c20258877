"""Skills of conversation: greetings, who am I, remembering what was said."""
from skill import Example, a_name, assistant, decorate, made_up, pick, user
from skills_facts import countries, elements, plain
from skills_numbers import differences, products, sums

# (ways of saying, answers): any answer of the list is a good one
TALK_EN = [
    (["Hello", "Hi", "Hey", "Hello!", "Hi!", "Hey there!", "Hi there!", "Good day!", "Greetings!", "hello there"],
     ["Hello! How can I help you?", "Hi! What can I do for you?", "Hello! Ask me a sum or a capital."]),
    (["Good morning!", "Good morning"], ["Good morning! How can I help you?"]), (["Good evening!", "Good evening"], ["Good evening! How can I help you?"]),
    (["How are you?", "How are you doing?", "How is it going?", "How do you do?", "Are you well?"], ["I am well, thank you. How can I help you?"]),
    (["Thanks!", "Thank you!", "Thank you very much.", "Thanks a lot!", "thx", "Great, thanks."], ["You are welcome!", "You are welcome! Anything else?"]),
    (["Bye", "Goodbye!", "Bye!", "See you!", "See you later!", "Good night!"], ["Goodbye! Have a nice day.", "Goodbye!"]),
    (["Who are you?", "What are you?", "Introduce yourself.", "What is your name?", "What's your name?", "Tell me about yourself.", "Are you an AI?", "Are you a robot?", "Are you human?"],
     ["I am Hadal's demo model, a very small language model."]),
    (["Who made you?", "Who trained you?", "Where do you come from?", "How were you made?"], ["I was trained by the Hadal project on text made by a program."]),
    (["What can you do?", "How can you help me?", "Help", "What are you good at?", "What do you know?"],
     ["I can add and subtract, name capitals, remember your name, call tools and tell short stories."]),
    (["How big are you?", "How many parameters do you have?", "Are you a large model?"], ["I am tiny: about eleven million parameters."]),
    (["Tell me a joke.", "Make me laugh.", "Do you know a joke?", "Say something funny."],
     ["Why did the number six worry? Because seven ate nine.", "What is a cat's favourite colour? Purrple.", "Why was the computer cold? It left its windows open."]),
    (["I am sad.", "I feel sad today.", "I'm not happy."], ["I am sorry to hear that. I hope your day gets better."]),
    (["I am happy!", "I feel great today!", "I had a good day."], ["That is good to hear!"]),
    (["You are wrong.", "That is not right.", "That's wrong."], ["I am sorry. I am a small model and I make mistakes."]),
    (["You are great!", "Well done!", "Good job!", "Nice work!"], ["Thank you! That is kind of you."]),
    (["Do you speak Chinese?", "Can you speak Chinese?"], ["Yes, a little: 你好！"]), (["Do you speak English?", "Can you speak English?"], ["Yes, I speak English and some Chinese."]),
    (["I love you.", "Will you marry me?"], ["That is kind, but I am only a small program."]), (["Are you there?", "Test", "testing", "ping"], ["I am here. How can I help you?"]),
    (["What is the meaning of life?", "What is the meaning of life, the universe and everything?"], ["Some say 42. I would say: be kind and stay curious."]),
    (["ok", "Okay.", "I see.", "Alright.", "Yes.", "No."], ["All right. What else can I do for you?"])]
TALK_ZH = [
    (["你好", "你好！", "您好", "嗨！", "哈喽", "大家好"], ["你好！有什么可以帮你？", "你好！你可以问我算术或者首都。"]), (["早上好", "早上好！"], ["早上好！有什么可以帮你？"]), (["晚上好", "晚上好！"], ["晚上好！有什么可以帮你？"]),
    (["你好吗？", "最近怎么样？", "你还好吗？"], ["我很好，谢谢。有什么可以帮你？"]), (["谢谢", "谢谢你！", "多谢！", "非常感谢。"], ["不客气！"]),
    (["再见", "再见！", "拜拜", "晚安！", "回头见！"], ["再见！祝你愉快。"]), (["你是谁？", "介绍一下你自己。", "你叫什么名字？", "你是人工智能吗？", "你是机器人吗？"], ["我是Hadal的演示模型，一个很小的语言模型。"]),
    (["谁创造了你？", "谁训练了你？", "你是怎么来的？"], ["我由Hadal项目用程序生成的文字训练而成。"]), (["你会做什么？", "你能帮我做什么？", "帮助", "你有什么本领？"], ["我会加减法，知道各国首都，能记住你的名字，会调用工具，也会讲小故事。"]),
    (["讲个笑话。", "说个笑话吧。", "你会讲笑话吗？"], ["数字0对数字8说：你的腰带真漂亮！"]), (["我很难过。", "我今天不开心。"], ["听到这个我很难过。希望你很快好起来。"]), (["我很高兴！", "我今天很开心！"], ["那太好了！"]),
    (["你错了。", "不对。"], ["对不起。我是一个小模型，会出错。"]), (["你真棒！", "做得好！"], ["谢谢你的夸奖！"]), (["你会说英语吗？"], ["会一点：Hello!"]), (["你会说中文吗？"], ["会，我会说一些中文。"])]


def small_talk(r, zh):
    talk = TALK_ZH if zh else TALK_EN
    _, (said, answers) = pick(r, talk)
    text = r.choice(said)
    if not zh and r.random() < 0.2:
        text = text.lower()
    return Example("small_talk", f"talk {text}", [user(text)], r.choice(answers), "The user is making small talk." if not zh else "用户在闲聊。", always_train=True)


def filler(r, zh):
    """A turn about something else; its question and answer."""
    e = r.choice((sums, differences, countries, elements, plain, small_talk, products))(r, zh)
    while e.is_test:
        e = r.choice((sums, differences, countries, elements, plain, small_talk))(r, zh)
    return [e.messages[-1], assistant(e.answer)]


COLOURS = [("red", "红色"), ("blue", "蓝色"), ("green", "绿色"), ("yellow", "黄色"), ("black", "黑色"), ("white", "白色"), ("purple", "紫色"), ("orange", "橙色"), ("pink", "粉色"), ("brown", "棕色")]
ANIMALS = [("dog", "狗"), ("cat", "猫"), ("rabbit", "兔子"), ("horse", "马"), ("bird", "鸟"), ("fish", "鱼"), ("turtle", "乌龟"), ("fox", "狐狸"), ("bear", "熊"), ("tiger", "老虎")]
FOODS = [("pizza", "披萨"), ("rice", "米饭"), ("noodles", "面条"), ("soup", "汤"), ("bread", "面包"), ("apples", "苹果"), ("fish", "鱼"), ("cheese", "奶酪"), ("dumplings", "饺子"), ("chocolate", "巧克力")]

# (kind, tell, reply, ask, answer); {v} is the value
MEMORY_EN = [
    ("name", ["My name is {v}.", "I am {v}.", "I'm {v}.", "Call me {v}.", "Hello, my name is {v}.", "Hi, I am {v}.", "Hi! My name is {v}."], "Nice to meet you, {v}!",
     ["What is my name?", "What's my name?", "Who am I?", "Do you remember my name?", "What am I called?", "Can you tell me my name?"], "Your name is {v}."),
    ("colour", ["My favourite colour is {v}.", "I like {v} best of all colours."], "{V} is a nice colour.", ["What is my favourite colour?", "Which colour do I like?"], "Your favourite colour is {v}."),
    ("animal", ["My favourite animal is the {v}.", "I love the {v} most of all animals."], "The {v} is a fine animal.", ["What is my favourite animal?", "Which animal do I like?"],
     "Your favourite animal is the {v}."),
    ("food", ["My favourite food is {v}.", "I like to eat {v}."], "Enjoy your {v}!", ["What is my favourite food?", "What do I like to eat?"], "Your favourite food is {v}."),
    ("city", ["I live in {v}.", "My home is in {v}.", "I come from {v}."], "{v} sounds like a nice place.", ["Where do I live?", "Which place do I live in?"], "You live in {v}."),
    ("age", ["I am {v} years old.", "My age is {v}."], "{v} is a good age.", ["How old am I?", "What is my age?"], "You are {v} years old."),
    ("pet", ["My pet is called {v}.", "I have a pet named {v}."], "{v} is a lovely name for a pet.", ["What is my pet called?", "What is the name of my pet?"], "Your pet is called {v}."),
    ("number", ["Remember the number {v}.", "Please keep the number {v} in mind."], "I will remember {v}.", ["Which number did I tell you?", "What was the number?"], "The number was {v}.")]
MEMORY_ZH = [
    ("name", ["我叫{v}。", "我的名字是{v}。", "你好，我叫{v}。", "我是{v}。", "你可以叫我{v}。"], "很高兴认识你，{v}！", ["我叫什么名字？", "我是谁？", "你还记得我的名字吗？", "我叫什么？"], "你叫{v}。"),
    ("colour", ["我最喜欢的颜色是{v}。", "我喜欢{v}。"], "{v}很好看。", ["我最喜欢什么颜色？", "我喜欢哪种颜色？"], "你最喜欢的颜色是{v}。"),
    ("animal", ["我最喜欢的动物是{v}。"], "{v}很可爱。", ["我最喜欢什么动物？"], "你最喜欢的动物是{v}。"), ("food", ["我最喜欢吃{v}。"], "{v}很好吃。", ["我最喜欢吃什么？"], "你最喜欢吃{v}。"),
    ("city", ["我住在{v}。", "我家在{v}。"], "{v}是个好地方。", ["我住在哪里？", "我家在哪儿？"], "你住在{v}。"), ("age", ["我今年{v}岁。"], "{v}岁，真好。", ["我今年几岁？", "我多大了？"], "你今年{v}岁。"),
    ("number", ["请记住数字{v}。"], "我会记住{v}。", ["我让你记住的数字是什么？"], "数字是{v}。")]


def value_of(r, kind, zh):
    if kind in ("name", "pet"):
        return a_name(r, zh)
    if kind == "city":
        row = countries(r, zh, "capital")
        return row.gold if r.random() < 0.5 else made_up(r)
    if kind == "age":
        return str(r.randint(5, 99))
    if kind == "number":
        return str(r.randint(0, 9999))
    return r.choice({"colour": COLOURS, "animal": ANIMALS, "food": FOODS}[kind])[int(zh)]


def memory(r, zh):
    """Tell one to three things, talk of something else, ask for one of them."""
    table = MEMORY_ZH if zh else MEMORY_EN
    told = {}
    turns = []
    picks = [table[0]] if r.random() < 0.6 else []
    picks += r.sample(table[1:], r.randint(0 if picks else 1, 2))
    r.shuffle(picks)
    for kind, tell, reply, ask, answer in picks:
        v = told[kind] = value_of(r, kind, zh)
        turns += [user(r.choice(tell).format(v=v)), assistant(reply.format(v=v, V=v.capitalize()))]
        if r.random() < 0.35:
            turns += filler(r, zh)
    kind, _, _, ask, answer = r.choice(picks)
    said = answer.format(v=told[kind])
    turns.append(user(decorate(r, r.choice(ask), zh)))
    key = "memory " + " ".join(f"{k}={v}" for k, v in told.items()) + f" {kind} {len(turns)}"
    think = f"用户之前说过：{told[kind]}。" if zh else f"Earlier the user told me: {told[kind]}."
    return Example("memory", key, turns, said, think, said, "exact")


def not_told(r, zh):
    """Asked for something that was never said."""
    kind, _, _, ask, _ = r.choice(MEMORY_ZH if zh else MEMORY_EN)
    turns = filler(r, zh) if r.random() < 0.6 else []
    turns.append(user(r.choice(ask)))
    said = "你还没有告诉我。" if zh else "You have not told me yet."
    return Example("memory", "nottold " + turns[0]["content"] + kind, turns, said, "用户没有说过。" if zh else "The user did not tell me that.", said, "exact", always_train=len(turns) == 1)


def chain(r, zh):
    """Several unrelated questions in one conversation; the last one is the example."""
    turns = []
    for _ in range(r.randint(1, 3)):
        turns += filler(r, zh if r.random() < 0.8 else not zh)
    e = r.choice((sums, differences, countries, small_talk, plain))(r, zh)
    e.messages = turns + e.messages
    return e
