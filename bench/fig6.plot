#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# fig6.plot DIR: pictures and a report of DIR/fig6.json.
# In: that file, gnuplot. Out: DIR/fig6[abc]-{sim,vm}.{svg,png}, DIR/fig6.md.
# Called by bench/fig6.
set -uo pipefail
export LC_ALL=C
me=bench/fig6.plot
out=${1:?}
data=$out/fig6.json
say() { printf '%s: %s\n' $me "$*" >&2; }
type -P gnuplot >/dev/null || { say 'no gnuplot, so no pictures; .ci/setup bench installs it'; exit 1; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# FIELD of the lines of WHERE SYSTEM BATCH against what was served.
column() { # WHERE SYSTEM BATCH FIELD
	sed -nE "s/.*\"where\": \"$1\", \"system\": \"$2\", \"batch\": $3, .*\"asked_rps\": ([0-9.]+), .*\"$4\": ([0-9.]+).*/\1 \2/p" "$data"
}
title_of() {
	case $1 in
	ideal) echo 'nothing costs anything' ;;
	run_to_completion) echo 'FIFO, run to completion' ;;
	eevdf) echo 'EEVDF, nice -20 and 19' ;;
	eevdf_slice) echo 'EEVDF, slice 0.1 ms' ;;
	*) echo "${1//_/ }" ;;
	esac
}
name_of() {
	case $1 in
	ghost) echo ghOSt ;;
	cfs) echo CFS ;;
	*) echo Shinjuku ;;
	esac
}
# Independent re-run on other hardware: the most at which p99 was below a limit.
printf '230 50\n270 100\n280 1000\n' >"$work/rerun-ghost"
printf '180 50\n180 100\n200 1000\n' >"$work/rerun-cfs"
printf '320 50\n330 100\n349 1000\n' >"$work/rerun-shinjuku"
printf '30 84\n150 42\n' >"$work/rerun-batch-ghost"
printf '30 86\n150 54\n' >"$work/rerun-batch-cfs"

draw() { # NAME WHERE BATCH FIELD "Y LABEL" FACTOR TITLE
	local plots='' system file key='left top' extra='set logscale y; set yrange [1:1e5]' kind pt terminal unit=1000 xlabel='thousand requests per second'
	[ "$2" = sim ] || unit=1 xlabel='requests per second'
	for system in $(sed -nE "s/.*\"where\": \"$2\", \"system\": \"([a-z_]+)\", \"batch\": $3, .*/\1/p" "$data" | uniq); do
		file=$work/$2.$system.$3.$4
		column "$2" "$system" "$3" "$4" >"$file"
		[ -s "$file" ] || continue
		plots+="${plots:+, }'$file' using (\$1 / $unit):(\$2 * $6) with linespoints lw 2 title '$(title_of "$system")'"
	done
	[ -n "$plots" ] || return 0
	[ "$2" = sim ] || extra='set logscale y; set yrange [10:*]'
	if [ "$4" = batch_share ]; then
		extra='set yrange [0:100]' key='right top'
		[ "$2" = vm ] || plots+=", '$work/rerun-batch-ghost' with points pt 6 ps 1.5 title 'ghOSt, re-run on hardware', '$work/rerun-batch-cfs' with points pt 4 ps 1.5 title 'CFS, re-run on hardware'"
	elif [ "$2.$3" = sim.0 ]; then
		pt=6
		for kind in ghost cfs shinjuku; do
			plots+=", '$work/rerun-$kind' with points pt $((pt++)) ps 1.5 title '$(name_of $kind), re-run on hardware'"
		done
	fi
	for kind in svg png; do
		terminal='svg size 800,500 dynamic background "white"'
		[ $kind = svg ] || terminal='pngcairo size 800,500'
		gnuplot <<-TXT || { say 'gnuplot failed'; return 1; }
			set terminal $terminal
			set output '$out/$1-$2.$kind'
			set title "$7"
			set xlabel '$xlabel asked for'
			set ylabel "$5"
			$extra
			set xrange [0:*]
			set grid
			set key $key
			plot $plots
		TXT
	done
	say "pictures: $out/$1-$2.svg, .png"
}
scale=$(sed -nE 's/.*"scale": ([0-9]+).*/\1/p;1q' "$data" | head -n1)
for where in sim vm; do
	text="simulated, the paper's machine"
	[ $where = sim ] || text="4 emulated CPUs, RocksDB, service times x $scale"
	draw fig6a $where 0 p99_us 'p99, us' 1 "Requests alone ($text)" || exit 1
	draw fig6b $where 1 p99_us 'p99, us' 1 "Requests with batch beside them ($text)" || exit 1
	draw fig6c $where 1 batch_share "batch, % of the workers' CPUs" 100 "What batch gets ($text)" || exit 1
done

{
	cat <<-TXT
	# Requests and batch, after Figure 6 of the paper

	$(sed -nE '1s/.*"run": \{"commit": "([^"]*)", "quick": ([01]), "scale": ([0-9]+)\}, "repeats": ([0-9]+), "machine": "([^"]*)".*/Commit \1, on \5; medians of \4 runs with seeds 1 to \4; quick: \2. In the VM service times and slices are \3 times as long./p' "$data")
	Requests: 99.5 % take 4 us, 0.5 % take 10 ms, Poisson arrivals, 200 workers (VM: 50). Latencies count from when a request
	was to arrive. Simulated: 20 CPUs and one for the agent, costs of Table 3 of the paper. "nothing costs anything" is
	\`shinjuku_shenango\` where switches, messages and commits are free. In a VM one thread of the host runs all CPUs in turn:
	such figures compare systems within this run, and are no latencies of any machine.

	The paper shows its curves, and says of them: ghOSt saturates within 5 % of Shinjuku's own system, CFS some 30 % sooner;
	with batch beside it ghOSt's tail is the same, and batch gets what it gets with CFS (section 4.2).

	| where | system | batch | asked/s | served/s | p50 us | p99 us (least to most) | p99.9 us | batch % | kept up |
	|---|---|---|---|---|---|---|---|---|---|
	TXT
	sed -nE 's/.*"where": "([^"]*)", "system": "([^"]*)", "batch": ([01]), "load": [^,]*, "asked_rps": ([^,]*), "served_rps": ([^,]*), "p50_us": ([^,]*), "p99_us": ([^,]*), "p99_us_least": ([^,]*), "p99_us_most": ([^,]*), .*/\1 \2 \3 \4 \5 \6 \7 \8 \9 &/p' "$data" |
		awk '{
			match($0, /"p999_us": [^,]*/); p999 = substr($0, RSTART + 11, RLENGTH - 11)
			match($0, /"batch_share": [^,]*/); share = substr($0, RSTART + 15, RLENGTH - 15)
			match($0, /"kept_up": [a-z]*/); kept = substr($0, RSTART + 11, RLENGTH - 11)
			printf "| %s | %s | %s | %s | %s | %s | %s (%s to %s) | %s | %s | %s |\n", $1, $2, $3 ? "yes" : "no", $4, $5,
				$6, $7, $8, $9, p999, share == "null" ? "-" : sprintf("%.1f", share * 100), kept == "true" ? "yes" : "no"
		}'
	printf '\n'
	for file in "$out"/fig6[abc]-*.svg; do
		[ ! -e "$file" ] || printf '![%s](%s)\n' "$(basename "$file" .svg)" "$(basename "$file")"
	done
} >"$out/fig6.md" || exit 1
say "report: $out/fig6.md"
