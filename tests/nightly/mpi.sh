#!/bin/sh
# SPDX-License-Identifier: MIT
# The long forms of tests/cli/test_mpi.sh: ranks killed and stopped at many points, resumed with as many, half as many and one;
# then two hosts, which are network namespaces with addresses and names of their own (as root, with iproute2).
# KILLS and STOPS: points for each number of ranks (50, 20); GUIDED_BINARY: the program (default build/guided).
set -u
here=$(cd "$(dirname "$0")" && pwd)
: "${GUIDED_BINARY:=$here/../../build/guided}"
: "${GUIDED_MODELS:=$here/../../models}"
export GUIDED_BINARY GUIDED_MODELS
. "$here/../cli/ranks.sh"

# ---- many points ----

# Continued from where it ended by as many ranks: to the bit.  By fewer: within rounding.
continue_run() {
    count=$1 name=$2
    at=$(step_of "$name")
    [ -e "unbroken$count-$((at + 3))" ] || {
        # shellcheck disable=SC2086
        expect 0 "" ranks "$count" $begin --save-interval 3 --iterations $((at + 3)) --out "unbroken$count-$((at + 3))"
    }
    for fewer in $((count / 2)) 1; do
        rm -rf fewer && cp -r "$name" fewer
        expect 0 "" ranks $fewer train --iterations $((at + 3)) --resume fewer
        found=$(difference "unbroken$count-$((at + 3))" fewer)
        echo "$found" | awk '{ exit !($1 > 100000 && $2 < 1e-4) }' || fail "$name by $fewer ranks: $found"
    done
    expect 0 "" ranks "$count" train --iterations $((at + 3)) --resume "$name"
    [ "$(hash_of "$name")" = "$(hash_of "unbroken$count-$((at + 3))")" ] || fail "$name from step $at: other parameters"
}

points() {
    signal=$1 most=$2 number=$3
    for count in 2 4; do
        i=0
        while [ $i -lt "$number" ]; do
            later=0.0$((i * 7 % 10))
            end_one "$count" "$signal" $((i % count)) "$signal-$count" "$most"
            # on a loaded machine another one may be late too
            [ "$signal" = KILL ] || grep -q "no answer for 2 s from .*rank $((i % count)) (pid $pid on" err.txt || fail "not named: $(cat err.txt)"
            continue_run "$count" "$signal-$count"
            i=$((i + 1))
        done
        echo "$signal: $number points of $count ranks, $failures failures"
    done
}
points KILL 10 "${KILLS:-50}"
points STOP 12 "${STOPS:-20}"

# ---- two hosts ----

[ "$(id -u)" = 0 ] && command -v ip >/dev/null && ip netns add guided-a 2>/dev/null ||
    { echo "two hosts: passed over: needs root, iproute2 and network namespaces"; exit $((failures > 0)); }
trap 'ip netns del guided-a; ip netns del guided-b; rm -rf "$dir"' EXIT
ip netns add guided-b
ip link add guided-a netns guided-a type veth peer name guided-b netns guided-b
n=1
for host in a b; do
    ip netns exec guided-$host ip addr add 10.77.0.$n/24 dev guided-$host
    ip netns exec guided-$host ip link set guided-$host up
    ip netns exec guided-$host ip link set lo up
    n=2
done
# In place of ssh: Open MPI calls it with the host and the command.  Where there is a file `hide`, the host has no images.
cat >agent <<END
#!/bin/sh
shift
exec ip netns exec guided-b unshare --uts --mount sh -c "hostname guided-b; [ ! -e $dir/hide ] || mount -t tmpfs none $dir/images; \$*"
END
chmod +x agent
two_hosts() {
    timeout 120 ip netns exec guided-a unshare --uts sh -c 'hostname guided-a; exec "$@"' sh \
        mpiexec --mca plm_rsh_agent "$dir/agent" --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 \
        --host 10.77.0.1:1,10.77.0.2:1 -n 2 -x GUIDED_MODELS "$g" "$@"
}
# shellcheck disable=SC2086
{
    expect 0 "2 ranks on 2 hosts" two_hosts $run --out hosts
    cat err.txt
    expect 0 "" ranks 2 $run --out host
    [ "$(hash_of hosts)" = "$(hash_of host)" ] || fail "two hosts and one: other parameters"
}

end_host() {
    what=$1 name=$2 most=$3
    shift 3
    # shellcheck disable=SC2086
    two_hosts $begin --iterations 100000 --save-interval 3 --deadline 3 --out "$name" >out.txt 2>err.txt &
    job=$!
    while [ ! -e "$name/checkpoint-000000009.safetensors" ] && kill -0 $job 2>/dev/null; do sleep 0.02; done
    pid=$(pids_of "$name" | sed -n 2p)
    began=$(date +%s)
    "$@" || fail "$what: not done"
    wait $job
    found=$?
    took=$(($(date +%s) - began))
    [ $found -ne 0 ] && [ $found -ne 124 ] || fail "$what: exit $found"
    [ $took -le "$most" ] || fail "$what: $took s"
    sleep 1
    left=$(pids_of "$name")
    [ -z "$left" ] || fail "$what: left behind: $left"
    echo "$what: ended in $took s with $found"
}
kill_second() { kill -9 "$pid"; }
stop_second() { kill -STOP "$pid"; }
end_host "rank of another host killed" far-kill 10 kill_second
end_host "rank of another host stopped" far-stop 13 stop_second
grep -q "no answer for 3 s from rank 1 (pid $pid on guided-b)" err.txt || fail "not named: $(cat err.txt)"
expect 0 "" two_hosts train --iterations $(($(step_of far-stop) + 3)) --resume far-stop

# A host without the images
touch hide
# shellcheck disable=SC2086
expect 3 "rank 1 on guided-b: images: holds no images" two_hosts $run --out x1
exit $((failures > 0))
