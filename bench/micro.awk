# SPDX-License-Identifier: GPL-2.0-only
#
# From samples to medians: the table on stdout, the JSON file.
# In: lines "bench name system ns hand-overs switches hand-overs-in-all cpus", with
# "-" for switches where nothing is handed over; the files left_out and counters, the
# environment as variables. Out: see docs/bench.md.
# Called by: bench/micro.

function q(text) {
	gsub(/\\/, "\\\\", text)
	gsub(/"/, "\\\"", text)
	gsub(/[[:cntrl:]]/, " ", text)
	return "\"" text "\""
}

# Insertion sort of the values of one row into x[1..n].
function sort_row(row,    i, j, v) {
	n = count[row]
	for (i = 1; i <= n; i++) {
		v = value[row, i] + 0
		for (j = i - 1; j >= 1 && x[j] > v; j--)
			x[j + 1] = x[j]
		x[j + 1] = v
	}
}

# Of x[1..n], between the two nearest values where it falls between.
function quantile(p,    at, low) {
	at = 1 + p * (n - 1)
	low = int(at)
	if (low >= n)
		return x[n]
	return x[low] + (at - low) * (x[low + 1] - x[low])
}

# The paper's figure for a line over its own line 12, the CFS context switch.
function paper_text(line, none) {
	return line in paper ? sprintf("%.2f", paper[line] / paper["switch eevdf"]) : none
}

function ratio_text(a, b) {
	return b > 0 ? sprintf("%.3f", a / b) : "null"
}

BEGIN {
	# SOSP '21, Table 3, ns on a Skylake; groups of ten, per transaction here.
	paper["message_local ghost"] = 725
	paper["message_global ghost"] = 265
	paper["local_schedule ghost"] = 888
	paper["remote_agent ghost"] = 668
	paper["remote_target ghost"] = 1064
	paper["remote_end_to_end ghost"] = 1772
	paper["group_agent_per_txn ghost"] = 3964 / 10
	paper["group_target ghost"] = 1821 / 10
	paper["group_end_to_end ghost"] = 5688 / 10
	paper["syscall eevdf"] = 72
	paper["minimal_switch eevdf"] = 410
	paper["switch eevdf"] = 599
}

{
	row = $1 SUBSEP $3
	if (!(row in count)) {
		rows[++nr_rows] = row
		bench[row] = $1
		name[row] = $2
		system_of[row] = $3
		handed[row] = $6 != "-"
		cpus_of[row] = $8
	}
	value[row, ++count[row]] = $4
	handovers[row] += $5
	switches[row] += $6
}

END {
	for (r = 1; r <= nr_rows; r++) {
		row = rows[r]
		sort_row(row)
		median[row] = quantile(0.5)
		p10[row] = quantile(0.1)
		p90[row] = quantile(0.9)
		spread = median[row] > 0 ? (x[n] - x[1]) / median[row] * 100 : 0
		if (spread > spread_max)
			spread_max = spread
	}
	base = median["switch" SUBSEP "eevdf"]

	print ""
	printf "ns per hand-over or step, %s time, two %s, kernel %s, %s CPUs, %s\n", mode,
		(layout == "thread" ? "threads of one process" : "processes"), kernel, cpus,
		(accelerator == "none" ? cpu : "a VM (" accelerator ")")
	print ""
	printf "%-20s %-12s %9s %9s %9s %9s %9s %9s %9s\n", "bench", "system", "median", "p10",
		"p90", "x EEVDF", "x EEVDF", "the same", "switches"
	printf "%-20s %-12s %9s %9s %9s %9s %9s %9s %9s\n", "", "", "", "", "", "same", "switch",
		"in paper", "per h.-o."
	for (r = 1; r <= nr_rows; r++) {
		row = rows[r]
		same = median[bench[row] SUBSEP "eevdf"]
		printf "%-20s %-12s %9.0f %9.0f %9.0f %9s %9s %9s %9s\n", name[row],
			system_of[row], median[row], p10[row], p90[row],
			(same > 0 ? sprintf("%.2f", median[row] / same) : "-"),
			(base > 0 ? sprintf("%.2f", median[row] / base) : "-"),
			paper_text(name[row] " " system_of[row], "-"),
			(handed[row] ? sprintf("%.2f", switches[row] / handovers[row]) : "-")
	}
	print ""
	if (("group_end_to_end" SUBSEP "ghost") in median)
		printf "Groups: per transaction, of %s at once.\n",
			cpus_of["group_end_to_end" SUBSEP "ghost"]
	print "In the paper: its Table 3 over its own CFS switch (line 12, 599 ns), on hardware."
	print ""

	nr_counters = 0
	while ((getline line < counters) > 0) {
		split(line, part, "\t")
		c_bench[++nr_counters] = part[1]
		c_name[nr_counters] = part[2]
		c_value[nr_counters] = part[3]
	}
	last = ""
	for (i = 1; i <= nr_counters; i++) {
		if (c_bench[i] != last) {
			printf "%sghost, %s, per hand-over:", (last != "" ? "\n" : ""), c_bench[i]
			last = c_bench[i]
		}
		printf " %s %s", c_name[i], c_value[i]
	}
	if (nr_counters)
		print "\n"

	nr_left = 0
	while ((getline line < left_out) > 0) {
		split(line, part, "\t")
		l_system[++nr_left] = part[1]
		l_why[nr_left] = part[2]
		printf "left out: %s: %s\n", part[1], part[2]
	}
	if (in_vm == 1)
		print "Numbers from a VM are ratios within one run, not times of any machine."
	if (mode == "virtual")
		printf "Virtual time: 1 ns is one instruction, on all CPUs in turn; no cache costs. " \
			"Largest spread of repeats: %.2f %%.\n", spread_max
	if (quick == 1)
		print "A quick run: it shows that the benchmark works. Do not quote it."

	printf "{\"machine\": {\"cpu\": %s, \"cpus\": %d, \"vm\": %s, \"host\": %s},\n", q(cpu), cpus,
		(in_vm == 1 ? "true" : "false"), q(host) >json
	printf " \"kernel\": %s, \"accelerator\": %s, \"mode\": %s, \"layout\": %s,\n", q(kernel),
		q(accelerator), q(mode), q(layout) >json
	printf " \"commit\": %s, \"date\": %s, \"repeats\": %d, \"quick\": %s,\n", q(commit), q(date),
		repeats, (quick == 1 ? "true" : "false") >json
	printf " \"results\": [" >json
	for (r = 1; r <= nr_rows; r++) {
		row = rows[r]
		printf "%s\n  {\"bench\": %s, \"system\": %s, \"median\": %.1f, \"p10\": %.1f, " \
			"\"p90\": %.1f, \"unit\": \"ns\", \"ratio\": %s, \"ratio_same\": %s, " \
			"\"paper_ratio\": %s, \"cpus\": %d, \"switches_per_handover\": %s, " \
			"\"samples\": [", (r > 1 ? "," : ""),
			q(name[row]), q(system_of[row]), median[row], p10[row], p90[row],
			ratio_text(median[row], base),
			ratio_text(median[row], median[bench[row] SUBSEP "eevdf"]),
			paper_text(name[row] " " system_of[row], "null"), cpus_of[row],
			(handed[row] ? sprintf("%.3f", switches[row] / handovers[row]) : "null") >json
		for (i = 1; i <= count[row]; i++)
			printf "%s%.1f", (i > 1 ? ", " : ""), value[row, i] >json
		printf "]}" >json
	}
	printf "\n ],\n \"counters\": [" >json
	for (i = 1; i <= nr_counters; i++)
		printf "%s\n  {\"bench\": %s, \"system\": \"ghost\", \"counter\": %s, \"per_handover\": %s}",
			(i > 1 ? "," : ""), q(c_bench[i]), q(c_name[i]), c_value[i] >json
	printf "\n ],\n \"left_out\": [" >json
	for (i = 1; i <= nr_left; i++)
		printf "%s\n  {\"system\": %s, \"why\": %s}", (i > 1 ? "," : ""), q(l_system[i]),
			q(l_why[i]) >json
	printf "\n ]}\n" >json
	if (close(json) != 0)
		exit 1
}
