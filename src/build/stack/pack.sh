# What the built-in buildpacks share. Sourced by their programs: . /usr/local/lib/slug-builder/pack.sh
#
# Speaks Heroku's visual grammar on stdout, gives the app's config vars to what the build runs, and keeps finished
# installations in the cache. Third-party buildpacks know nothing of it.
# shellcheck shell=bash

# Config vars that would change which programs the build itself runs, or undo what makes two builds identical.
readonly kept_from_build='^(PATH|HOME|ENV|BASH_ENV|IFS|STACK|TMPDIR|LANG|LC_.*|LD_.*|PYTHON.*|NODE_PATH|GEM_.*|RUBYLIB|BUNDLE_(PATH|APP_CONFIG|GEMFILE)|GOROOT|GOPATH|GOBIN|GOCACHE|GOMODCACHE|CARGO_(HOME|TARGET_DIR)|JAVA_HOME|COMPOSER_(HOME|CACHE_DIR)|GIT_DIR|GIT_WORK_TREE|SOURCE_DATE_EPOCH)$'

step() { printf -- '-----> %s\n' "$1"; }
detail() { printf '       %s\n' "$1"; }
warn() { printf ' !     %s\n' "$@"; }
indent() { sed -u 's/^/       /'; }
fail() {
  warn "$@"
  exit 1
}

start_clock() { clock=$EPOCHREALTIME; }
elapsed() {
  local now=$EPOCHREALTIME tenths
  tenths=$(( (${now/[.,]/} - ${clock/[.,]/} + 50000) / 100000 ))
  printf '%d.%d s' $((tenths / 10)) $((tenths % 10))
}

# run WHAT HINT COMMAND...: runs a command with its output indented; when it fails, says so with the hint and ends.
run() {
  local what=$1 hint=$2 status=0
  shift 2
  "$@" 2>&1 | indent || status=${PIPESTATUS[0]}
  case $status in
    0) ;;
    137) fail "$what was killed, most likely because the build ran out of memory. Raise the memory limit of builds and push again." ;;
    *) fail "$what failed with status $status. $hint" ;;
  esac
}

# Config vars are part of the build's environment: a private index or a token is given by them.
export_config_vars() {
  local file name
  for file in "$1"/*; do
    name=${file##*/}
    [ -f "$file" ] && [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] && [[ ! $name =~ $kept_from_build ]] || continue
    export "$name=$(<"$file")"
  done
}

# digest_of WORD... -- PATH...: prints a digest of the words and of names and contents of the files, absent ones too.
# The digest of contents gives away no config var.
digest_of() {
  {
    while [ "$1" != -- ]; do
      printf '%d:%s\n' "${#1}" "$1"
      shift
    done
    shift
    local path
    for path in "$@"; do
      if [ -f "$path" ]; then
        printf '%s %s\n' "$path" "$(sha256sum <"$path")"
      else
        printf '%s absent\n' "$path"
      fi
    done
  } | sha256sum | cut -c1-32
}

# The config vars as paths for digest_of.
config_files() { find "$1" -mindepth 1 -maxdepth 1 -type f | LC_ALL=C sort; }

# restore_snapshot FILE DIR: unpacks what keep_snapshot kept; false when there is nothing usable.
restore_snapshot() {
  [ -f "$1" ] || return 1
  mkdir -p "$2"
  tar -xpf "$1" -C "$2" && return 0
  detail 'What the cache holds cannot be read and is made anew'
  rm -f "$1"
  return 1
}

# keep_snapshot FILE DIR PATH...: keeps paths below DIR in FILE, and of FILE's kind (its name up to the last -) only
# that one. A full cache costs the next build time, it does not fail this one.
keep_snapshot() {
  local file=$1 dir=$2
  shift 2
  rm -f "${file%-*}"-*.tar "${file%-*}"-*.tmp
  if tar --sort=name -cf "$file.tmp" -C "$dir" "$@"; then mv "$file.tmp" "$file"; else rm -f "$file.tmp"; fi
}

# refuse_pushed BUILD_DIR PATH: a path that the buildpack fills must not be part of the tree.
refuse_pushed() {
  [ ! -e "$1/$2" ] || fail "$2 is part of the pushed tree, but this is where the buildpack installs. Take it out:" \
    "  git rm -r --cached ${2%%/*} && git commit -m 'Leave out ${2%%/*}'"
}

# write_profile BUILD_DIR NAME: stdin becomes what sets up each process. The name sorts before the app's own scripts.
write_profile() {
  mkdir -p "$1/.profile.d"
  cat >"$1/.profile.d/000-$2.sh"
}

# default_process TYPE COMMAND: for print_release, beside which it is written in the buildpack's own copy.
default_process() { printf '  %s: %s\n' "$1" "$(python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$2")" >>"$pack_dir/processes"; }

# What bin/release prints: the process types that bin/compile found.
print_release() {
  printf -- '---\nconfig_vars: {}\n'
  if [ -s "$pack_dir/processes" ]; then
    printf 'default_process_types:\n'
    cat "$pack_dir/processes"
  else
    printf 'default_process_types: {}\n'
  fi
}

# Where the running buildpack lies.
pack_dir=$(cd "$(dirname "${BASH_SOURCE[-1]}")/.." && pwd)
readonly pack_dir
