#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The fuzz target of the same name as a unit test: from nothing, with the same
# random numbers each time, for NTVM_FUZZ_SECONDS (10). Hardly a run at all, on
# whatever machine, is a failure too. Says KTAP.

set -u
name=$(basename "$0")
dir=$(cd "$(dirname "$0")/../fuzz-pure" && pwd) || exit 1
log=$dir/$name.log

echo "TAP version 13"
echo "1..1"
"$dir/$name" -seed=1 -max_total_time="${NTVM_FUZZ_SECONDS:-10}" -max_len=1024 -len_control=0 \
	-print_final_stats=1 -artifact_prefix="$dir/$name-" >"$log" 2>&1
status=$?
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
if [ $status -ne 0 ] || [ "${runs:-0}" -lt 100 ]; then
	grep -vE '^#[0-9]+|^INFO' "$log" | tail -n 25 | sed 's/^/# /'
	echo "not ok 1 - $name # status $status, ${runs:-no} executions"
	exit 1
fi
echo "ok 1 - $name # $runs executions"
