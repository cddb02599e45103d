// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost status: what is loaded, which enclaves there are, and how they do.
 * In: the kernel side, records of runs. Out: text or JSON.
 * Called by people, scripts and tests.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/record.h"
#include "cli/run.h"

static int status_main(int argc, char **argv);

const struct verb verb_status = {
	.name = "status",
	.args = "",
	.help = "show what is loaded, the enclaves and their threads",
	.main = status_main,
};

struct arguments {
	bool json;
	bool threads;
};

static const struct argp_option options[] = {
	{ "threads", 't', NULL, 0, "also list the threads of each enclave", 0 },
	OPTION_JSON,
	OPTION_HELP,
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'j':
		a->json = true;
		return 0;
	case 't':
		a->threads = true;
		return 0;
	case ARGP_KEY_ARG:
		usage_error(&verb_status, "status takes no argument, and got '%s'", arg);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* One enclave as seen now; what it shows may be a moment apart. */
struct view {
	uint32_t id;
	struct ghost_enclave *enclave;
	struct ghost_enclave_status status;
	struct ghost_enclave_counts counts;
	char cpus[256];
	bool has_record;
	struct record record;
};

/* The kernel writes while we read: a copy is taken again if its word has changed. */
static bool read_thread(const struct ghost_status *st, struct ghost_status *ret)
{
	for (int i = 0; i < 10; i++) {
		*ret = *(const volatile struct ghost_status *)st;
		if (*(const volatile __u64 *)&st->word == ret->word)
			break;
	}
	ret->comm[GHOST_COMM_LEN - 1] = 0;
	return ghost_status_flags(ret->word) & GHOST_STATUS_INUSE;
}

static bool look(struct view *v, struct ghost_backend *backend, uint32_t id)
{
	struct ghost_cpuset cpus;

	memset(v, 0, sizeof(*v));
	v->id = id;
	if (ghost_enclave_open(&v->enclave, backend, id))
		return false;
	v->status = *ghost_enclave_status(v->enclave);
	if (ghost_enclave_count(v->enclave, &v->counts) || ghost_enclave_cpus(v->enclave, &cpus)) {
		ghost_enclave_close(v->enclave);
		return false;
	}
	ghost_cpuset_format(&cpus, v->cpus, sizeof(v->cpus));
	v->has_record = !run_record_read(id, &v->record);
	return true;
}

/* --- text ----------------------------------------------------------------------------- */

static void print_threads(const struct view *v)
{
	const struct ghost_memory *mem = ghost_enclave_memory(v->enclave);
	struct ghost_status st;
	char name[GHOST_COMM_LEN];

	printf("  %8s %8s  %-15s %-8s %4s %12s\n", "tid", "tgid", "name", "state", "cpu",
	       "runtime");
	for (uint32_t slot = 1; slot < v->status.nr_slots && slot < mem->capacity; slot++) {
		if (!read_thread(&mem->status[slot], &st))
			continue;
		ghost_status_name(st.comm, name);
		printf("  %8u %8u  %-15s %-8s %4u %9.3f s\n", st.tid, st.tgid, name,
		       ghost_status_state(ghost_status_flags(st.word)), st.cpu,
		       st.runtime_ns * 1e-9);
	}
}

static void print_enclave(const struct view *v, bool threads)
{
	char refusals[512];

	printf("\nenclave %u: %s", v->id, ghost_enclave_state_name(v->status.state));
	if (v->status.state == GHOST_ENCLAVE_LOST)
		printf(" (%s, %s %u)", ghost_lost_reason_name(v->status.lost_reason),
		       v->status.lost_reason == GHOST_LOST_CPU ? "CPU" : "thread",
		       v->status.lost_arg);
	putchar('\n');
	if (v->has_record)
		printf("  policy     %s\n  command    %s (keeper %d)\n", v->record.policy,
		       v->record.command, v->record.keeper.pid);
	printf("  cpus       %s, %u of them with an agent\n", v->cpus, v->counts.nr_agents);
	printf("  threads    %u now", v->counts.nr_tasks);
	if (v->status.nr_no_slot)
		printf(", %llu left to the fallback for want of room",
		       (unsigned long long)v->status.nr_no_slot);
	printf("\n  messages   %" PRIu64, v->counts.nr_msgs);
	if (v->counts.nr_overflows)
		printf(", and %" PRIu64 " that found no room", v->counts.nr_overflows);
	printf("\n  committed  %" PRIu64 "\n  refused    %s\n", stats_committed(&v->counts),
	       stats_refusals(&v->counts, refusals, sizeof(refusals)));
	printf("  fallback   %" PRIu64 " times\n", v->counts.nr[GHOST_NR_FALLBACKS]);
	if (threads)
		print_threads(v);
}

static void print_kernel(const struct ghost_kernel_info *info, int nr_enclaves)
{
	if (!info->loaded && info->other[0])
		printf("ghOSt is not loaded; the sched_ext scheduler '%s' is.\n", info->other);
	else if (!info->loaded)
		printf("ghOSt is not loaded; 'ghost run' loads it.\n");
	else if (info->ejected)
		printf("The kernel ejected ghOSt: %s.\n", info->reason);
	else
		printf("ghOSt is loaded: room for %u threads, %d enclave%s.\n", info->capacity - 1,
		       nr_enclaves, nr_enclaves == 1 ? "" : "s");
}

/* --- JSON ------------------------------------------------------------------------------ */

static json_t *threads_json(const struct view *v)
{
	const struct ghost_memory *mem = ghost_enclave_memory(v->enclave);
	json_t *list = json_array();
	struct ghost_status st;

	for (uint32_t slot = 1; slot < v->status.nr_slots && slot < mem->capacity; slot++) {
		if (!read_thread(&mem->status[slot], &st))
			continue;
		json_array_append_new(
			list, json_pack("{s:i, s:i, s:o, s:s, s:i, s:I}", "tid", (int)st.tid,
					"tgid", (int)st.tgid, "comm", json_text(st.comm), "state",
					ghost_status_state(ghost_status_flags(st.word)), "cpu",
					(int)st.cpu, "runtime_ns", (json_int_t)st.runtime_ns));
	}
	return list;
}

static json_t *enclave_json(const struct view *v, bool threads)
{
	json_t *o = json_pack("{s:i, s:s, s:s, s:i, s:i, s:I, s:I, s:s}", "id", (int)v->id, "state",
			      ghost_enclave_state_name(v->status.state), "cpus", v->cpus, "agents",
			      (int)v->counts.nr_agents, "threads", (int)v->counts.nr_tasks,
			      "no_slot", (json_int_t)v->status.nr_no_slot, "max_threads",
			      (json_int_t)v->status.max_tasks, "fallback",
			      ghost_fallback_name(v->status.fallback));

	if (v->status.state == GHOST_ENCLAVE_LOST) {
		json_object_set_new(o, "lost_reason",
				    json_string(ghost_lost_reason_name(v->status.lost_reason)));
		json_object_set_new(o, "lost_thread", json_integer(v->status.lost_arg));
	}
	if (v->has_record) {
		json_object_set_new(o, "policy", json_text(v->record.policy));
		json_object_set_new(o, "command", json_text(v->record.command));
		json_object_set_new(o, "keeper_pid", json_integer(v->record.keeper.pid));
		json_object_set_new(o, "agent_pid", json_integer(v->record.agent.pid));
	}
	stats_add_json(o, &v->counts);
	if (threads)
		json_object_set_new(o, "thread_list", threads_json(v));
	return o;
}

static json_t *kernel_json(const struct ghost_kernel_info *info)
{
	json_t *o = json_pack("{s:b}", "loaded", info->loaded);

	if (info->loaded) {
		json_object_set_new(o, "abi", json_integer(info->abi));
		json_object_set_new(o, "capacity", json_integer(info->capacity));
		json_object_set_new(o, "ejected", json_boolean(info->ejected));
	}
	if (info->ejected)
		json_object_set_new(o, "reason", json_text(info->reason));
	if (info->other[0])
		json_object_set_new(o, "other", json_text(info->other));
	return o;
}

/* --------------------------------------------------------------------------------------- */

static int show(const struct arguments *a, const struct ghost_kernel_info *info)
{
	struct ghost_backend *backend = NULL;
	uint32_t ids[GHOST_ENCLAVES_MAX];
	json_t *object = NULL, *list = NULL;
	int nr, ret;
	struct view v;

	nr = info->loaded ? ghost_enclave_list(ids) : 0;
	ret = info->loaded ? open_kernel(&backend) : EXIT_OK;
	if (ret)
		return ret;
	if (a->json) {
		object = kernel_json(info);
		list = json_array();
		json_object_set_new(object, "enclaves", list);
	} else {
		print_kernel(info, nr < 0 ? 0 : nr);
	}
	for (int i = 0; i < nr; i++) {
		if (!look(&v, backend, ids[i]))
			continue;
		if (a->json)
			json_array_append_new(list, enclave_json(&v, a->threads));
		else
			print_enclave(&v, a->threads);
		ghost_enclave_close(v.enclave);
	}
	if (backend)
		backend->close(backend);
	return a->json ? json_print(object) : EXIT_OK;
}

static int status_main(int argc, char **argv)
{
	struct arguments a = { 0 };
	struct ghost_kernel_info info;
	int lock, ret;

	options_parse(&verb_status, options, parse, &a, argc, argv);
	lock = record_lock();
	if (lock < 0)
		return say_no_lock(lock);
	tidy();
	ret = ghost_kernel_info(&info);
	if (ret) {
		/* Opening it says what is the matter, in a sentence. */
		struct ghost_backend *backend;

		ret = open_kernel(&backend);
		if (!ret)
			backend->close(backend);
	} else {
		ret = show(&a, &info);
	}
	record_unlock(lock);
	return ret;
}
