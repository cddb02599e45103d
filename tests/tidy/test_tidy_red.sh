#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The tidy checks, tested: a small tree that keeps every rule, then one broken
# rule at a time, of which exactly the right check must complain.
# In: test_tidy.sh. Out: TAP.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
spdx='SPDX-License-Identifier: GPL-2.0-only'

put() { # FILE < text
	mkdir -p "$work/$(dirname "$1")"
	cat >"$work/$1"
}
header() { # FILE LICENCE [LINE...]
	local f=$1 guard=GHOST_${1//[^a-z]/_} tag=$2
	guard=${guard^^}
	shift 2
	{
		printf '/* SPDX-License-Identifier: %s */\n' "$tag"
		printf '#ifndef %s\n#define %s\n\n' "$guard" "$guard"
		[ $# -eq 0 ] || printf '%s\n' "$@" ''
		printf '#endif\n'
	} | put "$f"
}
clean_tree() {
	local room
	rm -rf "${work:?}"/*
	for room in abi core libghost policies tests; do
		printf '# %s\n\nSee [the top](../CHANGELOG.md).\n' $room | put $room/README.md
	done
	printf "# %s\nproject('x', 'c',\n  version: '1.2.3')\n" "$spdx" | put meson.build
	printf '# Changes\n\n## 1.2.3\n' | put CHANGELOG.md
	cp "$here/../../.clang-format" "$work/"
	header abi/txn.h 'GPL-2.0-only OR BSD-2-Clause' '#include <linux/types.h>'
	header core/txn.h 'GPL-2.0-only OR BSD-2-Clause' '#include "abi/txn.h"'
	header libghost/txn.h 'GPL-2.0-only OR BSD-2-Clause' '#include "abi/txn.h"'
	printf '// %s\n#include "libghost/txn.h"\n' "$spdx" | put policies/a.c
	printf '#!/bin/sh\n# %s\necho ok\n' "$spdx" | put tests/a.sh
}

complaints() {
	out=$(TIDY_ROOT=$work "$here/test_tidy.sh" 2>&1)
	grep '^not ok' <<<"$out" | sed 's/^not ok [0-9]* - //'
}
expect() { # SENTENCE COMPLAINT: the beginning of the one complaint, or nothing
	local got
	got=$(complaints)
	if [ "$(grep -c . <<<"$got")" = "$([ -n "$2" ] && echo 1 || echo 0)" ] && [[ $got == "$2"* ]]; then
		printf 'ok %d - %s\n' $((++n)) "$1"
	else
		printf 'not ok %d - %s\n' $((++n)) "$1"
		printf '# expected: %s\n# got: %s\n' "$2" "${got//$'\n'/; }"
	fi
	clean_tree
}

clean_tree
expect 'a tree that keeps the rules passes' ''

arrows='every include follows'
header abi/txn.h 'GPL-2.0-only OR BSD-2-Clause' '#include <stddef.h>'
expect 'abi may not include libc' "$arrows"
header core/txn.h 'GPL-2.0-only OR BSD-2-Clause' '#include <stddef.h>'
expect 'core may not include libc' "$arrows"
header libghost/txn.h 'GPL-2.0-only OR BSD-2-Clause' '#include "core/txn.h"'
expect 'libghost may not include core' "$arrows"
printf '// %s\n#include <bpf/libbpf.h>\n' "$spdx" | sed 's/GPL-2.0-only/& OR BSD-2-Clause/' | put libghost/txn.c
expect 'libbpf is for one file of libghost' "$arrows"
printf '// %s\n#include <bpf/libbpf.h>\n' "$spdx" | sed 's/GPL-2.0-only/& OR BSD-2-Clause/' | put libghost/backend_bpf.c
expect 'and that file may include it' ''
printf '// %s\n#include <time.h>\n' "$spdx" | put policies/a.c
expect 'a policy has no clock' "$arrows"
printf '// %s\n#include "policies/b.c"\n' "$spdx" | put policies/a.c
expect 'a policy knows no other policy' "$arrows"
printf '// %s\n#include "libghost/txn.h"\n' "$spdx" | put policies/a.bpf.c
expect 'a policy in the kernel knows no library' "$arrows"
printf '// %s\n#include "txn.h"\n' "$spdx" | put policies/a.c
expect 'an include names its room' "$arrows"
printf '// %s\n#include "core/txn.h"\n#include "libghost/txn.h"\n' "$spdx" | put tests/unit/test_txn.c
expect 'a unit test is about one room' "$arrows"

names='only abi and the headers'
header core/txn.h 'GPL-2.0-only OR BSD-2-Clause' '#define GHOST_X 1'
expect 'core may not define a GHOST_ macro' "$names"
printf '// %s\nint ghost_x(void)\n{\n\treturn 0;\n}\n' "$spdx" | put policies/a.c
expect 'a policy may not define a ghost_ function' "$names"

header abi/txn.h 'GPL-2.0-only OR BSD-2-Clause' '#include <linux/types.h>' && sed -i 's/TXN_H/TX_H/' "$work/abi/txn.h"
expect 'a guard tells room and noun' 'every header has the guard'
header libghost/txn.h 'GPL-2.0-only OR BSD-2-Clause' 'extern uint32_t x;'
expect 'a header includes what it uses' 'every header compiles alone, natively'
printf '/* fix''me: FIX''ME */\n' >>"$work/policies/a.c"
expect 'words for undone work are refused' 'no word stands'
printf '/* TO''DO(#12): later */\n' >>"$work/policies/a.c"
expect 'unless they carry a number' ''
printf 'Lies in /wor''k/x.\n' >>"$work/abi/README.md"
expect 'places on one machine are refused' 'no file names a place'
header abi/txn.h 'GPL-2.0-only' '#include <linux/types.h>'
expect 'the contract carries the dual licence' 'every source file carries'
printf '#!/bin/sh\necho ok\n' | put tests/a.sh
expect 'a script without a tag is refused' 'every source file carries'
rm "$work/core/README.md"
expect 'a room without a README is refused' 'every room has'
printf '# Changes\n\n## 1.2.4\n' | put CHANGELOG.md
expect 'the changelog and the version agree' 'the version is'
printf '[gone](nowhere.md)\n' >>"$work/abi/README.md"
expect 'a dead link is refused' 'every relative link'
suite() { # CASE...
	printf '// %s\n' "$spdx"
	printf '/*\n * CASE(%s)\n */\n' "$@"
}
suite case_a case_b | put tests/contract/policy.c
printf '| a | `case_a` | passes |\n| b | `case_b` | passes |\n| c | `case_c` | to come |\n' | put docs/conformance.md
printf '# docs\n' | put docs/README.md
expect 'a page about conformance that lists the cases passes' ''
conformance='the page about conformance'
suite case_a | put tests/contract/policy.c
expect 'a case that is not listed is refused' "$conformance"
printf '# docs\n' | put docs/README.md
printf '| a | `case_a` | passes |\n' | put docs/conformance.md
expect 'a case that is listed and not there is refused' "$conformance"
printf '# docs\n' | put docs/README.md
suite case_a | put tests/contract/policy.c
printf '| a | `case_a` | to come |\n' | put docs/conformance.md
expect 'a case that has come is not still to come' "$conformance"
printf 'blank \n' >>"$work/abi/README.md"
expect 'blanks at the end of a line are refused' 'no line ends'
if type -P shellcheck >/dev/null; then
	# shellcheck disable=SC2016 # this is the bad script, not ours
	printf '#!/bin/sh\n# %s\ncd $1\n' "$spdx" | put tests/a.sh
	expect 'a script that shellcheck refuses is refused' 'every shell script'
fi
if type -P clang-format-19 >/dev/null; then
	printf '// %s\nint  x;\n' "$spdx" | put policies/a.c
	expect 'a file of another style is refused' 'every C file is formatted'
fi

printf '1..%d\n' $n
