#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What `make install` installs is enough to write a policy with: the example
# compiles against it alone, and installed programs run.
# In: a built tree. Out: TAP; everything below a temporary folder.
set -uo pipefail
export LC_ALL=C.UTF-8
root=${GHOST_TESTS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${GHOST_TESTS_BUILD:-$root/build}
[ -e "$build/build.ninja" ] || { printf '1..0 # SKIP no build folder of meson\n'; exit; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
check() { # SENTENCE COMMAND...
	local sentence=$1
	shift
	if "$@" >"$work/said" 2>&1; then
		printf 'ok %d - %s\n' $((++n)) "$sentence"
	else
		printf 'not ok %d - %s\n' $((++n)) "$sentence"
		tail -n 20 "$work/said" | sed 's/^/# /'
	fi
}

check 'meson install works' env DESTDIR="$work/root" meson install -C "$build" --no-rebuild --quiet
pc=$(find "$work/root" -name libghost.pc)
prefix=$(sed -n 's/^prefix=//p' "$pc" 2>/dev/null)
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=
flags() { # in the folder where it lies now, not where it would
	pkg-config --define-variable=prefix="$work/root$prefix" "$@" libghost
}
check 'pkg-config knows libghost' flags --cflags --libs

printf '#include "policies/runq.h"\n' | cat - "$root/docs/examples/hello_policy.c" >"$work/hello.c"
compile() {
	# shellcheck disable=SC2046 # words are what is wanted
	cc -D_GNU_SOURCE -Wall -Werror -o "$work/hello" "$work/hello.c" $(flags --cflags --libs)
}
check 'the example compiles from outside the tree' compile
says_how() { [[ $("$work/hello" 2>&1) == *'give me a command'* ]]; }
check 'and runs' says_how

for header in $(cd "$work/root$prefix/include/ghost" && find . -name '*.h' | sort); do
	printf '#include "%s"\n' "${header#./}" >"$work/one.c"
	# shellcheck disable=SC2046
	check "${header#./} stands alone" cc -D_GNU_SOURCE -Wall -Werror -c -o "$work/one.o" "$work/one.c" $(flags --cflags)
done

# Applications have one header and no library, and some are C++.
app() { # COMMAND...: compiles an application against what is installed
	# shellcheck disable=SC2046
	"$@" -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror $(flags --cflags)
}
check 'an application with hints needs no library' app cc -o "$work/app" "$root/docs/examples/hints.c"
goes_on() { [ "$(env -u GHOST_HINTS "$work/app")" = 'no hints: No such file or directory' ]; }
check 'and goes on where no agents listen' goes_on
if printf 'int main() {}' | cc -x c++ -fsyntax-only - 2>/dev/null; then
	check 'its header is C++, too' app cc -std=c++11 -x c++ -fsyntax-only "$root/docs/examples/hints.c"
elif type -P clang-19 >/dev/null; then
	check 'its header is C++, too' app clang-19 -std=c++11 -x c++ -fsyntax-only "$root/docs/examples/hints.c"
else
	printf 'ok %d - its header is C++, too # SKIP no C++ compiler\n' $((++n))
fi
check 'the installed ghost runs' "$work/root$prefix/bin/ghost" --version
printf '1..%d\n' $n
