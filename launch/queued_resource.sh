#!/usr/bin/env bash
# Runs one command on every host of a Cloud TPU slice, and deletes the slice at the end.
#
#   launch/queued_resource.sh --store=gs://BUCKET --zone=ZONE [OPTIONS] NAME -- COMMAND ...
#
#   --store=STORE      gs://BUCKET or HOST:/SHARE, as in setup.sh; mounted at /mnt/runs
#   --zone=ZONE        where there is quota for --type
#   --type=TYPE        the accelerator type (v5litepod-16: v5e, 4x4, 4 hosts)
#   --runtime=VERSION  the image of the VMs (v2-alpha-tpuv5-lite; v6e: v2-alpha-tpuv6e;
#                      v5p: v2-alpha-tpuv5; v4: tpu-ubuntu2204-base)
#   --spot             what may be preempted, for less
#   --wait=DURATION    how long to queue for it, as 6h (for ever)
#   --extras=EXTRAS    of convscan, to install (tpu)
#   --keep             leaves the slice, and its cost, when the command has ended
#   --dry-run          prints the commands, and runs none
#
# COMMAND ends with status 75 when SIGTERM stopped it (--stopped_status=75). Then, when the
# connection breaks, and when the slice is no longer active, it is deleted and queued for
# again, and the same command goes on from the newest checkpoint. Any other status ends the
# script with it, and so does, with 1, a slice that can not be described for 10 minutes,
# as one deleted elsewhere. Ctrl-C stops the command after a checkpoint. Start it where it
# can stay: in tmux, on a machine that is on.
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
store='' zone='' name='' type=v5litepod-16 runtime=v2-alpha-tpuv5-lite extras=tpu wait=''
keep=false dry=false spot=()
most_unknown=20 # 10 minutes, in which a network may come back

usage() {
  echo "queued_resource.sh: $1. Usage:" >&2
  sed -n '/^#   /s/^#   //p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

while (($#)); do
  case $1 in
    --store=*) store=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --type=*) type=${1#*=} ;;
    --runtime=*) runtime=${1#*=} ;;
    --extras=*) extras=${1#*=} ;;
    --wait=*) wait=--valid-until-duration=${1#*=} ;;
    --spot) spot=(--spot) ;;
    --keep) keep=true ;;
    --dry-run) dry=true ;;
    --) shift; break ;;
    -*) usage "unknown option $1" ;;
    *) [[ -z $name ]] || usage "unexpected $1"; name=$1 ;;
  esac
  shift
done
[[ -n $name ]] || usage 'expected a NAME'
[[ -n $store ]] || usage 'expected --store'
[[ -n $zone ]] || usage 'expected --zone'
(($#)) || usage 'expected -- and a COMMAND'
if [[ " $* " == *' convscan.train.main '* && " $* " != *' --stopped_status=75 '* ]]; then
  usage 'expected --stopped_status=75 in COMMAND, which else ends with 0 when preempted'
fi
command="export PATH=\$HOME/venv/bin:\$PATH; exec$(printf ' %q' "$@")"

run() {
  if $dry; then
    printf '%q' "$1"
    printf ' %q' "${@:2}"
    echo
  else
    "$@"
  fi
}

queued() { run gcloud compute tpus queued-resources "$1" "$name" --zone="$zone" "${@:2}"; }

on_all_hosts() {
  run gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all \
    --ssh-flag='-o ServerAliveInterval=30' --command="$1"
}

state() { queued describe --format='value(state.state)'; }

create() {
  queued create --node-id="$name" --accelerator-type="$type" \
    --runtime-version="$runtime" ${spot[@]+"${spot[@]}"} ${wait:+"$wait"}
  trap finish EXIT
}

delete() { queued delete --force --quiet; }

finish() {
  local status=$?
  if $keep; then
    echo "$name is left, and costs. To delete it: gcloud compute tpus queued-resources" \
      "delete $name --zone=$zone --force" >&2
  elif ! delete; then
    echo "$name COULD NOT BE DELETED, AND COSTS unless it is gone: gcloud compute tpus" \
      "queued-resources delete $name --zone=$zone --force" >&2
  fi
  exit "$status"
}

# Waits until there is a slice; one of this name that is there already is taken.
obtain() {
  if $dry; then
    create
    state
    return
  fi
  local now=''
  if ! now=$(state 2>/dev/null); then
    create
  else
    trap finish EXIT
  fi
  local unknown=0
  while true; do
    now=$(state || echo unknown)
    echo "$(date +%T) $name is $now" >&2
    [[ $now == unknown ]] && ((++unknown)) || unknown=0
    case $now in
      unknown)
        if ((unknown == most_unknown)); then
          echo "$name could not be described $unknown times in a row: it was deleted" \
            "elsewhere, or gcloud has lost its network or its login" >&2
          exit 1
        fi
        ;;
      ACTIVE) return ;;
      FAILED)
        queued describe >&2
        exit 1
        ;;
      SUSPENDED)
        delete
        create
        ;;
    esac
    sleep 30
  done
}

prepare() {
  local host=("$here/setup.sh" "$name:" --zone="$zone" --worker=all)
  for _ in 1 2 3 4 5; do # a VM that has just started may refuse
    if run gcloud compute tpus tpu-vm scp "${host[@]}"; then
      on_all_hosts "bash setup.sh $(printf '%q %q %q' "$store" /mnt/runs "$extras")"
      return
    fi
    sleep 30
  done
  return 255
}

interrupt() {
  trap '' INT
  echo "stopping $name after a checkpoint" >&2
  # In brackets, so that the pattern does not match the shell that has it as an argument.
  on_all_hosts "pkill -INT -f '[c]onvscan\.' || true
    timeout 300 sh -c 'while pgrep -f \"[c]onvscan\.\" >/dev/null; do sleep 1; done'" || true
  exit 130
}

trap interrupt INT
while true; do
  obtain
  status=0
  prepare || status=$?
  ((status)) || on_all_hosts "$command" || status=$?
  case $status in
    0 | 130) exit "$status" ;;
    75 | 255) ;;
    *)
      sleep 60 # a host may notice the end of a slice before it is no longer active
      [[ $(state) != ACTIVE ]] || exit "$status"
      ;;
  esac
  echo "$name was preempted or lost (status $status): again" >&2
  delete
done
