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

# build_preset PRESET [target...]
build_preset() {
  local preset=$1
  shift
  export CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=$PWD  # a second clone finds what the first one compiled
  if [[ ! -f build/$preset/build.ninja ]]; then
    say "configuring $preset"
    cmake --preset "$preset" >/dev/null
  fi
  say "building $preset"
  cmake --build "build/$preset" --parallel "$(nproc)" ${1:+--target "$@"}
}
