#!/usr/bin/env bash
# Prepares a TPU VM: mounts the folder of the runs, and installs convscan from there.
#
#   setup.sh gs://BUCKET FOLDER [EXTRAS]    a bucket with a hierarchical namespace
#   setup.sh HOST:/SHARE FOLDER [EXTRAS]    a share of NFS, such as Filestore's
#
# The bucket or share holds one wheel and requirements.lock; docs/cloud_tpu.md says how
# they come there. EXTRAS are convscan's, `tpu` by default. Run again, it changes nothing.
set -euo pipefail

store=$1 folder=$2 extras=${3:-tpu}
gcsfuse=3.11.2 # from 2.5.0 on it renames folders of a hierarchical namespace as one
python=$HOME/venv/bin/python

install() { # waits for what a VM that has just started installs by itself
  sudo apt-get -o DPkg::Lock::Timeout=300 install --yes --quiet --allow-downgrades "$1"
}

mount_bucket() {
  if [[ $(gcsfuse --version 2>/dev/null) != *" $gcsfuse "* ]]; then
    local deb=gcsfuse_${gcsfuse}_amd64.deb
    curl --fail --silent --show-error --location --output "/tmp/$deb" \
      "https://github.com/GoogleCloudPlatform/gcsfuse/releases/download/v$gcsfuse/$deb"
    install "/tmp/$deb"
  fi
  sudo chown "$(id -u)" "$folder"
  # Nothing is remembered of the bucket: on large machines gcsfuse would do so for ever,
  # and one host would not see what another has saved.
  gcsfuse --metadata-cache-ttl-secs=0 --metadata-cache-negative-ttl-secs=0 \
    "${store#gs://}" "$folder"
}

mount_share() {
  sudo apt-get -o DPkg::Lock::Timeout=300 update --quiet
  install nfs-common
  sudo mount -t nfs -o hard "$store" "$folder"
  sudo chmod a+rwx "$folder"
}

if ! mountpoint --quiet "$folder"; then
  sudo mkdir --parents "$folder"
  case $store in
    gs://*/*) echo "setup.sh: $store: expected gs://BUCKET, without a folder" >&2; exit 2 ;;
    gs://*) mount_bucket ;;
    *:/*) mount_share ;;
    *) echo "setup.sh: $store: expected gs://BUCKET or HOST:/SHARE" >&2; exit 2 ;;
  esac
fi

# A checkpoint is complete when its folder is renamed. In a bucket without a hierarchical
# namespace that would be a copy, and gcsfuse refuses it.
probe=$(mktemp --directory "$folder/.rename-XXXXXX")
touch "$probe/file"
if ! python3 -c 'import os, sys; os.rename(*sys.argv[1:])' "$probe" "$probe.renamed"; then
  rm -r "$probe"
  echo "setup.sh: no folder can be renamed in $store; expected a bucket that was made" \
    "with --enable-hierarchical-namespace" >&2
  exit 2
fi
rm -r "$probe.renamed"

wheels=("$folder"/convscan-*.whl)
if [[ ${#wheels[@]} != 1 || ! -f ${wheels[0]} ]]; then
  echo "setup.sh: expected one convscan-*.whl in $store, and found: ${wheels[*]}" >&2
  exit 2
fi
# The image's own Python may be older than convscan takes.
python3 -m pip install --quiet --user uv
[[ -x $python ]] || python3 -m uv venv --quiet --python 3.12 "$HOME/venv"
python3 -m uv pip install --quiet --python "$python" \
  --constraint "$folder/requirements.lock" "convscan[$extras] @ file://${wheels[0]}"
# As JAX advises for v5e and later: the TPU starts sooner.
echo always | sudo tee /sys/kernel/mm/transparent_hugepage/enabled >/dev/null
