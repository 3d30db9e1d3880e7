# What starts an app without a Procfile. Sourced by bin/compile after pack.sh: . /buildpacks/lib/start.sh
#
# It comes with the buildpacks and not with the stack, whose images may be those of an earlier server.
# shellcheck shell=bash
# shellcheck disable=SC2154

# choose_start BUILD_DIR ENV_DIR: asks the buildpack's lib/start, before anything is installed, what starts the app. Its process
# types become the default ones, and which line of which file decided is said. A tree of which nothing can be started is
# refused, unless something else says what runs: a Procfile, or the buildpack that comes after this one. What bin/compile
# has to know besides is in start_notes.
declare -A start_notes=()
choose_start() {
  local answer status=0 is_said='' type command reason shown lines
  [ ! -f "$1/Procfile" ] && [ -z "${SLUG_BUILDPACKS_LEFT:-}" ] || is_said=yes
  answer=$(PYTHONPATH=/buildpacks/lib /usr/bin/python3 -B -W ignore "$pack_dir/lib/start" "$1" "$2" 2>/tmp/start-errors) || status=$?
  if [ "$status" -ne 0 ]; then
    [ -z "$is_said" ] || return 0
    mapfile -t lines <<<"$answer"
    [ "$status" -ne 3 ] || fail "${lines[@]}"
    warn "What starts the app cannot be told from its files: $(tail -1 /tmp/start-errors)"
    return 0
  fi
  while IFS=$'\t' read -r type command reason shown; do
    case $type in
      '') ;;
      =*) start_notes[${type#=}]=$command ;;
      *)
        default_process "$type" "$command"
        [ "$type" != web ] || [ -n "$is_said" ] || detail "Start command: ${shown:-$command} ($reason)"
        ;;
    esac
  done <<<"$answer"
}
