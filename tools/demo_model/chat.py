"""The prompt form of the demo model: special tokens and rendering, as chat_template.jinja does it.

DeepSeek-V3.1's form. One conversation is

    BOS system ## Tools… <｜User｜>question<｜Assistant｜></think>answer EOS <｜User｜>…

where `<think>thoughts</think>` stands in place of `</think>` when the last turn thinks, tool calls follow the
content, and the results of tools come right after the EOS of the calls. `render` is a second, fast implementation
of the template for the data generator; test_chat.py holds it to the Jinja.
"""
import json

BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
USER, ASSISTANT = "<｜User｜>", "<｜Assistant｜>"
CALLS, CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, CALL_END, SEP = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"
OUTPUT, OUTPUT_END = "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"

# Added after the base vocabulary, in DeepSeek's order; True: "special", left out when decoding skips those.
PLACEHOLDERS = 12
ADDED = [(f"<｜place▁holder▁no▁{i}｜>", True) for i in range(PLACEHOLDERS)] + [
    ("<think>", False), ("</think>", False),
    ("<｜fim▁hole｜>", False), ("<｜fim▁begin｜>", False), ("<｜fim▁end｜>", False),
    (USER, False), (ASSISTANT, False), ("<|EOT|>", True),
    (CALLS, False), (CALLS_END, False), (CALL, False), (CALL_END, False),
    ("<｜tool▁outputs▁begin｜>", False), ("<｜tool▁outputs▁end｜>", False), (OUTPUT, False), (OUTPUT_END, False),
    (SEP, False)]
VOCAB = 4096
BASE_VOCAB = VOCAB - len(ADDED)

TOOLS_HEAD = "## Tools\nYou have access to the following tools:\n"
TOOLS_FORM = (
    f"\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n{CALLS}{CALL}tool_call_name{SEP}tool_call_arguments"
    f"{CALL_END}{{{{additional_tool_calls}}}}{CALLS_END}\n\nWhere:\n\n"
    "- `tool_call_name` must be an exact match to one of the available tools\n"
    "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n"
    "- For multiple tool calls, chain them directly without separators or spaces\n")


def to_json(value):
    return json.dumps(value, ensure_ascii=False)


def call_text(calls):
    """[(name, arguments as object), …] as the model writes them."""
    return CALLS + "".join(CALL + name + SEP + to_json(args) + CALL_END for name, args in calls) + CALLS_END


def structured(calls):
    """The same calls as the `tool_calls` member of an OpenAI message."""
    return [{"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": to_json(args)}}
            for i, (name, args) in enumerate(calls)]


def tools_text(tools):
    parts = [f"\n### {t['function']['name']}\nDescription: {t['function']['description']}\n\n"
             f"Parameters: {to_json(t['function']['parameters'])}\n" for t in tools]
    return TOOLS_HEAD + "".join(parts) + TOOLS_FORM


def render(messages, tools=None, generate=False, thinking=False):
    """Messages in OpenAI's form to the prompt; `generate` opens the assistant's turn."""
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    if tools:
        system += "\n\n" + tools_text(tools)
    out, after_user = [BOS, system], False
    for m in messages:
        if m["role"] == "user":
            out.append(USER + m["content"])
            after_user = True
        elif m["role"] == "assistant":
            if after_user:
                out.append(ASSISTANT + "</think>")
            content = m.get("content") or ""
            out.append(content.split("</think>", 1)[-1])
            if m.get("tool_calls"):
                calls = [(c["function"]["name"], c["function"]["arguments"]) for c in m["tool_calls"]]
                out.append(CALLS + "".join(CALL + n + SEP + a + CALL_END for n, a in calls) + CALLS_END)
            out.append(EOS)
            after_user = False
        elif m["role"] == "tool":
            out.append(OUTPUT + m["content"] + OUTPUT_END)
            after_user = False
    if generate and after_user:
        out.append(ASSISTANT + ("<think>" if thinking else "</think>"))
    return "".join(out)
