#!/usr/bin/env python3
"""Records what Jinja2 makes of many small templates, as test data for our interpreter.

    python3 tools/jinja_differential.py            write tests/data/jinja/*.cases.json
    python3 tools/jinja_differential.py --check    write nothing; exit 1 if a recorded case no longer holds
    python3 tools/jinja_differential.py --corpus           write the seeds of fuzz/corpus/template from the same cases
    python3 tools/jinja_differential.py --random N [SEED]   print N random expression cases (JSON) to compare by hand

Needs Jinja2 3.1 (Debian: python3-jinja2). The environment is the one Hugging Face transformers renders chat
templates in: the immutable sandbox, trim_blocks and lstrip_blocks, loopcontrols, raise_exception, strftime_now, and
tojson as json.dumps with ensure_ascii off. A file is {shared: what all conversations have, cases:
[{name, template, expected | expected_error}]}; chat_template_oracle_test.cc reads them.
"""
import datetime
import json
import pathlib
import random
import sys

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "jinja"
NOW = "2025-01-05T08:09:10"
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi <b> & \"you\""},
    {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"a": 1, "ü": [1.0, None, True]}}}]},
    {"role": "tool", "content": "21"},
    {"role": "user", "content": "naïve ☔ Straße"},
]
VARIABLES = {
    "n": 7, "neg": -7, "zero": 0, "x": 2.5, "big": 12345678901234567890, "tiny": 1e-07, "huge": 1e22, "t": True, "no": None,
    "s": "Hello World", "uni": "αβγ ΣΑΣ ñ 🚀", "empty": "", "blank": " \t\n pad \n", "lines": "one\ntwo\n\nthree", "words": "a,b,,c",
    "nums": [3, 1, 2, 3], "mixed": [1, "a", None, 2.5, True], "none_list": [], "strs": ["b", "A", "c", "a"],
    "d": {"b": 1, "a": 2, "C": 3}, "nested": {"k": {"l": [10, 20, {"m": "deep"}]}}, "items": {"items": "shadow", "get": 1},
    "people": [{"name": "Bo", "age": 30, "tags": ["x"]}, {"name": "al", "age": 25, "tags": []}, {"name": "Cy", "age": 30}],
}


SHARED = {"messages": MESSAGES, "kwargs": VARIABLES, "bos_token": "<s>", "eos_token": "</s>", "now": NOW}


def environment(now=NOW):
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.datetime.fromisoformat(now).strftime(form)
    return env


def render(template):
    """The `expected` or `expected_error` of a template."""
    try:
        out = environment().from_string(template).render(
            messages=MESSAGES, tools=None, documents=None, add_generation_prompt=False, bos_token="<s>", eos_token="</s>", **VARIABLES)
        out.encode()
    except Exception as e:
        kind = "raise_exception" if type(e) is jinja2.exceptions.TemplateError else "runtime"
        return {"expected_error": dict(kind=kind, type=type(e).__name__, message=str(e))}
    return {"expected": out}


# ---- the probes: one expression or one template each --------------------------------------------------------------

EXPRESSIONS = r"""
n
x
big
tiny
huge
1e16
1e15
123456789012345680.0
0.1 + 0.2
1.0
100.0
-0.0
1e300 * 1e10
1_000
0x1F
0o17
0b101
1.5e3
5e-324
true
none
None
True
[1, 2.0, 'a', none, true]
(1,)
(1, 2)
()
{}
[]
{'a': 1, 'b': [1, {'c': none}]}
{'a"b': "it's", "c'd": 'say "hi"'}
'a\nb\tc\\d\'e'
"\u00e9\x41\101\n"
'\q'
'a' 'b' "c"
['a\nb\x00\x7f\u200b\u00a0é🚀']
n + 1
n - 10
n * x
n / 2
n // 2
neg // 2
n // -2
n % 3
neg % 3
n % -3
7.5 // 2
-7.5 // 2
7.5 % 2
-7.5 % 2
2 ** 10
2 ** -1
2 ** 0.5
-2 ** 2
2 ** 3 ** 2
1 / 0
1 // 0
1 % 0
1.0 / 0
big + big
big * 2
-big
n ~ x ~ 'a' ~ none ~ true
'a' + 'b'
'a' + 1
1 + 'a'
'a' * 3
3 * 'ab'
'a' * -1
'a' * 2.0
[1] * 2 + [3]
[1] + (2,)
(1,) + (2,)
none + 1
true + true
'%s is %d and %.2f' % ('a', 3, 2.5)
'%5s|%-5s|%05d|%x|%%' % ('a', 'b', 42, 255)
'%s' % s
'%s' % nums
'%(a)s %(b)03d' % {'a': 1, 'b': 2}
'%d' % 'a'
'%s %s' % ('a',)
'%s' % ('a', 'b')
'%r' % ('a',)
'%e' % 12345.678
'%g' % 0.0001
1 < 2
1 < 2 < 3
1 < 3 < 2
3 > 2 >= 2
1 == 1.0
1 == true
'a' < 'b'
'a' == 1
'a' < 1
none < 1
[1, 2] < [1, 3]
(1, 2) == (1, 2)
[1, 2] == (1, 2)
{'a': 1} == {'a': 1.0}
1 != 2
n == 7 and x == 2.5
n or 'x'
zero or 'x'
zero and 'x'
not zero
not n == 7
not not n
'a' in 'abc'
'' in 'abc'
1 in 'abc'
1 in nums
'1' in nums
'a' in d
1 in d
2.0 in nums
1 not in nums
'x' not in 'abc'
not 1 in nums
none in mixed
n in none
'a' in undefined_name
'k' in nested
1 if true else 2
1 if false else 2
1 if false
(1 if false) is undefined
'a' if n > 5 else 'b' if n > 3 else 'c'
undefined_name
undefined_name is defined
undefined_name.x
undefined_name['x']
undefined_name()
undefined_name + 1
undefined_name ~ 'a'
undefined_name == undefined_name
undefined_name == none
undefined_name == ''
undefined_name < 1
[undefined_name]
-undefined_name
undefined_name or 'default'
not undefined_name
undefined_name | length
undefined_name | list
undefined_name | upper
undefined_name | int
undefined_name | float
undefined_name | tojson
undefined_name | trim
undefined_name | join(',')
undefined_name | first
undefined_name | default('d')
undefined_name.x | default('d')
d.missing
d.missing.deeper
d.missing | default('d')
d['b']
d.b
d['missing']
d.items()
d.items() | list
d.keys()
d.values() | list
d.keys() | list
d.get('a')
d.get('zz')
d.get('zz', 5)
d.get('zz') is none
d.copy()
d.pop('a')
d.update({'x': 1})
d.clear()
d.setdefault('a', 1)
d.append
d.pop is defined
d.nosuch is defined
items.items
items['items']
items.get
items.items()
nested.k.l[2].m
nested['k']['l'][-1]['m']
nested.k.l.0
nested.k.l[5]
nested.k.l[5].x
nested.k.l['a']
nums[0]
nums[-1]
nums[1:]
nums[:2]
nums[::-1]
nums[::2]
nums[-2:]
nums[5:]
nums[3:1]
nums[3:1:-1]
nums[:-1]
nums[10:-10:-2]
nums[0:4:3]
nums[::0]
nums['a':]
nums.append(1)
nums.pop()
nums.insert(0, 1)
nums.index(2)
nums.index(9)
nums.count(3)
nums.copy()
nums.nosuch
(1, 2, 3)[1]
(1, 2, 3)[::-1]
(1, 2).count(1)
s[0]
s[-1]
s[0:5]
s[::-1]
s[6:]
s[100]
s[100] is undefined
s[1:100]
s[::2]
uni[0]
uni[::-1]
uni[1:3]
uni[-1]
uni | length
s.upper()
s.lower()
s.title()
s.capitalize()
s.swapcase()
uni.upper()
uni.lower()
uni.title()
uni.capitalize()
'straße ﬁ'.upper()
'ǅ ŉ'.title()
blank.strip()
blank.lstrip()
blank.rstrip()
'xxhixx'.strip('x')
'abcba'.strip('ab')
'xxhixx'.lstrip('x')
'xxhixx'.rstrip('x')
'éaé'.strip('é')
s.strip(none)
s.split()
s.split(' ')
s.split('o')
s.split('o', 1)
s.split(maxsplit=1)
words.split(',')
words.split(',', 2)
words.rsplit(',', 1)
words.rsplit(',')
' a  b c '.split()
' a  b c '.split(none, 1)
' a  b c '.rsplit(none, 1)
' a  b  c '.rsplit(none, 5)
''.split()
''.split(',')
s.split('')
s.split('</think>')[-1]
lines.splitlines()
lines.splitlines(true)
'a\r\nb\rc\x0bd\u2028e'.splitlines()
s.startswith('He')
s.startswith(('x', 'He'))
s.startswith(['He'])
s.endswith('ld')
s.endswith(('x', 'ld'))
s.startswith('World', 6)
s.replace('o', '0')
s.replace('o', '0', 1)
s.replace('', '-')
s.replace('', '-', 2)
s.replace('l', '')
s.find('o')
s.find('zz')
s.find('o', 5)
s.rfind('o')
s.index('W')
s.index('zz')
s.count('o')
s.count('')
uni.find('🚀')
', '.join(['a', 'b'])
', '.join(strs)
', '.join([1, 2])
''.join('abc')
'{} {}'.format(1, 'a')
'{0} {1} {0}'.format('a', 'b')
'{a} {b}'.format(a=1, b=2)
'{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c')
'{:.2f} {:,} {:05d} {:x} {:+}'.format(3.14159, 1234567, 42, 255, 5)
'{a[x]} {b.real}'.format(a={'x': 1}, b=2)
'{{}}'.format()
'{}'.format()
'{!r}'.format('a')
'a-b-c'.partition('-')
'a-b-c'.rpartition('-')
'abc'.partition('-')
'prefix-x'.removeprefix('prefix-')
'x.txt'.removesuffix('.txt')
'abc'.isalpha()
'ab1'.isalnum()
'123'.isdigit()
'12.3'.isdigit()
'²'.isdigit()
'²'.isdecimal()
'½'.isnumeric()
''.isdigit()
' '.isspace()
'ABC'.isupper()
'abc'.islower()
'Abc Def'.istitle()
'a_1'.isidentifier()
'1a'.isidentifier()
'7'.zfill(3)
'-7'.zfill(4)
'a'.center(5, '*')
'ab'.center(5)
'a'.ljust(3, '.') + '|'
'a'.rjust(3)
'abc'.isascii()
'aXb'.casefold()
s.nosuch
s.nosuch()
s.__class__
s.__class__.__mro__
n.real
x.is_integer()
(4.0).is_integer()
n.bit_length()
s | upper
s | lower
'hello world-foo (bar) it\'s' | title
"they're bill's" | title
'hELLO wORLD' | capitalize
'hELLO' | title
blank | trim
'xxaxx' | trim('x')
12 | string
none | string
none | upper
12 | upper
nums | string
s | replace('o', '0')
s | replace('o', '0', 1)
'aaa' | replace('a', 'b', count=2)
12 | replace(1, 3)
s | length
nums | length
d | length
12 | length
none | length
nums | count
nums | first
nums | last
none_list | first
none_list | last
none_list | first is defined
s | first
s | last
d | first
nums | join
nums | join(', ')
mixed | join('-')
people | join(', ', attribute='name')
none_list | join(',')
s | join(',')
none | join
none | default('d')
none | default('d', true)
'' | default('d')
'' | default('d', true)
zero | d(5, boolean=true)
nums | list
s | list
d | list
12 | list
(1, 2) | list
d | items | list
d.items() | list | length
none | items
nums | items
d | dictsort
d | dictsort(true)
d | dictsort(false, 'value')
d | dictsort(reverse=true)
d | dictsort(by='nosuch')
nums | sort
nums | sort(reverse=true)
strs | sort
strs | sort(case_sensitive=true)
mixed | sort
people | sort(attribute='age') | map(attribute='name') | list
people | sort(attribute='age,name') | map(attribute='name') | list
people | map(attribute='age') | list
people | map(attribute='tags') | list
people | map(attribute='tags', default=[]) | list
people | map(attribute='tags.0') | list
people | map(attribute='tags.0', default='none') | list
strs | map('upper') | list
strs | map('upper') | join
strs | map('replace', 'a', 'b') | list
strs | map('nosuch') | list
strs | map | list
nums | map('string') | join('+')
none | map('upper') | list
people | selectattr('age', 'equalto', 30) | map(attribute='name') | list
people | selectattr('age', 'gt', 26) | list | length
people | selectattr('tags') | list | length
people | selectattr('tags', 'defined') | list | length
people | rejectattr('tags', 'defined') | list
people | rejectattr('age', '==', 30) | map(attribute='name') | first
people | selectattr('name', 'in', ['Bo', 'Cy']) | map(attribute='name') | join(' ')
people | selectattr | list
messages | selectattr('role', 'equalto', 'user') | list | length
messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | last
(messages | selectattr('role', 'equalto', 'nobody')) is sequence
true if messages | selectattr('role', 'equalto', 'nobody') else false
(messages | selectattr('role', 'equalto', 'user')) | length
nums | select('odd') | list
nums | reject('odd') | list
nums | select('gt', 1) | list
mixed | select | list
mixed | reject | list
mixed | select('string') | list
nums | select('nosuch') | list
nums | unique | list
strs | unique | list
['a', 'A', 'b'] | unique | list
['a', 'A', 'b'] | unique(case_sensitive=true) | list
people | unique(attribute='age') | map(attribute='name') | list
nums | reverse | list
s | reverse
d | reverse | list
nums | sum
people | sum(attribute='age')
nums | sum(start=10)
none_list | sum
strs | sum
nums | min
nums | max
strs | min
strs | max
people | max(attribute='age')
none_list | max
none_list | max is defined
mixed | max
x | round
2.567 | round(2)
2.5 | round
3.5 | round
-2.5 | round
2.675 | round(2)
1234 | round(-2)
1234.5 | round(-2)
2.1 | round(method='ceil')
2.9 | round(0, 'floor')
2.15 | round(1, 'ceil')
5 | round
'a' | round
'12' | int
' 12 ' | int
'12.7' | int
12.7 | int
-12.7 | int
'abc' | int
'abc' | int(5)
'0x1F' | int(base=16)
'1f' | int(0, 16)
'1_000' | int
none | int
true | int
'1e3' | int
'1e400' | int
'3.5' | float
'abc' | float
'abc' | float(1.5)
3 | float
'inf' | float
'nan' | float
none | float
-5 | abs
-2.5 | abs
'a' | abs
-5 | abs + 1
'<a href="x">&\'' | escape
'<b>' | e
'<b>' | safe
('<b>' | safe) + '<i>'
'<i>' + ('<b>' | safe)
('<b>' | escape) + '<i>'
('<b>' | safe) ~ '<i>'
('<b>' | safe) is escaped
'<b>' | safe | escape
'<b>' | safe | forceescape
['<b>' | safe]
lines | indent
lines | indent(2)
lines | indent(2, true)
lines | indent(2, first=true, blank=true)
lines | indent('> ')
'a\n' | indent
nums | batch(2) | list
nums | batch(3, 0) | list
nums | slice(3) | list
nums | slice(3, 'x') | list
people | groupby('age') | list | length
people | groupby('age') | map('first') | list
people | groupby('tags', default='-') | length
'a b c' | wordcount
s | truncate(5)
s | truncate(5, true)
s | truncate(8, false, '..', 0)
s | center(21)
'<p>a  <b>b</b>\n c</p> &lt;' | striptags
'a b/ü?' | urlencode
'%s-%s' | format('a', 1)
'%(a)s' | format(a=1)
d | attr('b')
d | attr('items') is callable
s | attr('upper') is defined
s | nosuch
s is nosuch
1 if true else (s | nosuch)
nums | tojson
d | tojson
d | tojson(indent=2)
nested | tojson(indent=4)
nested | tojson(indent=0)
nested | tojson(indent='--')
d | tojson(sort_keys=true)
d | tojson(separators=(',', ':'))
d | tojson(indent=2, separators=(',', ':'))
uni | tojson
uni | tojson(ensure_ascii=true)
'<b>&\'"\\/\n\x01\x7f\u2028' | tojson
'<b>&\'"\\/\n\x01\x7f\u2028' | tojson(ensure_ascii=true)
[tiny, huge, 1.0, 0.1, big, -0.0] | tojson
{1: 'a', none: 'b', true: 'c', 1.5: 'd'} | tojson
{(1, 2): 1} | tojson
(1, 2) | tojson
[] | tojson(indent=2)
[[], {}, [1]] | tojson(indent=2)
range(3) | tojson
d.items() | tojson
d | tojson | length
messages | tojson
messages[2] | tojson
messages
n is number
x is number
t is number
n is integer
t is integer
x is integer
x is float
n is float
s is string
n is string
t is boolean
n is boolean
t is true
t is false
n is true
no is none
no is not none
d is mapping
nums is mapping
nums is sequence
s is sequence
d is sequence
n is sequence
(1,) is sequence
range(3) is sequence
undefined_name is sequence
nums is iterable
n is iterable
s is iterable
none is iterable
undefined_name is iterable
n is odd
n is even
x is odd
n is divisibleby 7
n is divisibleby(2)
n is divisibleby 0
n is eq 7
n is ne 7
n is lt 8
n is gt 8
n is ge 7
n is le(6)
n is equalto 7
n is lessthan 8
n is greaterthan 1
n is in nums
n is in [7]
n is not in [7]
'a' is in 'abc'
n is sameas 7
none is sameas none
'abc' is lower
'ABC' is upper
'1' is lower
range is callable
s is callable
s.upper is callable
undefined_name is callable
'upper' is filter
'nosuch' is filter
'odd' is test
n is defined and x is defined
n is defined or undefined_name
n is not defined
not n is defined
n is divisibleby 7 and true
n is none is none
n is number == true
range(3)
range(3) | list
range(1, 4) | list
range(10, 0, -3) | list
range(0)
range(3)[1]
range(10)[2:5]
range(3) | length
range(1, 10, 2)
range(100001)
range()
range('a')
range(1, 2, 0)
5 in range(10)
dict(a=1, b=2)
dict([('a', 1), ('b', 2)])
dict({'a': 1}, b=2)
dict(1)
namespace(a=1)
namespace(a=1).a
namespace(a=1).b
namespace({'a': 1}).a
[1, 2, [3, 4]] == [1, 2.0, [3, 4]]
strftime_now('%d %b %Y')
strftime_now('%Y-%m-%d %H:%M:%S %A %j %U %p %I %y %B')
strftime_now('')
strftime_now('%f|%z|%Z|%%')
raise_exception('no way: ' ~ n)
raise_exception('')
raise_exception(12)
bos_token ~ eos_token
tools
documents is none
tools is defined
add_generation_prompt
loop
caller
varargs
{'a': 1,}
[1, 2,]
(1, 2,)
{'a': 1, 'a': 2}
{[1]: 2}
{1: 'a', 1.0: 'b', true: 'c'}
{'x': 1}.x
[1,2][0]
'abc'[1]
'abc' | upper | lower
n|string|length
-n | abs
(-n) | abs
2 * 3 + 4
2 + 3 * 4
(2 + 3) * 4
2 - 3 - 4
10 // 3 * 3
2 ~ 3 + 4
'a' ~ 'b' * 2
1 + 2 ~ 3
not true == false
1 < 2 == true
x.y.z
1.5.real
s.format
f'x'
1 +
(1
[1, 2
'abc
1 2
a b
@
x ? y
n is
| upper
.5
5.
1..2
''
'' ~ ''
[[1, 2], [3, 4]] | map('first') | list
[[1, 2], [3, 4]] | map('join', '-') | join(';')
[3, 1, 2] | sort | first
[1, 2, 3] | map('float') | list
[1, [2, 3]] | string
[1.0, 1e100, -1e-5]
1e100
123456.789e3
0.00001
0.0001
1234567.0
99999999999999990.0
1e22
1e21
123e-7
"a'b"
["a'b", 'a"b', "a'b\"c"]
{'k': 'v'}.items() | first
d.items() | sort
d.values() | sum
d.keys() | join
d.b + d['a']
d | length > 2
people[0].tags[0]
people[2].tags[0]
people[-1]['name'] | upper
messages[0]['content'].split()[0]
messages[0].content is string and messages[0].content is not mapping
messages | length
messages[1:] | length
messages[-1].role
messages | map(attribute='role') | join(',')
messages | map(attribute='role') | unique | list
messages[2].content is none
messages[2].tool_calls[0].function.arguments | tojson
messages[2].tool_calls[0].function.arguments.items() | list
'tool_calls' in messages[2]
'tool_calls' in messages[0]
messages[0].tool_calls is defined
messages[0].tool_calls
messages[2]['content'] + 'x'
messages[9].role
messages[9] is defined
joiner is defined
cycler('a', 'b').next()
"a" "b" ~ "c"
"\x4"
"""


TEMPLATES = [
    # white space
    "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "a\n  {% if true %}\n  b\n  {% endif %}\nc",
    "a {%- if true -%}  b  {%- endif -%} c",
    "a\n\n{%- if true %}\n\nb\n{% endif -%}\n\n c",
    "  {%+ if true %}x{% endif %}",
    "{% if true +%}\nx{% endif %}",
    "  {{ 1 }}\n  {{- 2 }}\n {{ 3 -}}\n 4",
    "a\n  {# comment #}\nb",
    "a {#- c -#} b",
    "{# a\nb #}\nc",
    "{# unclosed",
    "a\r\nb\r{% if true %}\r\nc{% endif %}",
    "x\n\n",
    "\n",
    "",
    "{{ 'a\nb' }}",
    "   \n  {% set a = 1 %}  \n  {{ a }}",
    "{% set a = 1 %}\n{% set b = 2 %}\n{{ a + b }}\n",
    "x{% if true %} y {% endif %} z",
    "x\n\t {% if true %}\ny{% endif %}",
    "{{ 1 }}  {% if true %}a{% endif %}",
    "{{ 1 }}\n  {%- set z = 1 %}\n{{ z }}",
    "{{- 1 -}}",
    "{{-1}}",
    "{{ -1 }}",
    "{%- for m in nums %}\n  {{- m }}\n{%- endfor %}\n",
    "{% for m in nums -%}\n  {{ m }}\n{%- endfor %}",
    "{% for m in nums %}\n  {{ m }}\n{% endfor %}",
    "a{{ '' }}\n  {% if true %}b{% endif %}",
    "\u00a0 {%- if true %}x{% endif %}",
    "a \u00a0\n {% if true %}x{% endif %}",
    # raw
    "{% raw %}{{ x }} {% if %} {# c #}{% endraw %}",
    "a {%- raw -%}  {{ x }}  {%- endraw -%} b",
    "{% raw %}\na\n{% endraw %}\nb",
    "x\n  {% raw %} a {% endraw %}\ny",
    "{% raw %} unclosed",
    "{%raw%}{%endraw%}",
    # if
    "{% if n == 7 %}a{% elif n == 8 %}b{% else %}c{% endif %}",
    "{% if n == 8 %}a{% elif n == 7 %}b{% else %}c{% endif %}",
    "{% if no %}a{% elif empty %}b{% else %}c{% endif %}",
    "{% if undefined_name %}a{% else %}b{% endif %}",
    "{% if true %}",
    "{% endif %}",
    "{% else %}",
    "{% if %}a{% endif %}",
    "{% if true %}a{% endfor %}",
    "{% if a = 1 %}{% endif %}",
    "{% if n > 5 and n < 10 or false %}y{% endif %}",
    "{% if not no %}y{% endif %}",
    "{% nosuch %}",
    "{% %}",
    "{{ }}",
    "{{ 1",
    "{% if 1",
    "}} %} #}",
    "{ { } } {",
    "{{ {'a': {'b': 1}}['a']['b'] }}",
    "{{ {'a': {}} }}",
    "{{ ( } }}",
    # for
    "{% for i in nums %}{{ i }},{% endfor %}",
    "{% for i in none_list %}{{ i }}{% else %}empty{% endfor %}",
    "{% for i in no %}{{ i }}{% endfor %}",
    "{% for i in undefined_name %}{{ i }}{% else %}none{% endfor %}",
    "{% for i in n %}{{ i }}{% endfor %}",
    "{% for c in 'héy' %}{{ c }}.{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d | dictsort %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in nums %}{{ k }}{% endfor %}",
    "{% for a, b, c in [(1, 2)] %}{{ a }}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}",
    "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in ['xy', 'zw'] %}{{ b }}{{ a }}{% endfor %}",
    "{% for i in nums %}{{ loop.index }}/{{ loop.length }}:{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for i in nums %}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}{{ loop.revindex0 }}|{% endfor %}",
    "{% for i in nums %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }}|{% endfor %}",
    "{% for i in nums %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
    "{% for i in nums %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for i in nums %}{{ loop.changed(i) }}{% endfor %}",
    "{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{% endfor %}",
    "{% for i in nums %}{{ loop.depth }}{% for j in [1] %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}{% endfor %}",
    "{% for i in nums %}{{ loop.nosuch }}{% endfor %}",
    "{% for i in nums if i > 1 %}{{ i }}{{ loop.index }}{{ loop.length }}{{ loop.last }} {% endfor %}",
    "{% for i in nums if i > 9 %}{{ i }}{% else %}none{% endfor %}",
    "{% for i in nums | select('odd') %}{{ loop.length }}{{ loop.revindex }}{{ i }} {% endfor %}",
    "{% for i in nums | select('odd') %}{{ i }}{{ loop.last }} {% endfor %}",
    "{% for i in range(3) %}{{ i }}{% endfor %}",
    "{% for i in range(10) %}{% if i == 3 %}{% continue %}{% endif %}{% if i == 6 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in nums %}{% for j in nums %}{% if j == 2 %}{% break %}{% endif %}{{ j }}{% endfor %};{% endfor %}",
    "{% for i in nums %}{% break %}{% else %}no{% endfor %}",
    "{% break %}",
    "{% for i in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% for i in nums recursive %}{{ i }}{% endfor %}",
    "{% for p in [{'v': 1, 'c': [{'v': 2}, {'v': 3, 'c': [{'v': 4}]}]}] recursive %}{{ p.v }}@{{ loop.depth }}{% if p.c %}({{ loop(p.c) }}){% endif %}{% endfor %}",
    "{% for i in nums %}{{ loop(nums) }}{% endfor %}",
    "{% for i in nums %}{% set z = i %}{% endfor %}{{ z }}",
    "{% set z = 0 %}{% for i in nums %}{% set z = z + i %}{{ z }} {% endfor %}{{ z }}",
    "{% for i in nums %}{{ z is defined }}{% set z = i %}{% endfor %}",
    "{% set ns = namespace(z=0) %}{% for i in nums %}{% set ns.z = ns.z + i %}{% endfor %}{{ ns.z }}",
    "{% for i in nums %}{% if loop.first %}{% set q = 1 %}{% endif %}{{ q is defined }}{% endfor %}",
    "{% for message in messages %}{{ message.role }}:{{ message.content }}\n{% endfor %}",
    "{% for message in messages %}{% set content = message.content %}{% if content is string %}{{ content | trim }}|{% endif %}{% endfor %}",
    "{% for n in nums %}{{ n }}{% endfor %}{{ n }}",
    "{% for in nums %}{% endfor %}",
    "{% for x nums %}{% endfor %}",
    "{% for x in %}{% endfor %}",
    "{% for 1 in nums %}{% endfor %}",
    "{% for true in nums %}{% endfor %}",
    "{% for a.b in nums %}{% endfor %}",
    "{% for i in nums, [9] %}{{ i }}{% endfor %}",
    "{% for i in 1, 2 %}{{ i }}{% endfor %}",
    "{% for i in nums if true else [] %}{{ i }}{% endfor %}",
    "{% for i in (nums if true else []) %}{{ i }}{% endfor %}",
    "{% for i in nums[::-1] %}{{ loop.index }}{{ i }} {% endfor %}",
    "{% for i in nums %}{{ loop }}{% endfor %}",
    # set
    "{% set a = 1 %}{{ a }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = [1] %}",
    "{% set (a, b) = 'xy' %}{{ b }}{{ a }}",
    "{% set a = 1, 2 %}{{ a }}",
    "{% set a %}x {{ n }} y{% endset %}[{{ a }}]",
    "{% set a | upper | trim %} x {{ s }} {% endset %}[{{ a }}]",
    "{% set a %}\nx\n{% endset %}[{{ a }}]",
    "{% set a = b = 1 %}",
    "{% set 1 = 2 %}",
    "{% set none = 2 %}",
    "{% set a.b = 1 %}",
    "{% set d.b = 1 %}",
    "{% set ns = namespace() %}{% set ns.a = 1 %}{% set ns.b = ns.a + 1 %}{{ ns.a }}{{ ns.b }}{{ ns }}",
    "{% set ns = namespace(a=[]) %}{% set ns.a = ns.a + [1] %}{{ ns.a }}{{ ns.c is defined }}{{ ns['a'] }}",
    "{% set ns = namespace() %}{% set ns.a, b = 1, 2 %}{{ ns.a }}{{ b }}",
    "{% set ns = namespace() %}{% set ns.a %}block{% endset %}{{ ns.a }}",
    "{% set _ = nums.append(1) %}",
    "{% if true %}{% set z = 1 %}{% endif %}{{ z }}",
    "{% if false %}{% set n = 1 %}{% endif %}{{ n }}",
    "{% if false %}{% set zz = 1 %}{% endif %}{{ zz is defined }}",
    "{% set n = n + 1 %}{{ n }}",
    "{% set messages = messages[1:] %}{{ messages | length }}",
    "{% set x = {'a': 1} %}{{ x.a }}{% set x = dict(x, b=2) %}{{ x }}",
    "{% set tools = [] %}{{ tools }}{{ tools is none }}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}",
    "{% with a = 1 %}{% with b = a + 1 %}{{ b }}{% endwith %}{% endwith %}",
    "{% filter upper %}a{{ s }}b{% endfilter %}",
    "{% filter replace('a', 'b') | upper %}banana{% endfilter %}",
    "{% filter nosuch %}x{% endfilter %}",
    "{% print 1, 'a' %}",
    # macros
    "{% macro m(a, b=2) %}[{{ a }}{{ b }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(c=2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}",
    "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{% macro m() %}x{% endmacro %}{{ m }}{{ m.name }}{{ m.arguments }}",
    "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "{{ m() }}{% macro m() %}x{% endmacro %}",
    "{% macro m() %}{{ s }}{{ later }}{% endmacro %}{% set later = 1 %}{{ m() }}",
    "{% macro m() %}{% set s = 'inner' %}{{ s }}{% endmacro %}{{ m() }}{{ s }}",
    "{% for i in nums %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% for i in nums %}{{ loop.index }}{% endfor %}{% macro m() %}{{ loop is defined }}{% endmacro %}{% for i in [1] %}{{ m() }}{% endfor %}",
    "{% macro m(x) %}<{{ caller() }}{{ x }}>{% endmacro %}{% call m(1) %}body{% endcall %}",
    "{% macro m() %}{{ caller(1, b=2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}{{ b }}{{ n }}{% endcall %}",
    "{% macro m() %}x{% endmacro %}{% call m() %}body{% endcall %}",
    "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}",
    "{% call 1 %}{% endcall %}",
    "{% macro m(items) -%}\n{% for i in items %}{{ i }}{% endfor %}\n{%- endmacro %}[{{ m(nums) }}]",
    "{% macro m() %} a {% endmacro %}{{ m() | trim }}{{ m() | length }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*[1]) }}{{ m(**{'a': 2}) }}{{ m(*[1, 2]) }}",
    "{% macro m(x, depth=0) %}{% if x is mapping %}{ {% for k, v in x.items() %}{{ k }}: {{ m(v, depth + 1) }}{% if not loop.last %}, {% endif %}{% endfor %} }{% elif x is string %}'{{ x }}'{% elif x is iterable %}[{% for v in x %}{{ m(v) }}{% if not loop.last %}, {% endif %}{% endfor %}]{% else %}{{ x }}{% endif %}{% endmacro %}{{ m(nested) }}",
    "{{ range(2, *[5]) | list }}",
    "{{ dict(**{'a': 1}) }}",
    "{{ dict(a=1, a=2) }}",
    "{{ m(1, 2 }}",
    "{{ s.split(sep='o', maxsplit=1) }}",
    "{{ s.strip(chars='H') }}",
    # the rest
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}",
    "{% set j = joiner(', ') %}{% for i in nums %}{{ j() }}{{ i }}{% endfor %}",
    "{% if n is defined and n is not none and n == 7 %}ok{% endif %}",
    "{{ messages[0]['role'] == 'system' and 'x' or 'y' }}",
    "{%- if messages[0].role == 'system' %}{%- set sys = messages[0].content %}{%- else %}{%- set sys = '' %}{%- endif %}{{ sys }}",
    "{%- for m in messages %}{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{%- endif %}{%- endfor %}",
    "{%- set ns = namespace(multi=true, last=messages | length - 1) %}{%- for m in messages[::-1] %}{%- set index = (messages | length - 1) - loop.index0 %}{%- if ns.multi and m.role == 'user' and m.content is string %}{%- set ns.multi = false %}{%- set ns.last = index %}{%- endif %}{%- endfor %}{{ ns.last }}",
    "{%- for m in messages %}{%- if m.content is string %}{{- m.content }}{%- elif m.content is none %}{{- 'NONE' }}{%- else %}{%- for p in m.content %}{{- p.text }}{%- endfor %}{%- endif %}{%- endfor %}",
    "{{ messages | map(attribute='content') | select('string') | map('upper') | join(' / ') }}",
    "{{ '<think>' in (messages[1].content or '') }}",
    "{%- set c = 'a</think>b</think>c' %}{{ c.split('</think>')[-1].lstrip('\\n') }}{{ c.split('</think>')[0].rstrip('\\n').split('<think>')[-1] }}",
    "{{ undefined_name.foo.bar is defined }}",
    "{{ d.foo.bar is defined }}",
    "{{ (d.foo).bar | default('x') }}",
    "{{ d.foo is defined and d.foo.bar }}",
    "{% set x = undefined_name %}{{ x is defined }}{{ x }}",
    "{{ [1, 2, 3] | map('nosuch') }}",
    "{% if false %}{{ 1 | nosuch }}{% endif %}ok",
    "{{ 1 if true else 1 | nosuch }}",
    "{% if false %}{{ 1 is nosuch }}{% endif %}ok",
    "{% for i in [] %}{{ 1 | nosuch }}{% endfor %}ok",
    "{% include 'x' %}",
    "{% extends 'x' %}",
    "{% import 'x' as y %}",
    "{% do 1 %}",
    "{{ 'a' if }}",
    "{{ not }}",
    "{% set a = [1, 2] %}{% set b = a + [3] %}{{ a }}{{ b }}",
    "{% set a = 'x' %}{% set a = a ~ 'y' %}{% set a = a * 2 %}{{ a }}",
    "{{ 'line1\\nline2' }}{{ \"tab\\there\" }}",
    "{{ 'é'.encode }}",
    "{{ [1,2,3][1:][0] }}{{ (1,2,3)[0] }}{{ 'abc'[::-1][0] }}",
    "{{ loop.index }}",
    "{{ namespace }}" if False else "{{ namespace is callable }}",
    "{{ {'a': 1}['b'] is defined }}{{ {'a': 1}.b | default('z') }}",
    "{% for k in {'z': 1, 'y': 2} %}{{ k }}{% endfor %}",
    "{% for x in [1, 2, 3] if x != 2 %}{% if loop.first %}first{% endif %}{{ x }}{% if loop.last %}last{% endif %}{% endfor %}",
    "{% for x in 'ab' %}{% for y in 'cd' %}{{ x }}{{ y }}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for x in nums %}{% set loop2 = loop %}{% for y in [1] %}{{ loop2.index }}{% endfor %}{% endfor %}",
    "{{ 1 }}{# c #}{{ 2 }}",
    "{{ '{{' }}{{ '}}' }}{{ '{%' }}",
    "{{ \"{'a': '}'}\" }}",
    "{%-if true-%}x{%-endif-%}",
    "{%if n==7%}x{%endif%}",
    "{{n}}{{n+1}}{{ n|string+'a' }}",
    "{% set a=1%}{%set b=2%}{{a+b}}",
    "{{ caller }}{{ varargs }}",
    "{% set x = 5 if false %}{{ x is defined }}",
    "{% for i in nums %}{{ i }}{% if i == 1 %}{% continue %}{% endif %},{% endfor %}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}",
    "{% set f = s.upper %}{{ f() }}",
    "{% set fs = {'f': s.lower} %}{{ fs.f() }}",
    "{{ (s.upper)() }}",
    "{{ s.upper().lower().title() }}",
    "{{ d.items() | map('last') | list }}",
    "{{ [d.items() | list, d | items | list] | first }}",
    "{{ nums | map('pow', 2) | list }}",
    "{{ 5 | string ~ 'a' }}",
    "{{ s|length*2 }}",
    "{{ -nums[0] }}{{ - nums | first }}",
    "{{ not nums }}{{ not none_list }}",
]


def all_cases():
    cases = []
    for i, line in enumerate(EXPRESSIONS.strip("\n").split("\n")):
        cases.append(("expressions", f"{i:03}", "{{ " + line + " }}"))
    for i, template in enumerate(TEMPLATES):
        cases.append(("statements", f"{i:03}", template))
    out = {}
    for file, name, template in cases:
        row = dict(name=name, template=template, **render(template))
        if " at 0x" not in row.get("expected", ""):  # an address in memory is nobody's to match
            out.setdefault(file, []).append(row)
    return out


# ---- random expressions -------------------------------------------------------------------------------------------

def random_expression(rng, depth):
    def sub():
        return random_expression(rng, depth - 1)
    if depth <= 0 or rng.random() < 0.15:
        return rng.choice(list(VARIABLES) + ["1", "2", "-3", "0.5", "'ab'", "''", "'a b'", "none", "true", "[1, 2]", "{'a': 1}", "undefined_name",
                                             "messages", "messages[0]", "(1, 'x')"])
    kind = rng.randrange(10)
    if kind == 0:
        return f"({sub()} {rng.choice(['+', '-', '*', '/', '//', '%', '~'])} {sub()})"
    if kind == 1:
        return f"({sub()} {rng.choice(['==', '!=', '<', '>', '<=', '>=', 'in', 'not in', 'and', 'or'])} {sub()})"
    if kind == 2:
        name = rng.choice(["upper", "lower", "title", "trim", "capitalize", "length", "first", "last", "list", "string", "int", "float", "abs", "sort",
                           "reverse | list", "unique | list", "sum", "min", "max", "join", "join(',')", "tojson", "tojson(indent=1)", "default('d')",
                           "default('d', true)", "replace('a', 'b')", "round", "round(1)", "batch(2) | list", "items | list", "dictsort", "map('string') | list",
                           "select | list", "reject('none') | list", "select('string') | list", "escape", "indent", "wordcount", "e", "count"])
        return f"({sub()} | {name})"
    if kind == 3:
        name = rng.choice(["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence", "iterable", "true",
                           "false", "odd", "even", "callable", "eq 1", "in [1, 'ab']", "divisibleby 2", "lower", "upper", "sameas none"])
        return f"({sub()} is {rng.choice(['', 'not '])}{name})"
    if kind == 4:
        return f"({sub()} if {sub()} else {sub()})"
    if kind == 5:
        return f"{rng.choice(list(VARIABLES))}[{rng.choice(['0', '-1', '1:', ':-1', '::-1', '::2', 'n', chr(39) + 'a' + chr(39), '1:3', '-2:', '5'])}]"
    if kind == 6:
        return f"{sub()}.{rng.choice(['upper()', 'lower()', 'strip()', 'split()', 'split(' + chr(39) + 'a' + chr(39) + ')', 'items()', 'keys() | list', 'get(' + chr(39) + 'a' + chr(39) + ')', 'title()', 'a', 'role', 'count(1)', 'startswith(' + chr(39) + 'a' + chr(39) + ')', 'isdigit()', 'nosuch'])}"
    if kind == 7:
        return f"[{sub()}, {sub()}]"
    if kind == 8:
        return f"{{'a': {sub()}, 'b': {sub()}}}"
    return f"({rng.choice(['-', 'not ', '+'])}{sub()})"


def random_cases(count, seed):
    rng = random.Random(seed)
    for i in range(count):
        template = "{{ " + random_expression(rng, rng.randint(1, 4)) + " }}"
        yield dict(name=f"random_{seed}_{i}", template=template, **render(template))


CALLS = """r</think>Let me look.

<｜DSML｜BLOCK>
<｜DSML｜invoke name="f">
<｜DSML｜parameter name="x" string="true">1</｜DSML｜parameter>
<｜DSML｜parameter name="y" string="false">{"a": [1]}</｜DSML｜parameter>
</｜DSML｜invoke>
</｜DSML｜BLOCK><｜end▁of▁sentence｜>"""


def write_corpus():
    """A few dozen seeds: the cases that render, many to a file; those that fail, one to a file, every third of them."""
    folder = OUT.parent.parent.parent / "fuzz" / "corpus" / "template"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    cases = all_cases()
    good = [r["template"] for r in cases["expressions"] if "expected" in r]
    bad = [r["template"] for rows in cases.values() for r in rows if "expected_error" in r]
    for i in range(0, len(good), 60):
        (folder / f"expressions_{i // 60:02}").write_text("\n".join(good[i:i + 60]), "utf-8")
    statements = [r["template"] for r in cases["statements"] if "expected" in r]
    for i in range(0, len(statements), 12):
        (folder / f"statements_{i // 12:02}").write_text("\n".join(statements[i:i + 12]), "utf-8")
    for i, template in enumerate(bad[::3]):
        (folder / f"error_{i:02}").write_text(template, "utf-8")
    for block in ("function_calls", "tool_calls"):
        (folder / f"completion_{block}").write_text(CALLS.replace("BLOCK", block), "utf-8")
    conversation = {"messages": MESSAGES[:2] + [
        {"role": "developer", "content": "Be kind.", "response_format": {"type": "object"}},
        {"role": "assistant", "content": "x", "reasoning_content": "why", "tool_calls": [
            {"id": "a", "function": {"name": "f", "arguments": "{\"k\": 1.5, \"s\": \"v\"}"}}, {"id": "b", "function": {"name": "g", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "b", "content": "2"}, {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "1"}]},
        {"role": "user", "content": [{"type": "text", "text": "a"}], "task": "title"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}
    for name, kwargs in (("chat", {}), ("thinking", {"thinking": True, "reasoning_effort": "max"}),
                         ("keep", {"thinking_mode": "thinking", "drop_thinking": False, "context": [{"role": "user", "content": "Hm"}]})):
        (folder / f"encoder_{name}").write_text("{{ messages | tojson }}\0" + json.dumps({**conversation, "kwargs": kwargs}, ensure_ascii=False), "utf-8")
    print(f"{sum(1 for _ in folder.iterdir())} seeds")
    return 0


def main(args):
    if args[:1] == ["--corpus"]:
        return write_corpus()
    if args[:1] == ["--random"]:
        for case in random_cases(int(args[1]), int(args[2]) if len(args) > 2 else 1):
            print(json.dumps({**case, **SHARED}))
        return 0
    bad = 0
    for name, rows in all_cases().items():
        path = OUT / f"{name}.cases.json"
        if "--check" in args:
            stored = {r["name"]: r for r in json.loads(path.read_text("utf-8"))["cases"]}
            bad += sum(stored.get(r["name"]) != r for r in rows)
            continue
        OUT.mkdir(parents=True, exist_ok=True)
        text = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        path.write_text('{"shared": ' + json.dumps(SHARED, ensure_ascii=False) + ',\n"cases": [\n' + text + "\n]}\n", "utf-8")
        print(f"{path.name}: {len(rows)} cases, {sum('expected_error' in r for r in rows)} of them errors")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
