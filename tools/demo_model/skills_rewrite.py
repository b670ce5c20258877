"""One-sentence summaries and polite rewriting."""
from skill import Example, a_name, articles, cap, user
from skills_text import PADDING_EN, PADDING_ZH, PLACES

LOST = [("key", "钥匙"), ("ring", "戒指"), ("map", "地图"), ("hat", "帽子"), ("phone", "手机"), ("wallet", "钱包"), ("umbrella", "雨伞"), ("passport", "护照"), ("camera", "相机"), ("glove", "手套")]
GOODS = [("bicycle", "自行车"), ("table", "桌子"), ("guitar", "吉他"), ("coat", "外套"), ("radio", "收音机"), ("carpet", "地毯"), ("mirror", "镜子"), ("clock", "时钟")]
EVENTS = [("match", "比赛"), ("concert", "音乐会"), ("picnic", "野餐"), ("wedding", "婚礼"), ("party", "聚会"), ("trip", "旅行"), ("race", "赛跑"), ("fair", "集市")]
REASONS = [("rain", "下雨"), ("snow", "下雪"), ("a storm", "暴风雨"), ("fog", "大雾"), ("a power cut", "停电"), ("a strike", "罢工")]
VEHICLES = [("train", "火车"), ("bus", "公共汽车"), ("ship", "轮船"), ("bicycle", "自行车"), ("car", "汽车")]
DAYS = [("Monday", "星期一"), ("Tuesday", "星期二"), ("Wednesday", "星期三"), ("Thursday", "星期四"), ("Friday", "星期五"), ("Saturday", "星期六"), ("Sunday", "星期日")]

# (kinds of what happened, the sentences of the text, the sentence that is left); a, b are people
NEWS_EN = [
    (["{a} went to the {place} early.", "There {a} lost a {lost}.", "{a} looked for it all day.", "In the evening {b} found the {lost} and gave it back."], "{a} lost a {lost} in the {place}, and {b} found it."),
    (["{a} had saved money for a year.", "On {day} {a} went to the shop of {b}.", "There was only one {good} left.", "{a} paid {n} dollars for the {good} and took it home."], "{a} bought a {good} from {b} for {n} dollars."),
    (["Everybody looked forward to the {event}.", "It should begin on {day}.", "But there was {reason}.", "{a} had to cancel the {event}, and the guests went home."], "{a} cancelled the {event} because of {reason}."),
    (["{a} packed a small bag.", "On {day} {a} took the {vehicle}.", "The way took {n} hours.", "At last {a} came to the house of {b} and was made welcome."], "{a} travelled {n} hours by {vehicle} to visit {b}."),
    (["{a} needed help with the {good}.", "It had been broken for weeks.", "{b} came on {day} with tools.", "After {n} minutes {b} had repaired the {good}."], "{b} repaired the {good} of {a} in {n} minutes.")]
NEWS_ZH = [
    (["{a}一早去了{place}。", "{a}在那里丢了{lost}。", "{a}找了一整天。", "晚上，{b}找到了{lost}，还给了{a}。"], "{a}在{place}丢了{lost}，被{b}找到了。"),
    (["{a}存了一年的钱。", "{day}，{a}去了{b}的商店。", "店里只剩下一件{good}。", "{a}付了{n}元，把{good}带回了家。"], "{a}花{n}元从{b}那里买了{good}。"),
    (["大家都期待着{event}。", "{event}应该在{day}开始。", "可是遇到了{reason}。", "{a}只好取消{event}，客人们都回家了。"], "{a}因为{reason}取消了{event}。"),
    (["{a}收拾了一个小包。", "{day}，{a}坐上了{vehicle}。", "路上用了{n}个小时。", "最后{a}到了{b}的家，受到了欢迎。"], "{a}坐{vehicle}走了{n}个小时去看{b}。"),
    (["{a}的{good}需要修理。", "它已经坏了几个星期。", "{day}，{b}带着工具来了。", "{n}分钟以后，{b}修好了{good}。"], "{b}用{n}分钟修好了{a}的{good}。")]
SUM_UP_EN = ["Summarize in one sentence: {t}", "Sum up this text in one sentence.\n{t}", "{t}\nGive a summary in one sentence.", "Summarise the text: {t}"]
SUM_UP_ZH = ["用一句话概括：{t}", "{t}\n请用一句话总结。", "请总结这段文字：{t}"]


def summary(r, zh):
    z = int(zh)
    lines, said = r.choice(NEWS_ZH if zh else NEWS_EN)
    a, b = a_name(r, zh), a_name(r, zh)
    while a == b:
        b = a_name(r, zh)
    v = dict(a=a, b=b, n=r.randint(2, 90), place=r.choice(PLACES)[z], lost=r.choice(LOST)[z], good=r.choice(GOODS)[z], event=r.choice(EVENTS)[z],
             reason=r.choice(REASONS)[z], vehicle=r.choice(VEHICLES)[z], day=r.choice(DAYS)[z])
    told = []
    for line in lines:
        told.append(articles(line.format(**v)) if not zh else line.format(**v))
        if r.random() < 0.35:
            told.append(r.choice(PADDING_ZH if zh else PADDING_EN))
    text = ("" if zh else " ").join(told)
    answer = said.format(**v) if zh else articles(said.format(**v))
    prompt = r.choice(SUM_UP_ZH if zh else SUM_UP_EN).format(t=text)
    think = f"重要的是：{a}、{b}。" if zh and "{b}" in said else f"重要的是：{a}。" if zh else f"It is about {a}" + (f" and {b}." if "{b}" in said else ".")
    return Example("summary", f"summary {text}", [user(prompt)], answer, think, answer, "exact")


THINGS = [("report", "报告"), ("book", "书"), ("key", "钥匙"), ("letter", "信"), ("list", "清单"), ("ticket", "票"), ("cup", "杯子"), ("lamp", "台灯"), ("menu", "菜单"), ("map", "地图"),
          ("plan", "计划"), ("photo", "照片"), ("bill", "账单"), ("chair", "椅子"), ("bag", "包"), ("answer", "答案"), ("address", "地址"), ("recipe", "菜谱"), ("form", "表格"), ("file", "文件")]
DEEDS = [("bring me the {o}", "把{o}拿给我"), ("send me the {o}", "把{o}发给我"), ("show me the {o}", "给我看{o}"), ("clean the {o}", "把{o}擦干净"), ("give the {o} to {p}", "把{o}交给{p}"), ("put the {o} on the table", "把{o}放在桌上"),
         ("find the {o}", "找到{o}"), ("check the {o} again", "再检查一遍{o}"), ("take the {o} away", "把{o}拿走"), ("buy a new {o}", "买一个新的{o}"), ("tell {p} about the {o}", "告诉{p}关于{o}的事"), ("wait for {p}", "等一下{p}"),
         ("call {p}", "给{p}打电话"), ("help {p} with the {o}", "帮{p}弄一下{o}"), ("leave the {o} at the door", "把{o}放在门口"), ("copy the {o} for {p}", "给{p}复印{o}")]
RUDE_EN = ["{D}!", "{D} now!", "{D}, and be quick!", "Hey you, {d}!", "I told you to {d}!", "You must {d} at once.", "Why don't you {d}?!", "Come on, {d} already!"]
RUDE_ZH = ["{d}！", "快{d}！", "马上{d}！", "喂，{d}！", "我叫你{d}！", "你必须{d}。", "还不快{d}！"]
ASK_EN = ["Say this politely: {t}", "Rewrite politely: {t}", "Make this polite: {t}", "Please rewrite this so that it is polite: {t}", "{t}\nSay it more politely."]
ASK_ZH = ["请把这句话说得礼貌一些：{t}", "礼貌地改写：{t}", "怎么礼貌地说：{t}", "{t}\n请换成礼貌的说法。"]


def polite(r, zh):
    o, p, deed = r.choice(THINGS)[int(zh)], a_name(r, zh), r.choice(DEEDS)[int(zh)]
    d = deed.format(o=o, p=p)
    rude = r.choice(RUDE_ZH if zh else RUDE_EN).format(d=d, D=cap(d))
    answer = f"请您{d}，好吗？谢谢。" if zh else f"Could you please {d}? Thank you."
    prompt = r.choice(ASK_ZH if zh else ASK_EN).format(t=rude)
    return Example("polite", f"polite {zh} {d}", [user(prompt)], answer, f"要做的事：{d}。" if zh else f"What is wanted: {d}.", answer, "exact")
