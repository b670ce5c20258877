# Sourced by ./quickstart and ./check. Installs missing Debian packages and configures the build; says what it does, does
# nothing the second time.

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# ensure_packages build|check: installs what tools/packages.txt lists for that purpose (check includes build).
ensure_packages() {
  local purpose=$1 name who missing=()
  command -v dpkg-query >/dev/null || die "this script installs Debian packages; on another system install what tools/packages.txt lists and run cmake --preset release"
  while read -r name who; do
    [[ -z $name || $name == \#* ]] && continue
    [[ $who == build || $who == "$purpose" ]] || continue
    [[ $(dpkg-query -W -f='${Status}' "$name" 2>/dev/null) == "install ok installed" ]] || missing+=("$name")
  done <tools/packages.txt
  if ((${#missing[@]} == 0)); then return; fi
  local as_root=()
  if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || die "missing packages: ${missing[*]}; install them as root, then run this again"
    as_root=(sudo)
  fi
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq || die "apt-get update failed"
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get install failed: ${missing[*]}"
}

# gpu_architecture: what nvcc builds for the first GPU here; Hopper's own instructions have a name of their own.
gpu_architecture() {
  local capability
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1)
  if [[ $capability == 9.0 ]]; then echo 90a; else echo native; fi
}

# find_nvcc: its path, on PATH or where NVIDIA's packages put it; fails without one of CUDA 12.8 or later.
find_nvcc() {
  local nvcc release
  nvcc=$(command -v nvcc) || nvcc=/usr/local/cuda/bin/nvcc
  release=$("$nvcc" --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p')
  [[ -n $release && $(printf '%s\n' 12.8 "$release" | sort -V | head -n 1) == 12.8 ]] || return 1
  echo "$nvcc"
}

# choose_preset [--cuda]: sets PRESET and TARGETS and says in one line why. With --cuda the GPU backend is built whatever is
# found here; without, where there is a GPU and an nvcc for it. For a GPU that is here, whichever it is; else for Hopper.
choose_preset() {
  local nvcc gpu=
  PRESET=release TARGETS=(hadal) CONFIGURE=()
  if [[ -e /dev/nvidiactl ]] || nvidia-smi >/dev/null 2>&1; then gpu=yes; fi
  if nvcc=$(find_nvcc); then
    if [[ ${1:-} == --cuda || -n $gpu ]]; then
      PRESET=cuda TARGETS=(hadal hadal_cuda)
      export PATH=$PATH:${nvcc%/*}
      if [[ -n $gpu ]]; then CONFIGURE=(-DCMAKE_CUDA_ARCHITECTURES=$(gpu_architecture)); fi
      say "preset cuda, with the GPU backend ($nvcc)"
    else
      say "preset release, for the CPU: no GPU was found (--cuda builds for one all the same)"
    fi
  elif [[ ${1:-} == --cuda ]]; then
    die "--cuda needs nvcc of CUDA 12.8 or later, on PATH or in /usr/local/cuda/bin"
  elif [[ -n $gpu ]]; then
    say "preset release, for the CPU: there is a GPU but no nvcc of CUDA 12.8 or later"
  else
    say "preset release, for the CPU: neither a GPU nor an nvcc was found"
  fi
}

# build_preset PRESET [target...]; CONFIGURE: further arguments of a first configuration
build_preset() {
  local preset=$1
  shift
  export CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=$PWD  # a second clone finds what the first one compiled
  if [[ ! -f build/$preset/build.ninja ]]; then
    say "configuring $preset"
    cmake --preset "$preset" ${CONFIGURE:+"${CONFIGURE[@]}"} >/dev/null
  fi
  say "building $preset"
  cmake --build "build/$preset" --parallel "$(nproc)" ${1:+--target "$@"}
}
