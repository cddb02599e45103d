// SPDX-License-Identifier: GPL-2.0-only
/*
 * The layout of what crosses the border, compared with abi/layout.golden.
 * In: the headers of abi, the golden file. Out: TAP; with --print the dump itself, for
 * `build/tests/unit/test_layout --print >abi/layout.golden`.
 *
 * A change here is a change of the contract: it goes with a new
 * GHOST_ABI_VERSION and a line in CHANGELOG.md, or it is a mistake.
 */
#include "tests/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/abi.h"

struct field {
	const char *type; /* "struct x", or NULL for a number */
	const char *name;
	unsigned long long offset; /* of a number: its value */
	size_t size;
	int again; /* another name for bytes that have one */
};

#define S(t) { #t, NULL, 0, sizeof(t), 0 }
#define F(t, f) { #t, #f, offsetof(t, f), sizeof(((t *)0)->f), 0 }
#define U(t, f) { #t, #f, offsetof(t, f), sizeof(((t *)0)->f), 1 }
#define N(n) { NULL, #n, (unsigned long long)(n), 0, 0 }

static const struct field fields[] = {
	N(GHOST_ABI_VERSION),
	N(GHOST_ENCLAVES_MAX),
	N(GHOST_CPUS_MAX),
	N(GHOST_CPU_WORDS),
	N(GHOST_SLOTS_DEFAULT),
	N(GHOST_SLOTS_MAX),
	N(GHOST_QUEUES_MADE),
	N(GHOST_QUEUE_NONE),
	N(GHOST_QUEUE_LEN),
	N(GHOST_QUEUE_LEN_MAX),
	N(GHOST_RING_DEFAULT),
	N(GHOST_WAKES_MAX),
	N(GHOST_TIMER_MIN_NS),
	N(GHOST_TIMER_MAX_NS),
	N(GHOST_COMM_LEN),

	N(GHOST_MSG_NONE),
	N(GHOST_MSG_TASK_DEAD),
	N(GHOST_MSG_TASK_BLOCKED),
	N(GHOST_MSG_TASK_WAKEUP),
	N(GHOST_MSG_TASK_NEW),
	N(GHOST_MSG_TASK_PREEMPT),
	N(GHOST_MSG_TASK_YIELD),
	N(GHOST_MSG_TASK_DEPARTED),
	N(GHOST_MSG_TASK_AFFINITY_CHANGED),
	N(GHOST_MSG_TASK_ON_CPU),
	N(GHOST_MSG_TASK_PRIORITY_CHANGED),
	N(GHOST_MSG_TASK_LATCH_FAILURE),
	N(GHOST_MSG_CPU_TICK),
	N(GHOST_MSG_CPU_TIMER_EXPIRED),
	N(GHOST_MSG_CPU_NOT_IDLE),
	N(GHOST_MSG_CPU_AVAILABLE),
	N(GHOST_MSG_CPU_BUSY),
	N(GHOST_MSG_CPU_AGENT_BLOCKED),
	N(GHOST_MSG_CPU_AGENT_WAKEUP),
	N(GHOST_PREEMPT_SLICE),
	N(GHOST_PREEMPT_CLASS),
	N(GHOST_PREEMPT_LATCH),
	N(GHOST_PREEMPT_KICK),
	N(GHOST_PREEMPT_COMMIT),
	N(GHOST_MSG_RUNNABLE),
	N(GHOST_MSG_CURRENT),
	N(GHOST_MSG_DEFERRABLE),
	N(GHOST_MSG_AGENT),
	S(struct ghost_msg),
	F(struct ghost_msg, position),
	F(struct ghost_msg, type),
	F(struct ghost_msg, len),
	F(struct ghost_msg, slot),
	F(struct ghost_msg, seq),
	F(struct ghost_msg, gtid),
	F(struct ghost_msg, time_ns),
	F(struct ghost_msg, runtime_ns),
	F(struct ghost_msg, cpu),
	F(struct ghost_msg, flags),
	F(struct ghost_msg, reason),
	F(struct ghost_msg, nice),
	F(struct ghost_msg, cpu_seq),
	F(struct ghost_msg, arg),
	U(struct ghost_msg, commit_ns),
	U(struct ghost_msg, cookie),
	U(struct ghost_msg, parent_tid),
	U(struct ghost_msg, waker_cpu),
	U(struct ghost_msg, wake_cpu),

	S(struct ghost_queue),
	F(struct ghost_queue, head),
	F(struct ghost_queue, overflow),
	F(struct ghost_queue, first),
	F(struct ghost_queue, len),
	F(struct ghost_queue, nr_wake),
	F(struct ghost_queue, wake),
	F(struct ghost_queue, gone_len),
	F(struct ghost_queue, gone_beats),
	F(struct ghost_queue, pad),

	N(GHOST_STATUS_INUSE),
	N(GHOST_STATUS_RUNNABLE),
	N(GHOST_STATUS_ONCPU),
	N(GHOST_STATUS_FALLBACK),
	N(GHOST_STATUS_NEW),
	N(GHOST_STATUS_LATCHED),
	S(struct ghost_status),
	F(struct ghost_status, word),
	F(struct ghost_status, gtid),
	F(struct ghost_status, tid),
	F(struct ghost_status, tgid),
	F(struct ghost_status, cpu),
	F(struct ghost_status, queue),
	F(struct ghost_status, runtime_ns),
	F(struct ghost_status, switch_ns),
	F(struct ghost_status, nice),
	F(struct ghost_status, weight),
	F(struct ghost_status, pad0),
	F(struct ghost_status, comm),
	F(struct ghost_status, cgroup),
	F(struct ghost_status, parent_tid),
	F(struct ghost_status, pad1),
	F(struct ghost_status, cpus),

	N(GHOST_ENCLAVE_FREE),
	N(GHOST_ENCLAVE_IDLE),
	N(GHOST_ENCLAVE_ONLINE),
	N(GHOST_ENCLAVE_LOST),
	N(GHOST_ENCLAVE_DYING),
	N(GHOST_LOST_NONE),
	N(GHOST_LOST_AGENT_EXIT),
	N(GHOST_LOST_STALL),
	N(GHOST_LOST_CPU),
	N(GHOST_FALLBACK_FIFO),
	N(GHOST_FALLBACK_WEIGHTED),
	N(GHOST_FALLBACK_FAIR),
	N(GHOST_FALLBACK_MAX),
	N(GHOST_DELIVER_TICKS),
	N(GHOST_DELIVER_AVAILABILITY),
	N(GHOST_DELIVER_RUNNABILITY),
	N(GHOST_DELIVER_ALL),
	S(struct ghost_enclave_status),
	F(struct ghost_enclave_status, word),
	F(struct ghost_enclave_status, abi),
	F(struct ghost_enclave_status, id),
	F(struct ghost_enclave_status, state),
	F(struct ghost_enclave_status, lost_reason),
	F(struct ghost_enclave_status, lost_arg),
	F(struct ghost_enclave_status, capacity),
	F(struct ghost_enclave_status, nr_slots),
	F(struct ghost_enclave_status, nr_tasks),
	F(struct ghost_enclave_status, nr_cpus),
	F(struct ghost_enclave_status, deliver),
	F(struct ghost_enclave_status, nr_no_slot),
	F(struct ghost_enclave_status, default_queue),
	F(struct ghost_enclave_status, ring_len),
	F(struct ghost_enclave_status, lost_ns),
	F(struct ghost_enclave_status, fell_ns),
	F(struct ghost_enclave_status, online_ns),
	F(struct ghost_enclave_status, unscheduled_ns),
	F(struct ghost_enclave_status, token),
	F(struct ghost_enclave_status, max_tasks),
	F(struct ghost_enclave_status, fallback),
	F(struct ghost_enclave_status, pad1),
	F(struct ghost_enclave_status, idle),

	N(GHOST_TXN_FREE),
	N(GHOST_TXN_READY),
	N(GHOST_TXN_COMMITTED),
	N(GHOST_TXN_YIELDED),
	N(GHOST_TXN_AGENT_STALE),
	N(GHOST_TXN_TASK_STALE),
	N(GHOST_TXN_NOT_FOUND),
	N(GHOST_TXN_NOT_RUNNABLE),
	N(GHOST_TXN_ON_CPU),
	N(GHOST_TXN_NOT_ALLOWED),
	N(GHOST_TXN_AGAIN),
	N(GHOST_TXN_INVALID),
	N(GHOST_TXN_CPU_UNAVAIL),
	N(GHOST_TXN_CPU_OFFLINE),
	N(GHOST_TXN_CPU_OCCUPIED),
	N(GHOST_TXN_INVALID_CPU),
	N(GHOST_TXN_NO_AGENT),
	N(GHOST_TXN_POISONED),
	N(GHOST_TXN_ABORTED),
	N(GHOST_TXN_TAKEN),
	N(GHOST_SLOT_NONE),
	N(GHOST_SLOT_AGENT),
	N(GHOST_SLOT_IDLE),
	N(GHOST_RUN_RTLA_ON_PREEMPT),
	N(GHOST_RUN_RTLA_ON_BLOCKED),
	N(GHOST_RUN_RTLA_ON_YIELD),
	N(GHOST_RUN_RTLA_ON_IDLE),
	N(GHOST_RUN_NEED_CPU_NOT_IDLE),
	N(GHOST_RUN_ELIDE_PREEMPT),
	N(GHOST_RUN_SEND_TASK_ON_CPU),
	N(GHOST_RUN_DO_NOT_PREEMPT),
	N(GHOST_RUN_SLICE_TIMER),
	N(GHOST_COMMIT_ALLOW_TASK_ON_CPU),
	N(GHOST_COMMIT_ELIDE_AGENT_SEQ),
	N(GHOST_COMMIT_AGENT_SEQ_ON_FAILURE),
	N(GHOST_TXN_FLAGS),
	N(GHOST_SLICE_INF),
	N(GHOST_CPU_NONE),
	N(GHOST_COMMIT_SYNC),
	S(struct ghost_txn),
	F(struct ghost_txn, state),
	F(struct ghost_txn, slot),
	F(struct ghost_txn, task_seq),
	F(struct ghost_txn, agent_seq),
	F(struct ghost_txn, slice_ns),
	F(struct ghost_txn, flags),
	F(struct ghost_txn, ping_cpu),
	F(struct ghost_txn, commit_ns),
	F(struct ghost_txn, cpu_seq),
	F(struct ghost_txn, owner),
	F(struct ghost_txn, pad),
	S(struct ghost_cpu_rw),
	F(struct ghost_cpu_rw, txn),
	F(struct ghost_cpu_rw, pick),
	F(struct ghost_cpu_rw, queue_tail),
	F(struct ghost_cpu_rw, spins),
	F(struct ghost_cpu_rw, pad),

	N(GHOST_NR_TASKS),
	N(GHOST_NR_FALLBACKS),
	N(GHOST_NR_KICKS),
	N(GHOST_NR_PICKS),
	N(GHOST_NR_WAITS),
	N(GHOST_NR_LATE),
	N(GHOST_CPU_AVAILABLE),
	N(GHOST_CPU_TAKEN),
	N(GHOST_CPU_OFF),
	S(struct ghost_cpu),
	F(struct ghost_cpu, agent_seq),
	F(struct ghost_cpu, agent_tid),
	F(struct ghost_cpu, help),
	F(struct ghost_cpu, owned),
	F(struct ghost_cpu, state),
	F(struct ghost_cpu, wanted),
	F(struct ghost_cpu, waited),
	F(struct ghost_cpu, pad),
	F(struct ghost_cpu, queue),
	F(struct ghost_cpu, nr),
	F(struct ghost_cpu, nr_txn),
	F(struct ghost_cpu, pad2),

	N(GHOST_CTL_INFO),
	N(GHOST_CTL_ENCLAVE_CREATE),
	N(GHOST_CTL_ENCLAVE_DESTROY),
	N(GHOST_CTL_ENCLAVE_FREE),
	N(GHOST_CTL_TASK_JOIN),
	N(GHOST_CTL_TASK_UNJOIN),
	N(GHOST_CTL_INIT),
	N(GHOST_CTL_ENCLAVE_CPUS),
	N(GHOST_CTL_ENCLAVE_SLO),
	N(GHOST_CTL_AGENT_ATTACH),
	N(GHOST_CTL_AGENT_ONLINE),
	N(GHOST_CTL_AGENT_PING),
	N(GHOST_CTL_AGENT_OFFLINE),
	N(GHOST_CTL_COMMIT),
	N(GHOST_CTL_AGENT_DETACH),
	N(GHOST_CTL_QUEUE_CREATE),
	N(GHOST_CTL_QUEUE_DESTROY),
	N(GHOST_CTL_QUEUE_DEFAULT),
	N(GHOST_CTL_QUEUE_WAKE),
	N(GHOST_CTL_QUEUE_ASSOC),
	N(GHOST_CTL_DELIVER),
	N(GHOST_CTL_KICK),
	N(GHOST_CTL_TIMER),
	N(GHOST_AGENT_SPINS),
	N(GHOST_ASSOC_ALREADY),
	N(GHOST_ASSOC_NEW),
	S(struct ghost_ctl),
	F(struct ghost_ctl, op),
	F(struct ghost_ctl, ret),
	F(struct ghost_ctl, enclave),
	F(struct ghost_ctl, cpu),
	F(struct ghost_ctl, tid),
	F(struct ghost_ctl, abi),
	F(struct ghost_ctl, capacity),
	F(struct ghost_ctl, queue),
	F(struct ghost_ctl, slot),
	F(struct ghost_ctl, seq),
	F(struct ghost_ctl, len),
	F(struct ghost_ctl, flags),
	F(struct ghost_ctl, stall_ns),
	F(struct ghost_ctl, cpus),
	F(struct ghost_ctl, token),

	N(GHOST_HINTS_MAGIC),
	N(GHOST_HINTS_VERSION),
	N(GHOST_HINTS_ENTRIES_MAX),
	N(GHOST_HINTS_PROCESSES_MAX),
	N(GHOST_HINTS_SEALS),
	N(GHOST_HINT_CLASS_DEFAULT),
	N(GHOST_HINT_CLASS_LATENCY),
	N(GHOST_HINT_CLASS_BATCH),
	N(GHOST_HINT_CLASS_MAX),
	N(GHOST_HINT_RUNNABLE),
	N(GHOST_HINT_IDLE),
	N(GHOST_HINT_EXPECTED_MAX_NS),
	S(struct ghost_hints_header),
	F(struct ghost_hints_header, magic),
	F(struct ghost_hints_header, version),
	F(struct ghost_hints_header, entry_size),
	F(struct ghost_hints_header, size),
	F(struct ghost_hints_header, nr_entries),
	F(struct ghost_hints_header, pad),
	S(struct ghost_hint_entry),
	F(struct ghost_hint_entry, tid),
	F(struct ghost_hint_entry, seq),
	F(struct ghost_hint_entry, class_),
	F(struct ghost_hint_entry, flags),
	F(struct ghost_hint_entry, deadline_ns),
	F(struct ghost_hint_entry, expected_ns),
	F(struct ghost_hint_entry, pad),
	S(struct ghost_hints_answer),
	F(struct ghost_hints_answer, err),
	F(struct ghost_hints_answer, version),
};

static void dump(FILE *f)
{
	fputs("# Layout of abi/: made by `build/tests/unit/test_layout --print`.\n", f);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct field *l = &fields[i];

		if (!l->type)
			fprintf(f, "%s = %llu\n", l->name, l->offset);
		else if (!l->name)
			fprintf(f, "\n%s: %zu bytes\n", l->type, l->size);
		else
			fprintf(f, "  %5llu %5zu %s\n", l->offset, l->size, l->name);
		if (l->type && l->name && (i + 1 == ARRAY_LEN(fields) || !fields[i + 1].type))
			fputs("\n", f);
	}
}

/* Shown by the first line that differs, in the words of both. */
static void test_layout_is_the_golden_one(void **state)
{
	const char *root = getenv("GHOST_TESTS_ROOT");
	char path[4096], want[256], got[256];
	FILE *golden, *now = tmpfile();
	char *w, *g;

	snprintf(path, sizeof(path), "%s/abi/layout.golden", root ? root : ".");
	golden = fopen(path, "re");
	assert_non_null(golden);
	assert_non_null(now);
	dump(now);
	rewind(now);
	do {
		w = fgets(want, sizeof(want), golden);
		g = fgets(got, sizeof(got), now);
		assert_string_equal(g ? got : "(end)", w ? want : "(end)");
	} while (w && g);
	fclose(golden);
	fclose(now);
}

/* The fields follow each other without a gap, so none is missing and no padding is hidden. */
static void test_layout_has_no_unnamed_byte(void **state)
{
	unsigned long long next = 0;
	size_t size = 0;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct field *l = &fields[i];

		if (!l->type)
			continue;
		if (!l->name) {
			assert_int_equal(next, size);
			next = 0;
			size = l->size;
			continue;
		}
		if (l->again) {
			assert_true(l->offset + l->size <= next);
			continue;
		}
		assert_int_equal(l->offset, next);
		next += l->size;
	}
	assert_int_equal(next, size);
}

/* The dump names every struct, enumerator and constant that the headers define. */
static void test_layout_leaves_nothing_out(void **state)
{
	static const char *const names[] = { "cpu", "ctl",   "enclave", "hints", "limits",
					     "msg", "queue", "status",	"txn" };
	const char *root = getenv("GHOST_TESTS_ROOT");

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[4096], line[512], word[128], blank[2];
		FILE *f;

		snprintf(path, sizeof(path), "%s/abi/%s.h", root ? root : ".", names[i]);
		f = fopen(path, "re");
		assert_non_null(f);
		while (fgets(line, sizeof(line), f)) {
			int found = 0;

			/* "	GHOST_X = 1," and "#define GHOST_X 1", not guards nor counts. */
			if (sscanf(line, "\tGHOST_%100[A-Z0-9_] = %*d", word) != 1 &&
			    (sscanf(line, "#define GHOST_%100[A-Z0-9_]%1[ ]", word, blank) != 2))
				continue;
			if (strstr(word, "NR_COUNTERS") || strstr(word, "NR_STATES"))
				continue;
			for (size_t k = 0; k < ARRAY_LEN(fields) && !found; k++)
				found = !fields[k].type && !strcmp(fields[k].name + 6, word);
			if (!found)
				print_error("%s.h: GHOST_%s is not in the dump\n", names[i], word);
			assert_true(found);
		}
		fclose(f);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout_is_the_golden_one),
		cmocka_unit_test(test_layout_has_no_unnamed_byte),
		cmocka_unit_test(test_layout_leaves_nothing_out),
	};

	if (argc == 2 && !strcmp(argv[1], "--print")) {
		dump(stdout);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
