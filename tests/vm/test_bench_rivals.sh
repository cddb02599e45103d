#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bench/rivals/build refuses wrong arguments, builds what a source package holds,
# and keeps the reason where it cannot. Shown with a package of a few lines, so
# nothing is fetched and no kernel runs. In: the tree. Out: TAP.
set -uo pipefail
export LC_ALL=C
cd "${GHOST_TESTS_ROOT:-$(dirname "$0")/../..}" || exit 99

for need in dpkg-deb xz python3 gcc make; do
	type -P $need >/dev/null || { printf '1..0 # SKIP no %s\n' $need; exit 0; }
done
libbpf=$(gcc -print-file-name=libbpf.a)
[ -e "$libbpf" ] || { printf '1..0 # SKIP no libbpf-dev\n'; exit 0; }
type -P clang-19 >/dev/null || type -P clang >/dev/null || { printf '1..0 # SKIP no clang\n'; exit 0; }
work=$(mktemp -d "${TMPDIR:-/tmp}/test_rivals.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

# shellcheck source=tests/vm/bench_lib.sh
. tests/vm/bench_lib.sh
build_ends() { ends "$1" "$2" "$work/tree/bench/rivals/build" "${@:3}"; } # STATUS WORDS ARGUMENT...
holds() { # FILE WORDS
	cat "$1"
	[[ $(<"$1") == *"$2"* ]]
}

# ---- a tree whose vm/kernel has a kernel and a package ready ----

mkdir -p "$work/tree"/{bench/rivals,vm} "$work/kernel-9.9.1" "$work/deb"/{DEBIAN,usr/src} || exit 99
cp bench/partial.[ch] "$work/tree/bench" && cp bench/rivals/{build,hooks.c} "$work/tree/bench/rivals" || exit 99
cat >"$work/tree/vm/kernel" <<TXT
#!/bin/bash
[ "\${1-}" = --source ] || { echo "$work/kernel-9.9.1"; exit; }
echo "asked for \$2" >>"$work/asked"
[ -e "$work/package.deb" ] || { echo "vm/kernel: the archive is shut" >&2; exit 1; }
cp "$work/package.deb" "$work/fetched.deb" && echo "$work/fetched.deb"
TXT
chmod +x "$work/tree/vm/kernel"
printf 'no kernel\n' | tee "$work/kernel-9.9.1/vmlinux" >"$work/kernel-9.9.1/vmlinuz"
export GHOST_BUILD=$work/build
out=$work/build/bench/rivals/9.9.1

pack() { # what is in $work/linux-source-9.9, as Debian packs it
	tar -C "$work" -cJf "$work/deb/usr/src/linux-source-9.9.tar.xz" linux-source-9.9
	printf '%s\n' 'Package: linux-source-9.9' 'Version: 9.9.1-1~bpo1+1' 'Architecture: all' \
		'Maintainer: none <none@example.org>' 'Description: a test' >"$work/deb/DEBIAN/control"
	dpkg-deb -b "$work/deb" "$work/package.deb"
}
tools=$work/linux-source-9.9/tools
mkdir -p "$tools"/{arch/x86/include,bpf/bpftool,build,include,lib/bpf,sched_ext,scripts} \
	"$tools/lib/unasked" "${tools%/*}/scripts" || exit 99
: >"${tools%/*}/scripts/bpf_doc.py"
printf 'bootstrap:\n\t@echo built\n' >"$tools/bpf/bpftool/Makefile"
# One rival that builds, calling what the real ones call, and one that does not.
cat >"$tools/sched_ext/Makefile" <<TXT
made:
	mkdir -p build/obj/sched_ext build/obj/libbpf build/include
	ln -sf $libbpf build/obj/libbpf/libbpf.a
scx_simple: made
	gcc -c scx_simple.c -o build/obj/sched_ext/scx_simple.o
scx_userland: made
	gcc -c scx_userland.c -o build/obj/sched_ext/scx_userland.o
TXT
cat >"$tools/sched_ext/scx_simple.c" <<'TXT'
#include <bpf/libbpf.h>
int main(int argc, char **argv) { return argc > 1 ? bpf_object__load_skeleton((void *)argv) : 0; }
TXT
printf 'this is no C;\n' >"$tools/sched_ext/scx_userland.c"

# ---- arguments ----

check '--help tells of --vm' build_ends 0 '--vm' --help
check 'an unknown option is refused by name' build_ends 2 "unknown option '--host'; see bench/rivals/build --help" --host
check 'an argument is refused' build_ends 2 "no argument is expected, got 'scx_flatcg'" scx_flatcg
check 'wrong arguments leave nothing behind' [ ! -e "$work/build" ]

# ---- what fails, fails with a reason ----

check 'a kernel of unknown origin ends with 1 and the reason' build_ends 1 'does not say of which Debian package' --vm
check 'both rivals have the reason for bench/micro' \
	cmp "$out/scx_simple.why" "$out/scx_userland.why"
printf '\0\0Linux 9.9.1 SMP Debian 9.9.1-1~bpo1+1 (2026-01-01) \0' >>"$work/kernel-9.9.1/vmlinuz"
check 'an archive that cannot be reached ends with 1 and its words' build_ends 1 'the archive is shut' --vm
check 'the package that was asked for is that of the kernel' holds "$work/asked" 'asked for 9.9.1-1~bpo1+1'

# ---- one that builds, one that does not ----

check 'the package is made' pack
check 'a rival that does not build ends with 1' build_ends 1 'scx_userland: does not build' --vm
check 'its reason is the error of the compiler' holds "$out/scx_userland.why" 'error:'
check 'the other rival is there' "$out/scx_simple"
check 'a rival that is there has no reason' [ ! -e "$out/scx_simple.why" ]
wrapped() {
	local main
	main=$(objdump -d --no-show-raw-insn "$out/scx_simple" | sed -n '/<main>:/,/^$/p')
	printf '%s\n' "$main"
	[[ $main == *'<__wrap_bpf_object__load_skeleton>'* ]]
}
check 'it loads through the hook that makes it partial' wrapped
check 'what is not needed is not unpacked' [ ! -e "$out/src/tools/lib/unasked" ]
check 'the package is not kept' [ ! -e "$work/fetched.deb" ]
: >"$work/asked"
printf 'int main(void) { return 0; }\n' >"$out/src/tools/sched_ext/scx_userland.c"
check 'the next call builds what is missing' build_ends 0 'ready' --vm
check 'without fetching again' [ ! -s "$work/asked" ]
check 'and the reason is gone' [ ! -e "$out/scx_userland.why" ]
rm -rf "$out/src"
check 'with both there, nothing is done' build_ends 0 '' --vm
check 'not even unpacked' [ ! -e "$out/src" ]

printf '1..%d\n' $n
