#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Tests of the vector runner: what it must refuse and what it must take. A runner
# that skips what it does not understand would report success for a test that
# never ran. Needs no module: files are only parsed. Reports in KTAP.
#
# usage: test_runner.sh [NTVEC]

here=$(cd "$(dirname "$0")" && pwd)
ntvec=${1:-$here/../../build/selftests/ntvec}
vectors=$here/../vectors
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# Most tests run at the end of a pipe, in a shell of their own: results are
# collected in a file and numbered at the end.
report() { # name, 0 if passed, text
	if [ "$2" -eq 0 ]; then
		echo "ok $1"
	else
		echo "not ok $1"
		echo "$3" | sed 's/^/# /'
	fi >> "$tmp/results"
}

# Runs "$ntvec --parse-only" on standard input; wants exit status $2 and the
# pattern $3 in a line of the output.
parse() {
	cat > "$tmp/t.ntvec"
	out=$("$ntvec" --parse-only "$tmp/t.ntvec" 2>&1)
	ret=$?
	if [ $ret -eq "$2" ] && echo "$out" | grep -q "$3"; then
		report "$1" 0
	else
		report "$1" 1 "exit status $ret, wanted $2 and \"$3\" in:
$out"
	fi
}

good() { # name: standard input is well formed
	parse "$1" 0 '^ok 1 '
}

bad() { # name, line, message
	parse "$1" 1 "^not ok [0-9]* .*t\.ntvec:$2: .*$3"
}

head='T001 area src W'
alloc='  alloc 0 0 0x1000 RESERVE READWRITE => SUCCESS'

# --- what must be taken
printf '%s\n' "$head" "$alloc" | good plain
printf '%s\r\n' "$head" "$alloc" | good crlf
printf '%s\n%s' "$head" "$alloc" | good no_final_newline
printf '\357\273\277%s\n%s\n' "$head" "$alloc" | good byte_order_mark
printf '%s\n\t%s\n' "$head" "${alloc#  }" | good tab_indent
printf '# c\n\n  # c\n%s\n\n# c\n%s # c\n\n' "$head" "$alloc" | good comments_and_blank_lines
printf '%s\n%s\n' "$head need=view,zz mode=documented quirk=x repeat" "$alloc" | good header_keys
printf '%s\n%s\n' "$head repeat=7 mode=windows" "$alloc" | good repeat_count
printf '%s\n%s\n%s\n%s\n' "$head" "$alloc" "$head" "$alloc" |
	parse same_id_twice 0 '^ok 2 T001 area'
printf '%s\n%s as=a\n%s\n' "$head" "$alloc" '  free a+0x1000-16 0x10 RELEASE h=bad => A|B' |
	bad unknown_status_of_two 3 'unknown status "A"'
printf '%s\n%s as=a\n%s\n' "$head" "$alloc" '  free a+0x1000-16 0x10 RELEASE h=bad => ~INVALID_HANDLE|fail w32=6|87 same' |
	good statuses
printf '%s\n%s\n' "$head" '  free p=null p=null 0xFFFFBFFF h=0 => 0xC00000F2' | good null_pointers
printf '%s\n%s\n' "$head" '  free p=null DECOMMIT => ACCESS_VIOLATION' | good one_null_for_both
printf '%s\n%s\n' "$head" '  alloc 0 0 p=null RESERVE READWRITE => ACCESS_VIOLATION' | good null_size
printf '%s\n%s\n' "$head" '  prot B 0x1000 READONLY p=null => ACCESS_VIOLATION' | good null_old
printf '%s\n%s\n' "$head" '  alloc KERN 0 MAX COMMIT|0x2000 READWRITE|GUARD => fail base=APPMAX|IMG size=MAX' | good symbols
printf '%s\n%s\n' "$head" '  alloc 0 0 0x1000 COMMIT NOACCESS => SUCCESS as=a base=a align=0x10000 below=MAX atleast=1 endle=APPMAX' | good bounds
printf '%s\n%s\n%s\n' "$head" '  query 0 len=short h=0 => INFO_LENGTH_MISMATCH same' \
	'  query 0 => SUCCESS ba=0 ab=0 ap=0 rs=1|2 st=COMMIT|FREE pr=READWRITE|GUARD ty=PRIVATE|0 len=48' | good query
printf '%s\n%s\n%s\n%s\n%s\n%s\n' "$head" '  rd B => SUCCESS val=0x55|0' '  wr B 255 => SUCCESS' \
	'  wr4 B 0xFFFFFFFF => GUARD_PAGE_VIOLATION' '  wrstride B 0x2000 16 1 => IN_PAGE_ERROR' \
	'  win32free B 0x1000 RELEASE => fail w32=87' | good access
printf '%s\n%s\n%s\n%s\n' "$head" '  gww B 0x1000 64 RESET p=nullgran => SUCCESS list= n=0' \
	'  gww B 0x1000 64 0 => SUCCESS list=B,B+0x1000' '  rww B 0 => fail' | good watch
printf '%s\n%s\n%s\n%s\n%s\n' "$head" '  allocx 0 0x1000 RESERVE NOACCESS lo=0 hi=APPMAX align=0 attr=0 dup=1 ptype=max count=1 params=null => INVALID_PARAMETER' \
	'  mapview 0 0x1000 RESERVED_SECTION|0x40000000 READWRITE => SUCCESS as=v' \
	'  mapview 0 0x1000 same READONLY => SUCCESS as=w' '  unmap v PRESERVE_PLACEHOLDER => SUCCESS' | good sections
printf '%s\n%s\n%s\n%s\n%s\n%s\n' "$head" '  setvminfo class=0 n=2 entry=0,0x1000 entry=B,1 info=ok len=4 => SUCCESS' \
	'  wsx none len=0 => INFO_LENGTH_MISMATCH' '  imageinfo B len=short => SUCCESS base=0 size=0 flags=0' \
	'  rdvm B 1 from=B to=B h=0 => PARTIAL_COPY n=0' '  setstack B B B => SUCCESS' | good not_built_yet
for f in "$vectors"/*.ntvec; do
	good "file_$(basename "$f" .ntvec)" < "$f"
done

# --- what must be refused, with the line that is wrong
printf '' | parse empty_file 1 '^not ok 1 .*t\.ntvec: no vector'
printf '# only\n\n  # comments\n' | parse comment_only 1 '^not ok 1 .*no vector'
printf '%s\n' "$head" | bad no_step 1 'without a step'
printf '%s\n%s\n%s\n' "$head" "$head" "$alloc" | bad first_without_step 1 'without a step'
printf '%s\n%s\n%s\n' "$alloc" "$head" "$alloc" | bad step_before_header 1 'no vector'
printf '%s\n%s\n' "$head" '  frobnicate 0 => SUCCESS' | bad unknown_op 2 'unknown operation "frobnicate"'
printf '%s need=view\n%s\n' "$head" '  frobnicate 0 => SUCCESS' | bad unknown_op_though_skipped 2 'unknown operation'
printf '%s\n%s\n' "$head" '  alloc 0 0 0x1000 RESERVE READWRITE' | bad no_arrow 2 'no "=>"'
printf '%s\n%s\n' "$head" '  alloc 0 0 0x1000 RESERVE READWRITE =>' | bad no_status 2 'no status'
printf '%s\n%s\n' "$head" '  alloc 0 0 0x1000 RESERVE => SUCCESS' | bad short_of_arguments 2 'needs 5 arguments'
printf '%s\n%s\n' "$head" '  alloc 0 0 0x1000 RESERVE READWRITE 1 => SUCCESS' | bad too_many_arguments 2 'one argument too many'
printf '%s\n%s\n' "$head" '  alloc 0 0 0x1000 RESERV READWRITE => SUCCESS' | bad unknown_type 2 'unknown constant "RESERV"'
printf '%s\n%s\n' "$head" '  alloc 0 0 0x1000 RESERVE RW => SUCCESS' | bad unknown_protection 2 'unknown constant "RW"'
printf '%s\n%s\n' "$head" '  alloc 0 0 0x1000 RESERVE| READWRITE => SUCCESS' | bad empty_constant 2 'unknown constant ""'
printf '%s\n%s\n' "$head" '  alloc 0 0 0x1000 0x100000000 READWRITE => SUCCESS' | bad wide_flags 2 'wider than 32'
printf '%s\n%s\n' "$head" '  alloc 0 0 0x RESERVE READWRITE => SUCCESS' | bad bare_0x 2 'bad number'
printf '%s\n%s\n' "$head" '  alloc 0 0 12ab RESERVE READWRITE => SUCCESS' | bad hex_without_0x 2 'bad number'
printf '%s\n%s\n' "$head" '  alloc 0 0 0x1FFFFFFFFFFFFFFFF RESERVE READWRITE => SUCCESS' | bad number_too_large 2 'too large'
printf '%s\n%s\n' "$head" '  alloc B+ 0 1 RESERVE READWRITE => SUCCESS' | bad dangling_plus 2 'bad number'
printf '%s\n%s\n' "$head" '  wr B 256 => SUCCESS' | bad byte_too_large 2 'too large'
printf '%s\n%s\n' "$head" '  free a 0 RELEASE => SUCCESS' | bad unbound_name 2 'unknown name "a"'
printf '%s\n%s\n' "$head" "$alloc as=B" | bad name_of_a_symbol 2 'bad name'
printf '%s\n%s as=a as=b\n' "$head" "$alloc" | bad key_twice 2 'given twice'
printf '%s\n%s\n' "$head" "$alloc foo=1" | bad unknown_result_key 2 'unknown key "foo"'
printf '%s\n%s\n' "$head" "$alloc old=1" | bad result_key_of_another_op 2 'unknown key "old"'
printf '%s\n%s\n' "$head" "$alloc sane" | bad unknown_result_word 2 'unknown word "sane"'
printf '%s\n%s\n' "$head" "$alloc base=" | bad empty_value 2 'no value'
printf '%s\n%s\n' "$head" '  free 0 0 RELEASE h=1 => SUCCESS' | bad unknown_handle 2 'unknown value "1"'
printf '%s\n%s\n' "$head" '  free 0 0 RELEASE x=1 => SUCCESS' | bad unknown_argument_key 2 'unknown key "x"'
printf '%s\n%s\n' "$head" '  query 0 => SUCCESS st=BUSY' | bad unknown_state 2 'unknown constant "BUSY"'
printf '%s\n%s\n' "$head" '  rd 0 => NO_SUCH_STATUS' | bad unknown_status 2 'unknown status'
printf '%s\n%s\n' "$head" '  rd 0 => SUCCESS|' | bad empty_status 2 'unknown status ""'
printf '%s\n%s\n' 'T001 area src' "$alloc" | bad no_confidence 1 'no confidence'
printf '%s\n%s\n' 'T001 area src need=view' "$alloc" | bad key_for_confidence 1 'no confidence'
printf '%s\n%s\n' "$head foo" "$alloc" | bad unknown_header_word 1 'unknown word "foo"'
printf '%s\n%s\n' "$head foo=1" "$alloc" | bad unknown_header_key 1 'unknown key "foo"'
printf '%s\n%s\n' "$head mode=linux" "$alloc" | bad unknown_mode 1 'unknown mode'
printf '%s\n%s\n' "$head need=" "$alloc" | bad empty_need 1 'no value'
printf '%s\n%s\n' "$head repeat=0" "$alloc" | bad no_rounds 1 'bad number of rounds'
printf '%s\n%s\000\n' "$head" "$alloc" | bad zero_byte 2 'a zero byte'
printf '%s\n%s\nrubbish\n' "$head" "$alloc" | bad rubbish_line 3 'no area'
printf '%s\n%s\n%s\n%s\n' "$head" '  oops => SUCCESS' "$head" "$alloc" |
	parse bad_vector_spares_next 1 '^ok 2 T001 area'

# --- the command line
try() { # name, wanted status, arguments
	name=$1
	want=$2
	shift 2
	out=$("$ntvec" "$@" 2>&1)
	ret=$?
	report "$name" $((ret != want)) "exit status $ret, wanted $want: $out"
}
printf '%s\n%s\n' "$head" "$alloc" > "$tmp/good.ntvec"
try no_arguments 2
try unknown_option 2 --frobnicate "$tmp/good.ntvec"
try unknown_contract 2 --contract linux "$tmp/good.ntvec"
try help 0 --help
try missing_file 1 --parse-only "$tmp/missing.ntvec"
try directory 1 --parse-only "$tmp"
try list 0 --list "$tmp/good.ntvec"
try only_known 0 --parse-only --only T001 "$tmp/good.ntvec"
try only_unknown 2 --parse-only --only T002 "$tmp/good.ntvec"
out=$("$ntvec" --parse-only "$tmp/good.ntvec" "$tmp/missing.ntvec" "$tmp/good.ntvec")
echo "$out" | grep -q '^1\.\.3$' && echo "$out" | grep -q '^ok 3 ' &&
	echo "$out" | grep -q '^# Totals: pass:2 fail:1 '
report plan_over_all_files $? "$out"

echo "KTAP version 1"
echo "1..$(grep -c '^ok \|^not ok ' "$tmp/results")"
awk '/^ok /{ $1 = "ok " ++nr } /^not ok /{ $2 = "ok " ++nr } { print }' "$tmp/results"
! grep -q '^not ok ' "$tmp/results"
