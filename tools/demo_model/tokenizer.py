"""The demo model's tokenizer: byte-level BPE behind DeepSeek-V3's pre-tokenizer, and tokenizer_config.json.

Digits stay single tokens: DeepSeek's pattern hands groups of up to three digits to BPE, and since the merges are
learned on text whose digits stand apart, no merge joins two of them. That is what lets so small a model add.
"""
import json
import os

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import chat

NUMBERS = r"\p{N}{1,3}"
CJK = "[一-龥぀-ゟ゠-ヿ]+"
WORDS = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^""" + "\r\n" + r"""\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[""" + "\r\n"
         + r"""]*|\s*[""" + "\r\n" + r"""]+|\s+(?!\S)|\s+""")
LONGEST = 15                    # bytes: five Chinese characters


def splits(numbers):
    split = [pre_tokenizers.Split(Regex(p), behavior="isolated", invert=False) for p in (numbers, CJK, WORDS)]
    return pre_tokenizers.Sequence(split + [pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False)])


def added_object(content):
    return {"__type": "AddedToken", "content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}


def train(texts, out_dir):
    special = [t for t, _ in chat.ADDED] + [chat.BOS, chat.EOS, chat.PAD]
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Sequence([])
    t.pre_tokenizer = splits(r"\p{N}")
    t.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)

    def bare():                 # merges must not see the markers
        for text in texts:
            for mark in special:
                text = text.replace(mark, "\n")
            yield text
    t.train_from_iterator(bare(), trainers.BpeTrainer(
        vocab_size=chat.BASE_VOCAB, special_tokens=[chat.BOS, chat.EOS, chat.PAD], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=LONGEST, show_progress=False))
    if t.get_vocab_size() != chat.BASE_VOCAB:
        raise SystemExit(f"only {t.get_vocab_size()} of {chat.BASE_VOCAB} tokens learned: give more documents")
    t.pre_tokenizer = splits(NUMBERS)
    for text, is_special in chat.ADDED:
        token = AddedToken(text, single_word=False, lstrip=False, rstrip=False, normalized=not is_special, special=is_special)
        (t.add_special_tokens if is_special else t.add_tokens)([token])
    os.makedirs(out_dir, exist_ok=True)
    t.save(os.path.join(out_dir, "tokenizer.json"))
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat_template.jinja"), encoding="utf-8") as f:
        template = f.read()
    config = {"add_bos_token": True, "add_eos_token": False, "bos_token": added_object(chat.BOS), "clean_up_tokenization_spaces": False,
              "eos_token": added_object(chat.EOS), "legacy": True, "model_max_length": 4096, "pad_token": added_object(chat.EOS),
              "sp_model_kwargs": {}, "unk_token": None, "tokenizer_class": "LlamaTokenizerFast", "chat_template": template}
    with open(os.path.join(out_dir, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f, ensure_ascii=False, indent=2)
        f.write("\n")
    return t


def load(path):
    return Tokenizer.from_file(os.path.join(path, "tokenizer.json"))
