// SPDX-License-Identifier: GPL-2.0-only
/*
 * ghost destroy: give the threads and CPUs of enclaves back.
 * In: enclave ids. Out: enclaves gone, their threads in the fair class.
 * Called by people; destroy_enclave() and the open functions by other verbs.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/record.h"

/* Each try waits up to five seconds by itself, for members that keep coming and agents. */
#define TRIES 10

static int destroy_main(int argc, char **argv);

const struct verb verb_destroy = {
	.name = "destroy",
	.args = "ENCLAVE...|--all",
	.help = "give the threads and CPUs of enclaves back to the system",
	.more = "The threads go on running in the fair class; a 'ghost run' whose enclave is "
		"destroyed goes on until its command ends.",
	.main = destroy_main,
};

struct arguments {
	bool all;
	unsigned int nr;
	uint32_t ids[GHOST_ENCLAVES_MAX];
};

static const struct argp_option options[] = {
	{ "all", 'a', NULL, 0, "all enclaves", 0 },
	OPTION_HELP,
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	uint32_t id;

	switch (key) {
	case 'a':
		a->all = true;
		return 0;
	case ARGP_KEY_ARG:
		id = parse_enclave(&verb_destroy, arg);
		for (unsigned int i = 0; i < a->nr; i++) {
			if (a->ids[i] == id)
				return 0;
		}
		a->ids[a->nr++] = id;
		return 0;
	case ARGP_KEY_END:
		if (a->all && a->nr)
			usage_error(&verb_destroy, "give either --all or enclaves, not both");
		if (!a->all && !a->nr)
			usage_error(&verb_destroy, "say which enclave, or --all");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int open_kernel(struct ghost_backend **ret)
{
	char error[512] = "";
	int err = ghost_kernel_open(ret, error, sizeof(error));

	if (!err)
		return EXIT_OK;
	if (exit_code_of(err) == EXIT_RIGHTS)
		return say_no_rights();
	if (err == -ENOENT)
		say("ghOSt is not loaded, so there is no enclave");
	else
		say("%s", error[0] ? error : strerror(-err));
	return EXIT_FAILED;
}

int open_enclave(struct ghost_enclave **ret, struct ghost_backend *backend, uint32_t id)
{
	int err = ghost_enclave_open(ret, backend, id);

	if (!err)
		return EXIT_OK;
	if (err == -ENOENT)
		say("there is no enclave %u; see 'ghost status'", id);
	else
		say("cannot open enclave %u: %s", id,
		    backend->error[0] ? backend->error : strerror(-err));
	return exit_code_of(err);
}

bool say_owner(struct ghost_backend *backend, const struct ghost_cpuset *cpus, uint32_t but)
{
	ghost_cpuset_for_each(cpu, cpus)
	{
		int id = ghost_enclave_owner(backend, cpu);
		struct record r;

		if (id <= 0 || (uint32_t)id == but)
			continue;
		if (run_record_read(id, &r))
			say("CPU %d belongs to enclave %d; choose others", cpu, id);
		else
			say("CPU %d belongs to enclave %d ('%s', pid %d); choose others", cpu, id,
			    r.command, r.keeper.pid);
		return true;
	}
	return false;
}

bool kernel_ejected(void)
{
	char state[32] = "";
	FILE *f = fopen("/sys/kernel/sched_ext/state", "re");

	if (!f)
		return true;
	if (!fgets(state, sizeof(state), f))
		state[0] = 0;
	fclose(f);
	return !strncmp(state, "disabled", 8);
}

/*
 * Agents that hang. Those of a command of ours end; of others we know the numbers of
 * threads, which is not enough to kill anybody: they go to the fair class, and are the
 * agents of nobody then, or if they spin are forgotten in time (core/enclave.h).
 */
static void end_agents(const struct ghost_enclave *e, struct ghost_backend *backend, uint32_t id)
{
	const struct ghost_memory *mem = ghost_enclave_memory(e);
	struct record r;

	if (!run_record_read(id, &r))
		kill_agents(&r.agent);
	for (uint32_t cpu = 0; cpu < mem->nr_cpus; cpu++) {
		uint32_t tid = __atomic_load_n(&mem->cpu[cpu].agent_tid, __ATOMIC_ACQUIRE);

		if (tid)
			backend->task_leave(backend, tid);
	}
}

int destroy_enclave(struct ghost_backend *backend, uint32_t id)
{
	static const struct timespec nap = { .tv_nsec = 20 * 1000 * 1000 };
	struct ghost_enclave *e;
	int ret = ghost_enclave_open(&e, backend, id);

	/* Half made, by someone who was killed: only the memory is there. */
	if (ret == -ENOENT && enclaves_present() >> id & 1) {
		backend->enclave_discard(backend, id);
		return 0;
	}
	if (ret)
		return ret;
	for (int i = 0; i < TRIES; i++) {
		ret = ghost_enclave_destroy(e);
		if (ret != -EBUSY || kernel_ejected())
			break;
		/* Those that somebody else started may not want to. */
		end_agents(e, backend, id);
		nanosleep(&nap, NULL);
	}
	ghost_enclave_close(e);
	/* Once the kernel has ejected the scheduler, nobody reports members leaving. */
	if (ret == -EBUSY && kernel_ejected()) {
		backend->enclave_discard(backend, id);
		ret = 0;
	}
	return ret;
}

static int destroy_one(struct ghost_backend *backend, uint32_t id)
{
	int ret;

	if (!(enclaves_present() >> id & 1)) {
		say("there is no enclave %u; see 'ghost status'", id);
		return EXIT_FAILED;
	}
	ret = destroy_enclave(backend, id);
	if (ret == -EBUSY)
		say("cannot destroy enclave %u: threads keep coming or its agents do not leave; "
		    "try again",
		    id);
	else if (ret)
		say("cannot destroy enclave %u: %s", id,
		    backend->error[0] ? backend->error : strerror(-ret));
	else
		record_remove(id);
	return exit_code_of(ret);
}

static int destroy_main(int argc, char **argv)
{
	struct arguments a = { 0 };
	struct ghost_backend *backend;
	int lock, ret = 0;

	options_parse(&verb_destroy, options, parse, &a, argc, argv);
	lock = record_lock();
	if (lock < 0)
		return say_no_lock(lock);
	tidy();
	if (a.all) {
		uint64_t present = enclaves_present();

		for (uint32_t id = 1; id < GHOST_ENCLAVES_MAX; id++) {
			if (present >> id & 1)
				a.ids[a.nr++] = id;
		}
		if (!a.nr)
			goto out;
	}
	ret = open_kernel(&backend);
	if (ret)
		goto out;
	for (unsigned int i = 0; i < a.nr; i++)
		ret = destroy_one(backend, a.ids[i]) ?: ret;
	backend->close(backend);
	unload_when_idle();
out:
	record_unlock(lock);
	return ret;
}
