#!/bin/bash
# One bounded call of make.sh on a machine that is lent for minutes: gpu_call.sh NAME RESULT_DIR [PARTS_DIR]
#
# NAME is demo or demo-small. What there is after it goes to RESULT_DIR as NAME.tar.aa, NAME.tar.ab, … of at most 15 MiB
# (checkpoint, progress, log, curve). Once training is done, one more call writes eval.json. The next call goes on from $WORK
# (default build/demo_train) if it is still there, else from the parts in PARTS_DIR. MINUTES, CALL_MINUTES (8), COUNT and
# TRAIN_OPTIONS are make.sh's.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=$1 result=$2 parts=${3:-}
work=$(realpath -m "${WORK:-build/demo_train}")
mkdir -p "$work" "$result"
# what is left of a warm machine goes before what was carried
if [ ! -d "$work/$name" ] && [ -n "$parts" ] && ls "$parts/$name".tar.* > /dev/null 2>&1; then
  cat "$parts/$name".tar.* | tar x -C "$work"
fi
export TORCHINDUCTOR_CACHE_DIR=$work/cache TORCHINDUCTOR_FX_GRAPH_CACHE=1 PYTHONUNBUFFERED=1
MODELS=$name CALL_MINUTES=${CALL_MINUTES:-8} "$here/make.sh" "$work"
tar c -C "$work" base "$name" "$name.base" | split -b 15m - "$result/$name.tar."
ls -l "$result"
tail -n 1 "$work/$name/log.jsonl"
cat "$work/$name/progress.json"
