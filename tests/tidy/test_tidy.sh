#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The rules of the house that a machine can check: who may include whom, who
# owns which names, that each header stands alone, tags, links, style.
# In: the working tree (build folders apart). Out: TAP, one case per rule.
set -uo pipefail
shopt -s lastpipe # report counts in this shell, not in a pipe's
export LC_ALL=C.UTF-8
cd "${TIDY_ROOT:-$(dirname "$0")/../..}" || exit 99

rooms='abi core bpf libghost policies sim cli systemd vm bench tests docs'
# All bad words below are written so that this file does not contain them.

n=0
report() { # SENTENCE < what is wrong, one line each; nothing means it is true
	local found
	found=$(cat)
	if [ -z "$found" ]; then
		printf 'ok %d - %s\n' $((++n)) "$1"
	else
		printf 'not ok %d - %s\n' $((++n)) "$1"
		head -n 30 <<<"$found" | sed 's/^/# /'
		found=$(wc -l <<<"$found")
		[ "$found" -le 30 ] || printf '# and %d more\n' $((found - 30))
	fi
}
skip() { printf 'ok %d - %s # SKIP %s\n' $((++n)) "$1" "$2"; }

mapfile -t files < <(find . \( -path './build*' -o -path './.git' -o -path './.?*' ! -path './.ci*' -type d \) -prune \
	-o -type f -print | sed 's|^\./||' | sort)
select_files() { printf '%s\n' "${files[@]}" | grep -E "$1" || true; }
mapfile -t sources < <(select_files '\.[ch]$')
mapfile -t headers < <(select_files '\.h$')
mapfile -t pages < <(select_files '\.md$')
mapfile -t prose < <(select_files '' | grep -v '^LICENSES/')
scripts=()
for f in "${files[@]}"; do
	[[ ${f##*/} == *.sh || ${f##*/} != *.* ]] || continue
	read -r first <"$f" 2>/dev/null || continue
	[[ ${first//$'\0'/} =~ ^#!.*sh ]] && scripts+=("$f")
done 2>/dev/null

# grep over many files, always naming the file, never failing
look() { # REGEX [GREP-OPTION...] -- FILE...
	local re=$1 opts=()
	shift
	while [ "$1" != -- ]; do opts+=("$1"); shift; done
	shift
	[ $# -eq 0 ] || grep -HInE ${opts[@]+"${opts[@]}"} -e "$re" -- "$@" || true
}

# ---- include arrows ----

# may["room"] is a regular expression over the quoted includes of a room,
# sys["room"] over its <system> includes; rooms not listed are free.
[ ${#sources[@]} -eq 0 ] || awk '
BEGIN {
	rooms = "^(abi|core|bpf|libghost|policies|sim|cli|vm|bench|tests|docs)/"
	may["abi"] = "^abi/";            sys["abi"] = "^linux/types\\.h$"
	may["core"] = "^(abi|core)/";    sys["core"] = "^linux/types\\.h$"
	may["bpf"] = "^(abi|core|bpf)/"; sys["bpf"] = "^(bpf|linux|asm)/|^std(bool|def)\\.h$"
	may["libghost"] = "^(abi|libghost)/"
	may["policy"] = "^(abi|libghost)/|^policies/(batch|runq|shinjuku|policies)\\.h$"
	sys["policy"] = "^(assert|errno|inttypes|limits|stdbool|stddef|stdint|string)\\.h$|^linux/types\\.h$|^(sys/queue|bsd/sys/tree)\\.h$"
	may["kpolicy"] = "^abi/|^core/kpolicy\\.h$"
	sys["kpolicy"] = "^linux/types\\.h$"
	may["sim"] = "^(abi|core|sim)/|^libghost/(agent|backend|enclave|policy|topo)\\.h$|^policies/policies\\.h$"
	may["cli"] = "^(abi|libghost|cli)/|^policies/policies\\.h$|^sim/(sim|fuzz|explore|record|trace|timeline)\\.h$"
	may["vm"] = "^(abi|vm)/"
	may["bench"] = "^(abi|libghost|bench)/|^sim/(histogram|random|sim)\\.h$|^policies/policies\\.h$"
	may["bench.bpf"] = "^(abi|bench)/|^bpf/kernel\\.bpf\\.h$"
	may["docs"] = "^(abi|libghost)/"
	# What a room stands on; a unit test of the room may use that too.
	under["core"] = "core"
	under["bpf"] = "bpf core"
	under["libghost"] = "libghost"
	under["policies"] = "policies libghost"
	under["sim"] = "sim core libghost policies"
	under["cli"] = "cli libghost policies"
	under["bench"] = "bench libghost"
}
function refuse(why) { print FILENAME ":" FNR ": " why }
function unit_done(    r, u, ok, list, fits) {
	if (unit == "") return
	fits = 0; list = ""
	for (u in used) list = list " " u
	for (r in under) {
		ok = (r in used)
		for (u in used) if (index(" " under[r] " ", " " u " ") == 0) ok = 0
		fits = fits || ok
	}
	if (list != "" && !fits) print unit ": a unit test is about one room, not" list
	split("", used)
	unit = ""
}
FNR == 1 {
	unit_done()
	room = FILENAME; sub(/\/.*/, "", room)
	kind = room
	if (room == "policies") kind = (FILENAME ~ /\.bpf\.[ch]$/) ? "kpolicy" : "policy"
	if (room == "bench" && FILENAME ~ /\.bpf\.[ch]$/) kind = "bench.bpf"
	if (FILENAME ~ /^tests\/unit\//) unit = FILENAME
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
	what = $0; sub(/^[^"]*"/, "", what); sub(/".*/, "", what)
	if (what ~ /(^|\/)\.\.\//) { refuse("includes \"" what "\": name the room, not a way to it"); next }
	if (what !~ rooms) { refuse("includes \"" what "\", which names no room"); next }
	target = what; sub(/\/.*/, "", target)
	if (unit != "" && target != "abi" && target != "tests") used[target] = 1
	# The one file that sees bpf/, and only what is generated there.
	if (FILENAME == "libghost/backend_bpf.c" && target == "bpf" && (getline line < what) < 0) next
	close(what)
	if (kind in may && what !~ may[kind]) refuse(kind " may not include \"" what "\"")
	next
}
/^[ \t]*#[ \t]*include[ \t]*</ {
	what = $0; sub(/^[^<]*</, "", what); sub(/>.*/, "", what)
	if (kind in sys && what !~ sys[kind]) refuse(kind " may not include <" what ">")
	if (what ~ /^bpf\// && room ~ /^(libghost|cli|sim)$/ && FILENAME != "libghost/backend_bpf.c")
		refuse("libbpf belongs to libghost/backend_bpf.c")
	if (what ~ /^hwloc/ && room ~ /^(libghost|cli|sim|policies)$/ && FILENAME !~ /^(libghost\/topo|sim\/topology)\.c$/)
		refuse("hwloc belongs to libghost/topo.c and sim/topology.c")
	if (room == "sim" && what ~ /^(pthread|threads|time|sys\/time|sys\/random)\.h$/)
		refuse("the simulator has no clock, threads or chance but its own")
}
END { unit_done() }' "${sources[@]}" |
	report 'every include follows the arrows between the rooms'

# ---- names ----

# Definitions only: using a contract is what the other rooms are for.
mapfile -t others < <(printf '%s\n' "${sources[@]}" |
	grep -E '^(core|bpf|policies|sim|cli|bench|vm)/|^libghost/.*\.c$' || true)
[ ${#others[@]} -eq 0 ] || awk '
FNR == 1 {
	program = 0
	own = (FILENAME ~ /^libghost\//)
	guard = FILENAME
	sub(/(\.bpf)?\.h$/, "_h", guard); gsub(/[^A-Za-z0-9]/, "_", guard)
	guard = "GHOST_" toupper(guard)
}
/^[ \t]*#[ \t]*define[ \t]+GHOST_/ {
	name = $0; sub(/^[ \t]*#[ \t]*define[ \t]+/, "", name); sub(/[^A-Za-z0-9_].*/, "", name)
	if (name != guard && name !~ /_H$/) print FILENAME ":" FNR ": defines " name
}
# libghost/*.c holds the bodies of what its headers declare.
own { next }
/^(struct|union|enum)[ \t]+ghost_[a-z0-9_]+[ \t]*\{?[ \t]*$/ { print FILENAME ":" FNR ": defines " $1 " " $2 }
# A BPF program (SEC stands before it) is found by its name, in a kernel full of
# other programs: there the prefix says whose it is.
/^SEC\(/ { program = FNR }
/^[A-Za-z_][A-Za-z0-9_ \t*]*[ \t*]ghost_[a-z0-9_]+\(/ && !/;[ \t]*$/ && !(program && FNR - program <= 1) {
	print FILENAME ":" FNR ": defines a function of the contract: " $0
}' "${others[@]}" |
	report 'only abi and the headers of libghost define ghost_ and GHOST_ names'

for f in ${headers[@]+"${headers[@]}"}; do
	room=${f%%/*}
	stem=${f#*/}
	stem=${stem%.h}
	stem=${stem%.bpf}
	guard=GHOST_${room}_${stem//[^A-Za-z0-9]/_}_H
	guard=${guard^^}
	grep -q "^#ifndef $guard\$" "$f" && grep -q "^#define $guard\$" "$f" || printf '%s: no guard %s\n' "$f" "$guard"
done | report 'every header has the guard GHOST_ROOM_NOUN_H'

# ---- each header stands alone ----

compile_alone() { # COMPILER... -- HEADER...
	local cmd=() f msg port
	while [ "$1" != -- ]; do cmd+=("$1"); shift; done
	shift
	for f; do
		# core/port.h leaves one structure to whoever provides the port.
		port=
		[[ $f != core/* ]] || port='struct port_custody { int opaque; };'
		msg=$(printf '%s\n#include "%s"\n' "$port" "$f" |
			"${cmd[@]}" -I. -std=gnu11 -fsyntax-only -w -x c - 2>&1) ||
			printf '%s does not compile alone\n%s\n' "$f" "$(head -n 3 <<<"$msg" | sed 's/^/  /')"
	done
}
mapfile -t native < <(printf '%s\n' ${headers[@]+"${headers[@]}"} | grep -E '\.h$' | grep -v '\.bpf\.h$' || true)
if type -P gcc >/dev/null; then
	compile_alone gcc -D_GNU_SOURCE -- ${native[@]+"${native[@]}"} | report 'every header compiles alone, natively'
else
	skip 'every header compiles alone, natively' 'no gcc'
fi
mapfile -t both < <(printf '%s\n' ${headers[@]+"${headers[@]}"} | grep -E '^(abi|core)/|\.bpf\.h$' || true)
if type -P clang-19 >/dev/null; then
	multiarch=$(gcc -print-multiarch 2>/dev/null || true)
	# libbpf's tracing macros want to know whose registers they are about.
	compile_alone clang-19 -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -I"/usr/include/${multiarch:-.}" -- \
		${both[@]+"${both[@]}"} | report 'every header of abi, core and bpf compiles alone, for BPF'
else
	skip 'every header of abi, core and bpf compiles alone, for BPF' 'no clang-19'
fi

# ---- words, tags, places ----

look '\b(XX[X]|FIXM[E]|HAC[K])\b|\bTOD[O]\b' -- "${prose[@]}" | grep -vE 'TOD[O]\(#[0-9]+\)' |
	report 'no word stands for work left undone'

{
	look '(^|[^A-Za-z0-9_.])/(wor[k]|hom[e]/[a-z]+|User[s]/[a-z]+)/' -- "${prose[@]}"
	look '(deb|ftp|snapshot|security|archive|backports)[.]debian[.]org|archive[.]ubuntu[.]com' -- "${prose[@]}"
	look 'pypi[.]org|registry[.]npmjs|crates[.]io|proxy[.]golang|docker[.]io|ghcr[.]io' -- "${prose[@]}"
} | report 'no file names a place on one machine, or a package registry'

{
	for f in "${files[@]}"; do
		case $f in
		LICENSES/* | *.md | *.golden | *.map | .gitignore | .editorconfig | *.json | *.csv | *.svg | *.png | *.txt) continue ;;
		esac
		tag=$(head -n 5 "$f" | grep -aoE 'SPDX-License-Identifier: [A-Za-z0-9. -]+' | head -n 1)
		tag=${tag#*: }
		tag=${tag%% }
		case $tag in
		'') printf '%s: no SPDX tag in its first lines\n' "$f" ;;
		'GPL-2.0-only') [[ ! $f =~ ^(abi|core|libghost)/.*\.[ch]$ ]] ||
			printf '%s: must carry "GPL-2.0-only OR BSD-2-Clause"\n' "$f" ;;
		'GPL-2.0-only OR BSD-2-Clause') ;;
		*) printf '%s: unknown licence "%s"\n' "$f" "$tag" ;;
		esac
	done
} | report 'every source file carries its licence tag, the shared rooms the dual one'

{
	for room in $rooms; do
		printf '%s\n' "${files[@]}" | grep -q "^$room/" || continue
		if [ ! -f "$room/README.md" ]; then
			printf '%s/README.md is missing\n' "$room"
		elif [ "$(wc -l <"$room/README.md")" -gt 30 ]; then
			printf '%s/README.md has more than 30 lines\n' "$room"
		fi
	done
} | report 'every room has a README.md of at most thirty lines'

# ---- pages ----

version=$(sed -nE "s/^[[:space:]]*version: '([^']+)'.*/\1/p" meson.build | head -n1)
top=$(sed -nE 's/^## \[?([0-9]+\.[0-9]+\.[0-9]+).*/\1/p' CHANGELOG.md | head -n1)
if [ -n "$version" ] && [ "$version" = "$top" ]; then :; else
	printf 'meson.build says "%s", CHANGELOG.md begins with "%s"\n' "$version" "$top"
fi | report 'the version is the top of the changelog'

{
	for f in ${pages[@]+"${pages[@]}"}; do
		# Code is not prose: fenced blocks and `words` hold no links.
		awk '/^[ \t]*```/ { code = !code; next } !code { gsub(/`[^`]*`/, ""); print FNR ":" $0 }' "$f" |
			grep -oE '^[0-9]+:|\]\([^) ]+' |
			while read -r part; do
				[[ $part != *: || $part == ']('* ]] || { line=${part%:}; continue; }
				to=${part#']('}
				case $to in http://* | https://* | mailto:* | '#'*) continue ;; esac
				to=${to%%#*}
				[[ $to == /* ]] && to=.$to || to=$(dirname "$f")/$to
				[ -e "$to" ] || printf '%s:%s: no such file: %s\n' "$f" "$line" "$to"
			done
	done
} | report 'every relative link in a page leads somewhere'

# Cases stand in a table of their suite as CASE(case_x), and in the page as `case_x`.
cases_of() { # FILE...
	cat -- "$@" 2>/dev/null | grep -oE 'CASE\(case_[a-z0-9_]+' | sed 's/^CASE(//' | sort -u
}
{
	page=docs/conformance.md
	mapfile -t suites < <(select_files '^tests/(contract/(conformance|policy)|vm/test_conformance)\.c$')
	listed=$(grep -oE '`case_[a-z0-9_]+`' "$page" 2>/dev/null | tr -d '`' | sort -u)
	coming=$(grep -E '\| to come \|$' "$page" 2>/dev/null | grep -oE '`case_[a-z0-9_]+`' | tr -d '`' | sort -u)
	[ ${#suites[@]} -eq 0 ] || comm -23 <(cases_of "${suites[@]}") <(echo "$listed") | sed "s|.*|& is not in $page|"
	[ ! -f "$page" ] || {
		mapfile -t all < <(select_files '^tests/(contract/.*|vm/test_conformance)\.c$')
		comm -13 <(cases_of ${all[@]+"${all[@]}"}) <(comm -23 <(echo "$listed") <(echo "$coming")) |
			grep . | sed "s|.*|$page: there is no &|"
		comm -12 <(cases_of ${all[@]+"${all[@]}"}) <(echo "$coming") | grep . | sed "s|.*|$page: & has come|"
	}
} | report 'the page about conformance lists the cases there are'

look '[[:blank:]]+$' -- "${prose[@]}" | report 'no line ends in blanks'

# ---- tools ----

# SC2054: QEMU's arguments are full of commas.
if type -P shellcheck >/dev/null; then
	{ [ ${#scripts[@]} -eq 0 ] || shellcheck -x -S warning -e SC2054 -f gcc "${scripts[@]}"; } | report 'every shell script passes shellcheck'
else
	skip 'every shell script passes shellcheck' 'no shellcheck'
fi

if type -P clang-format-19 >/dev/null; then
	{
		for f in ${sources[@]+"${sources[@]}"}; do
			clang-format-19 --dry-run --Werror "$f" 2>&1 | grep -m1 'error:' | sed 's/ code should be.*/ differs; clang-format-19 -i mends it/'
		done
	} | report 'every C file is formatted by clang-format 19'
else
	skip 'every C file is formatted by clang-format 19' 'no clang-format-19'
fi

if [ -n "${TIDY_ROOT-}" ]; then
	# Half a second for each of the small trees these checks are tested with.
	skip 'codespell finds no misspelling' 'not the whole tree'
elif type -P codespell >/dev/null; then
	# Terms of the trade that look like slips of the pen.
	codespell -q 3 -L 'creat,chek,fo,te,ist,nd,ue,wit,statics,hist,ans,inout,parms' "${prose[@]}" 2>/dev/null |
		report 'codespell finds no misspelling'
else
	skip 'codespell finds no misspelling' 'no codespell'
fi

printf '1..%d\n' $n
