#!/bin/sh
# Makes demo and demo-small from nothing: ./make.sh [OUT_DIR] [SEED]. Needs one GPU, and Python with torch, tokenizers,
# safetensors, numpy. Interrupted, it goes on where it was when called again. In the environment:
#   MODELS         "demo demo-small"
#   MINUTES        of training each, all calls together (demo 24, demo-small 8)
#   CALL_MINUTES   stop after so many minutes of training, and look at the result in a call of its own; unset: all in one
#   COUNT          test questions of each skill for the quick look at the end (60); TRAIN_OPTIONS  more options of train.py
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../build/demo_train}
seed=${2:-1}
mkdir -p "$out/base"
[ -f "$out/base/tokenizer.json" ] || python3 "$here/generate.py" tokenizer "$out/base" --count 60000 --seed "$seed"
for name in ${MODELS:-demo demo-small}; do
  base=$out/$name.base
  mkdir -p "$base"
  cp "$out"/base/tokenizer*.json "$base/"
  cp "$here/configs/$name.json" "$base/config.json"
  cp "$here/configs/generation_config.json" "$base/"
  [ "$name" = demo ] && minutes=24 || minutes=8
  if [ ! -f "$out/$name/done" ]; then
    python3 "$here/train.py" "$out/$name" --base "$base" --minutes "${MINUTES:-$minutes}" --seed "$seed" ${CALL_MINUTES:+--call-minutes "$CALL_MINUTES"} ${TRAIN_OPTIONS:-}
    [ -z "${CALL_MINUTES:-}" ] || exit 0                 # a bounded call looks at the result in the next one
  fi
  [ -f "$out/$name/eval.json" ] || python3 "$here/evaluate.py" "$out/$name/checkpoint" --count "${COUNT:-60}" --seed "$seed" --out "$out/$name/eval.json"
done
echo "the checkpoints are $out/NAME/checkpoint; copy them to models/NAME and measure them with hadal eval skills"
