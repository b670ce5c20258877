#!/bin/sh
# Makes the demo model from nothing: ./make.sh [OUT_DIR] [SEED]. Needs one GPU, and Python with torch, tokenizers, safetensors, numpy.
# Interrupted, it continues where it was when called again. Two trainings: the second starts from the first at half the rates.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../build/demo_model}
seed=${2:-1}
model=$here/../../models/demo
mkdir -p "$out/base"
[ -f "$out/base/tokenizer.json" ] || python3 "$here/generate.py" tokenizer "$out/base" --count 60000 --seed "$seed"
cp "$model/config.json" "$model/generation_config.json" "$out/base/"
[ -f "$out/first/done" ] || { python3 "$here/train.py" "$out/first" --model-dir "$out/base" --minutes 6.7 --reuse 2 --seed "$seed"; touch "$out/first/done"; }
[ -f "$out/second/done" ] || { python3 "$here/train.py" "$out/second" --model-dir "$out/base" --minutes 6.6 --reuse 2 --seed "$seed" --resume "$out/first" --peak 0.5; touch "$out/second/done"; }
python3 "$here/evaluate.py" "$out/second" --seed "$seed" --out "$out/eval.json"
echo "the checkpoint is in $out/second; copy it to $model and run verify.py (needs transformers) to renew tests/data/demo"
