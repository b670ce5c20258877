#!/usr/bin/env python3
"""How many lines of each parser its fuzz corpus reaches (clang source coverage); fails under 80 percent.

    tools/fuzz_coverage.py [BUILD_DIR]        default: build/coverage, made with the coverage preset
"""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
WANTED = 80.0

# The parser behind each target: what untrusted bytes meet first.
PARSERS = {
    "safetensors": ["src/tensor/safetensors_header.cc", "src/tensor/shard_index.cc"],
    "config": ["src/model/config.cc", "src/model/config_attention.cc", "src/model/config_moe.cc", "src/model/config_quant.cc",
               "src/model/config_rope.cc", "src/model/config_generation.cc", "src/model/config_reader.cc"],
    "tokenizer": ["src/text/tokenizer_file.cc", "src/text/tokenizer_json.cc", "src/text/tokenizer_config.cc",
                  "src/text/pre_tokenizer.cc", "src/text/pre_tokenizer_oniguruma.cc", "src/text/normalizer.cc"],
    "template": ["src/text/jinja/lexer.cc", "src/text/jinja/parser*.cc", "src/text/jinja/interpreter*.cc"],
    "request": ["src/openai/request.cc", "src/openai/request_fields.cc", "src/openai/field_readers*.cc", "src/openai/request_messages.cc",
                "src/openai/value_readers.cc", "src/openai/json_reader.cc",
                "src/openai/messages_request.cc", "src/openai/responses_request.cc", "src/openai/converted_parts.cc"],
    "answer": ["src/text/answer/marked_calls.cc", "src/text/answer/dsml_calls.cc"],
    "http": ["src/http/request_reader.cc", "src/http/chunk_decoder.cc"],
    "tls": ["src/http/tls_session.cc"],
    "trace": ["src/lab/traces.cc"],
    "tenants": ["src/server/tenants_file.cc"],
    "options": ["src/cli/config_file.cc"],
}


def tool(name):
    for candidate in (name, f"{name}-14"):
        if subprocess.run(["which", candidate], capture_output=True).returncode == 0:
            return candidate
    sys.exit(f"{name} is not installed (Debian package llvm-14)")


def measure(build, name, patterns):
    target = build / "fuzz" / f"fuzz_{name}"
    profile = build / f"{name}.profraw"
    merged = build / f"{name}.profdata"
    run = subprocess.run([target, ROOT / "fuzz" / "corpus" / name], env={"LLVM_PROFILE_FILE": str(profile)},
                         capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{name}: the corpus does not run clean:\n{run.stdout}{run.stderr}")
    subprocess.run([tool("llvm-profdata"), "merge", "-sparse", "-o", merged, profile], check=True)
    report = subprocess.run([tool("llvm-cov"), "export", "-summary-only", f"-instr-profile={merged}", target], check=True,
                            capture_output=True, text=True).stdout
    files = {pathlib.Path(f["filename"]): f["summary"]["lines"] for f in json.loads(report)["data"][0]["files"]}
    covered = count = 0
    for pattern in patterns:
        expression = re.compile(re.escape(pattern).replace(r"\*", "[a-z_]*") + "$")
        found = [lines for path, lines in files.items() if expression.search(str(path))]
        if not found:
            sys.exit(f"{name}: no coverage of {pattern}; was it renamed?")
        covered += sum(lines["covered"] for lines in found)
        count += sum(lines["count"] for lines in found)
    return covered, count


def main():
    build = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "coverage"
    failed = False
    for name, patterns in PARSERS.items():
        covered, count = measure(build, name, patterns)
        percent = 100 * covered / count
        failed |= percent < WANTED
        print(f"{name:12} {covered:5} of {count:5} lines {percent:6.1f} %{'' if percent >= WANTED else '   under 80 %'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
