# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What the tests of bench/ share: TAP of commands that succeed, or end as they
# should. In: $work, a folder. Out: TAP lines; the caller prints the plan, $n.

work=${work:?a folder}
n=0
result() { # STATUS SENTENCE: with what was said, if it is not true
	if [ "$1" = 0 ]; then
		printf 'ok %d - %s\n' $((++n)) "$2"
	else
		sed 's/^/# /' "$work/said"
		printf 'not ok %d - %s\n' $((++n)) "$2"
	fi
}
check() { # SENTENCE COMMAND...: true if the command succeeds
	local sentence=$1
	shift
	"$@" >"$work/said" 2>&1
	result $? "$sentence"
}
skip() { printf 'ok %d - %s # SKIP %s\n' $((++n)) "$1" "$2"; }
ends() { # STATUS WORDS COMMAND...: ends so and says so
	local want=$1 words=$2 status said
	shift 2
	said=$("$@" 2>&1)
	status=$?
	printf 'status %d\n%s\n' $status "$said"
	[ $status = "$want" ] && [[ $said == *"$words"* ]]
}
