#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Runs test programs one after the other inside a guest and prints KTAP: what a
# program prints becomes a comment, its exit status the result. One that hangs
# is killed, one that leaves the module in use has failed, and the kernel log
# tells which test ran when the kernel complained. BusyBox is all it needs.
#
# usage: run_guest.sh [-t SECONDS] "PROGRAM [ARG...]"...

limit=120
if [ "$1" = -t ]; then
	limit=$2
	shift 2
fi

references() {
	cat /sys/module/ntvm/refcnt 2>/dev/null || echo 0
}

echo "KTAP version 1"
echo "1..$#"
i=0
failed=0
for test in "$@"; do
	i=$((i + 1))
	set -- $test
	name=$(basename "$1")
	case $1 in
	*/tests32/*) name=$name-32 ;;
	esac
	echo "# begin $name"
	echo "<6>ntvm-test: $name" >/dev/kmsg
	rm -f /tmp/timeout
	{
		"$@" </dev/null &
		pid=$!
		(
			# No sleep may outlive the test and hold the pipe; nor may one
			# start now and then, as tests look at what is charged to all.
			exec </dev/null >/dev/null 2>&1
			trap 'kill $sleep; exit' TERM
			sleep $limit &
			sleep=$!
			wait $sleep
			: >/tmp/timeout
			kill -KILL $pid
		) &
		watchdog=$!
		wait $pid
		echo $? >/tmp/status
		kill $watchdog
		# The harness runs each case in a child, which may be left.
		for p in /proc/[0-9]*; do
			[ "$(readlink $p/exe)" = "$1" ] && kill -KILL "${p#/proc/}"
		done
	} 2>&1 | sed 's/^/# /'
	status=$(cat /tmp/status)

	n=0
	while [ "$(references)" != 0 ] && [ $n -lt 20 ]; do
		n=$((n + 1))
		sleep 0.1
	done
	left=$(references)
	if [ -e /tmp/timeout ]; then
		result="not ok $i $name # timeout after $limit s"
	elif [ "$left" != 0 ]; then
		result="not ok $i $name # leaves $left references to the module"
	elif [ $status -eq 0 ]; then
		result="ok $i $name"
	elif [ $status -eq 4 ]; then
		result="ok $i $name # SKIP"
	elif [ $status -gt 128 ]; then
		result="not ok $i $name # killed by signal $((status - 128))"
	else
		result="not ok $i $name # exit=$status"
	fi
	echo "$result"
	case $result in
	not*) failed=1 ;;
	esac
done
exit $failed
