#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Runs in the guest of tools/ntvm-bench --baseline: loads the modules of
# /modules by turns and measures each.
#
# usage: turns full|quick NAME...

options="--tsv --ntvm"
[ "$1" = quick ] && options="$options --quick"
shift
for name in "$@"; do
	insmod /modules/$name.ko || exit 1
	printf '@turn\t%s\n' "$name"
	bench $options || exit 1
	# The module is busy as long as the last process is being taken apart.
	n=0
	until rmmod ntvm 2>/dev/null; do
		n=$((n + 1))
		[ $n -lt 50 ] || exit 1
		sleep 0.1
	done
done
