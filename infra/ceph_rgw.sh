#!/usr/bin/env bash
# A Ceph RADOS gateway of one node on this machine, for the tests that want a real S3 server (`make test-s3`).
#
#   infra/ceph_rgw.sh start [FOLDER]    fetch Debian's packages once, unpack them below FOLDER, start, write FOLDER/env
#   infra/ceph_rgw.sh stop  [FOLDER]    end the three daemons by their ids; the packages stay for the next time
#
# Nothing is installed: the packages are unpacked, so no root is needed and the machine stays as it is. One monitor, one
# OSD in memory and one gateway listen on the loopback alone; whatever is stored is gone at the stop. Debian 12.
set -euo pipefail

action=${1:-start}
folder=${2:-${TILEBANK_CEPH:-/tmp/tilebank-ceph}}
mon_port=${TILEBANK_CEPH_MON_PORT:-16789}
rgw_port=${TILEBANK_CEPH_RGW_PORT:-17480}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
root=$folder/root run=$folder/run
lib=$root/usr/lib/x86_64-linux-gnu
export CEPH_CONF=$run/ceph.conf LD_LIBRARY_PATH=$lib:$lib/ceph:$root/lib/x86_64-linux-gnu PATH=$root/usr/bin:$PATH

stop() { # the gateway first: it wants its OSD to say farewell to
  local name pid signal
  for name in radosgw osd mon; do
    [ -f "$run/$name.pid" ] || continue
    pid=$(cat "$run/$name.pid")
    for signal in TERM KILL; do # the gateway may wait for ever for an OSD that is gone
      kill -s "$signal" "$pid" 2>/dev/null || break
      for _ in $(seq 50); do
        kill -0 "$pid" 2>/dev/null || break 2
        sleep 0.1
      done
    done
    rm -f "$run/$name.pid"
  done
}

fetch() {
  [ -e "$root/.whole" ] && return
  mkdir -p "$folder/debs/partial" "$root"
  apt-get install --yes --download-only --no-install-recommends -o Debug::NoLocking=1 \
    -o Dir::Cache::archives="$folder/debs" ceph-mon ceph-osd ceph-common radosgw
  for package in "$folder"/debs/*.deb; do dpkg -x "$package" "$root"; done
  touch "$root/.whole"
}

configure() {
  rm -rf "$run"
  mkdir -p "$run/mon" "$run/osd" "$run/rgw"
  cat >"$CEPH_CONF" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = v2:127.0.0.1:$mon_port
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
ms client mode = crc
ms service mode = crc
ms cluster mode = crc
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data = $run/mon
osd data = $run/osd
osd objectstore = memstore
osd class dir = $lib/rados-classes
plugin dir = $lib/ceph
erasure code dir = $lib/ceph/erasure-code
memstore device bytes = 8589934592
rgw data = $run/rgw
rgw frontends = beast endpoint=127.0.0.1:$rgw_port
run dir = $run
keyring = $run/keyring
log file = $run/\$name.log
mon cluster log file = $run/cluster.log
admin socket = $run/\$name.asok
ms bind ipv6 = false
CONF
  touch "$run/keyring"
}

daemon() { # name, command...: in a session of its own, its id in run/name.pid
  local name=$1
  shift
  setsid "$@" >"$run/$name.out" 2>&1 </dev/null &
  echo $! >"$run/$name.pid"
}

cluster() { PYTHONPATH=$root/usr/lib/python3/dist-packages /usr/bin/python3 "$root/usr/bin/ceph" --connect-timeout 20 "$@"; }

start() {
  local key secret osd
  fetch
  stop
  configure
  monmaptool --create --addv a "v2:127.0.0.1:$mon_port" --fsid "$(sed -n 's/^fsid = //p' "$CEPH_CONF")" "$run/monmap"
  ceph-mon --mkfs -i a --monmap "$run/monmap"
  daemon mon ceph-mon -f -i a
  osd=$(cat /proc/sys/kernel/random/uuid)
  cluster osd new "$osd" >/dev/null
  ceph-osd -i 0 --mkfs --osd-uuid "$osd" 2>>"$run/osd.out"
  daemon osd ceph-osd -f -i 0
  key=testing secret=testing
  radosgw-admin user create --uid tests --display-name Tests --access-key "$key" --secret "$secret" >/dev/null
  daemon radosgw radosgw -f -n client.rgw
  for _ in $(seq 120); do
    curl --silent --fail --output /dev/null "http://127.0.0.1:$rgw_port" && break
    sleep 0.5
  done
  curl --silent --show-error --fail --output /dev/null "http://127.0.0.1:$rgw_port"
  cat >"$folder/env" <<ENV
export TILEBANK_TEST_S3_ENDPOINT=http://127.0.0.1:$rgw_port
export TILEBANK_TEST_S3_KEY=$key
export TILEBANK_TEST_S3_SECRET=$secret
ENV
  echo "a Ceph RADOS gateway answers at http://127.0.0.1:$rgw_port; the tests read $folder/env"
}

case $action in
  start) start ;;
  stop) stop ;;
  *) echo "usage: infra/ceph_rgw.sh start|stop [FOLDER]" >&2 && exit 2 ;;
esac
