#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The test runner, tested: it is fed programs that go wrong in every way it
# claims to notice, and must turn red with the right counts.
# In: tests/run. Out: TAP.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runner=$here/../run
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
ok() { printf 'ok %d - %s\n' $((++n)) "$1"; }
not_ok() {
	printf 'not ok %d - %s\n' $((++n)) "$1"
	shift
	printf '%s\n' "$@" | sed 's/^/# /'
}

# A fresh tree whose only program is the script read from stdin.
program() { # NAME
	rm -rf "$work/tests" "$work/build"
	mkdir -p "$work/tests/unit" "$work/build/tests/unit"
	add_program "$1"
}
add_program() {
	{
		printf '#!/bin/bash\n'
		cat
	} >"$work/tests/unit/$1"
	chmod +x "$work/tests/unit/$1"
}
run() {
	out=$("$runner" --tests "$work/tests" --build "$work/build" "$@" 2>&1)
	rc=$?
	last=$(tail -n1 <<<"$out")
}

# The last line and the colour: red is any non-zero status.
expect() { # SENTENCE COLOUR LAST-LINE [TEXT that must appear]
	run unit
	local colour=green
	[ $rc = 0 ] || colour=red
	if [ $colour != "$2" ] || [ "$last" != "$3" ]; then
		not_ok "$1" "expected $2, $3" "got $colour, $last" "$out"
	elif [ -n "${4-}" ] && ! grep -qF -- "$4" <<<"$out"; then
		not_ok "$1" "no '$4' in:" "$out"
	else
		ok "$1"
	fi
}

program test_a.sh <<<'echo 1..2; echo ok 1 - a; echo ok 2 - b'
expect 'passing cases are counted and the run is green' green '2 passed, 0 failed, 0 skipped'

program test_a.sh <<<'echo TAP version 13; echo ok 1 - a; echo 1..1'
expect 'a plan at the end is a plan' green '1 passed, 0 failed, 0 skipped'

program test_a.sh <<<'echo 1..2; echo ok 1 - a; echo "not ok 2 - two is wrong"; echo "# because"; exit 1'
expect 'a failing case turns the run red, once' red '1 passed, 1 failed, 0 skipped' 'because'

program test_a.sh <<<'echo 1..1; echo "not ok 1 - a"'
expect 'a failing case in a program that exits 0 turns the run red' red '0 passed, 1 failed, 0 skipped'

program test_a.sh <<<'echo 1..1; echo "not ok 1 - a # TO""DO later"'
expect 'a failure cannot be excused' red '0 passed, 1 failed, 0 skipped'

program test_a.sh <<<'echo 1..1; echo ok 1 - a; exit 3'
expect 'a non-zero exit without a failing case is a failure' red '1 passed, 1 failed, 0 skipped' 'status 3'

program test_a.sh <<<'echo 1..2; echo ok 1 - a; kill -SEGV $$'
expect 'a program that dies is a failure, beside the cases it owes' red '1 passed, 2 failed, 0 skipped' 'signal 11'

program test_a.sh <<<'echo 1..1; echo ok 1 - a; kill -KILL $$'
expect 'a program that dies after its last case is a failure' red '1 passed, 1 failed, 0 skipped'

program test_a.sh <<'END'
# limit: 1
echo 1..2; echo ok 1 - a
trap '' TERM
sleep 60
echo ok 2 - b
END
t0=$SECONDS
expect 'a program that hangs, and ignores TERM, is ended at its limit' red '1 passed, 1 failed, 0 skipped' 'after 1 s'
if ((SECONDS - t0 <= 10)); then ok 'and soon'; else not_ok 'and soon' "took $((SECONDS - t0)) s"; fi

program test_a.sh <<END
echo 1..1; echo ok 1 - a
sleep 1000 &
echo \$! >"$work/left"
END
run unit
read -r left <"$work/left"
sleep 0.1
# Not every init reaps at once: a zombie has ended too.
if [ -e "/proc/$left" ] && ! grep -q '^State:.Z' "/proc/$left/status"; then
	not_ok 'what a program leaves running is ended' "$out"
else
	ok 'what a program leaves running is ended'
fi

program test_a.sh <<<'exit 0'
expect 'a program that prints nothing is a failure' red '0 passed, 1 failed, 0 skipped' 'printed no TAP'

program test_a.sh <<<'echo all is well'
expect 'a program that prints no TAP is a failure' red '0 passed, 1 failed, 0 skipped' 'printed no TAP'

program test_a.sh <<<'echo ok 1 - a'
expect 'results without a plan are a failure' red '1 passed, 1 failed, 0 skipped' 'no plan'

program test_a.sh <<<'echo 1..3; echo ok 1 - a; echo ok 2 - b'
expect 'fewer results than planned are a failure' red '2 passed, 1 failed, 0 skipped' 'ran 2 of 3'

program test_a.sh <<<'echo 1..1; echo ok 1 - a; echo ok 2 - b'
expect 'more results than planned are a failure' red '2 passed, 1 failed, 0 skipped' 'ran 2 of 1'

program test_a.sh <<<'echo 1..3; echo ok 1 - a; echo "Bail out! no disk"; exit 1'
expect 'a bail-out is a failure' red '1 passed, 1 failed, 0 skipped' 'no disk'

program test_a.sh <<<'echo 1..2; echo ok 1 - a; echo "ok 2 - b # SKIP needs two CPUs"'
expect 'a skipped case is no pass, and its reason is told' green '1 passed, 0 failed, 1 skipped' 'needs two CPUs'

program test_a.sh <<<'echo 1..2; echo ok 1 - a; echo "ok 2 - b # SKIP"'
expect 'a skip without a reason is a failure' red '1 passed, 1 failed, 0 skipped' 'without a reason'

program test_a.sh <<<'echo 1..2; echo ok 1 - a; echo "# needs two CPUs"; echo "not ok 2 # SKIP test_b"'
expect 'the skip of cmocka is a skip, its reason the line before' green '1 passed, 0 failed, 1 skipped' 'needs two CPUs'

program test_a.sh <<<'echo 1..1; echo ok 1 - a; echo 1..2; echo ok 1 - b; echo ok 2 - c'
expect 'the plans of several cmocka groups add up' green '3 passed, 0 failed, 0 skipped'

program test_a.sh <<<'echo "1..0 # SKIP no such machine"'
expect 'a run in which all was skipped is red' red '0 passed, 0 failed, 1 skipped' 'no such machine'

add_program test_b.sh <<<'echo 1..1; echo ok 1 - b'
expect 'a program that skips itself does not spoil the others' green '1 passed, 0 failed, 1 skipped'

program test_a.sh <<<'echo no such machine; exit 77'
add_program test_b.sh <<<'echo 1..1; echo ok 1 - b'
expect 'status 77 with a reason is a skip' green '1 passed, 0 failed, 1 skipped' 'no such machine'

program test_a.sh <<<'exit 77'
expect 'status 77 without a reason is a failure' red '0 passed, 1 failed, 0 skipped'

program test_a.sh <<<'echo 1..1; echo ok 1 - a; exit 99'
expect 'status 99 is a failure' red '1 passed, 1 failed, 0 skipped' 'harness'

program test_a.sh <<<'echo 1..1; echo ok 1 - a'
chmod -x "$work/tests/unit/test_a.sh"
expect 'a script that cannot be executed is a failure' red '0 passed, 1 failed, 0 skipped'

program test_a.sh <<<'echo 1..1; echo ok 1 - a'
touch "$work/tests/unit/test_b.c"
expect 'a C test that was not built is a failure' red '1 passed, 1 failed, 0 skipped' 'not built'

program test_a.sh <<<'echo 1..1; echo ok 1 - a'
printf '#!/bin/sh\necho 1..1\necho ok 1 - b\n' >"$work/build/tests/unit/test_b"
chmod +x "$work/build/tests/unit/test_b"
mkdir "$work/build/tests/unit/test_b.p"
expect 'built programs run beside scripts' green '2 passed, 0 failed, 0 skipped'

rm -rf "$work/tests" "$work/build"
mkdir -p "$work/tests"
expect 'a run without programs is red' red '0 passed, 0 failed, 0 skipped'

program test_a.sh <<<'echo 1..1; echo ok 1 - a'
add_program test_b.sh <<<'echo 1..1; echo not ok 1 - b'
run --only 'unit/test_a' unit
if [ $rc = 0 ] && [ "$last" = '1 passed, 0 failed, 0 skipped' ]; then
	ok 'one program can be picked'
else
	not_ok 'one program can be picked' "$out"
fi

run --json "$work/result.json" unit
if grep -q '"passed": 1, "failed": 1, "skipped": 0' "$work/result.json" &&
	grep -q '"program": "test_b".*"case": "b", "result": "failed"' "$work/result.json"; then
	ok 'the result is there as JSON, case by case'
else
	not_ok 'the result is there as JSON, case by case' "$(cat "$work/result.json")"
fi

program test_a.sh <<<'echo 1..1; echo ok 1 - a'
mkdir "$work/tests/unit/deep"
add_program deep/test_c.sh <<<'echo 1..1; echo ok 1 - c'
run --json "$work/result.json" unit
if [[ $out != *sed:* ]] && grep -q '"program": "deep/test_c".*"case": "c", "result": "passed"' "$work/result.json"; then
	ok 'programs in folders below are in the JSON, too'
else
	not_ok 'programs in folders below are in the JSON, too' "$out" "$(cat "$work/result.json")"
fi

run no-such-tier
if [ $rc = 2 ]; then ok 'an unknown tier is a usage error'; else not_ok 'an unknown tier is a usage error' "$out"; fi

printf '1..%d\n' $n
