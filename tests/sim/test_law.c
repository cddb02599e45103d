// SPDX-License-Identifier: GPL-2.0-only
/*
 * The laws themselves: that they find what is wrong, and nothing else, where
 * whole runs (test_mutation.sh) do not come by.
 * In: a machine with one thread, agents that never pick it. Out: TAP.
 */
#include "tests/check.h"

#include <string.h>

#include "libghost/agent.h"
#include "libghost/enclave.h"
#include "sim/backend.h"
#include "sim/law.h"

#define MS 1000000ull
#define NR_CPUS 2

/* How agents come and go, and the thread wakes in between. */
struct scene {
	uint64_t before_ns; /* the enclave has no agents yet for so long */
	uint64_t online_ns;
	uint64_t window_ns; /* so much later at most it is in custody */
	bool lost;	    /* the threads in custody are forgotten when the agents go */
};

static struct machine *machine;
static const struct scene *scene;
static uint64_t gone_at;
static uint64_t ran_ns;
static int err;
static bool over;

/* --- agents that never pick, a thread that runs when it may ------------------------ */

static void schedule(struct ghost_agent *a, uint32_t cpu)
{
}

static const struct ghost_policy idle_policy = {
	.name = "idle",
	.schedule = schedule,
};

static struct action member_acts(struct machine *m, struct thread *t)
{
	if (t->runtime_ns)
		return (struct action){ .act = ACT_BLOCK };
	return (struct action){ .act = ACT_RUN, .ns = MS };
}

static const struct behaviour behaviour_member = {
	.name = "member",
	.next = member_acts,
};

static void come_and_go(struct ghost_backend *b, struct ghost_enclave *e, struct thread *t)
{
	struct sim_enclave *se = &machine->enclave[ghost_enclave_id(e)];
	struct ghost_agents *agents = NULL;

	b->sleep(b, scene->before_ns);
	err = err ?: ghost_agents_start(&agents, e, &idle_policy, NULL);
	thread_wake(machine, t);
	if (scene->online_ns)
		b->sleep(b, scene->online_ns);
	/* As if it were under way already: nobody asks for it any more. */
	memset(se->reenqueue, scene->lost, sizeof(se->reenqueue));
	gone_at = machine->now;
	ghost_agents_stop(agents);
}

static void scene_main(struct process *p, void *arg)
{
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &machine->online };
	struct thread *t = thread_new(machine, &behaviour_member, NULL, 0);
	struct ghost_backend *b = process_backend(p);
	struct ghost_enclave *e;

	err = ghost_enclave_create(&e, b, &opts);
	if (!err) {
		err = ghost_enclave_join(e, t->tid);
		come_and_go(b, e, t);
		b->sleep(b, 200 * MS);
		ran_ns = t->runtime_ns;
		ghost_enclave_destroy(e);
		ghost_enclave_close(e);
	}
	over = true;
	machine->stop = true;
}

/* Returns for how long the agents were gone when a law was broken; 0: none was. */
static uint64_t play(const struct scene *s, char *ret_broken)
{
	struct machine_options opt = {
		.profile = profile_at(0),
		.capacity = 16,
		.seed = 1,
		.window_ns = s->window_ns,
	};
	char topology[TOPOLOGY_TEXT_SIZE];
	const char *why = "";
	uint64_t late;

	scene = s;
	over = false;
	assert_int_equal(topology_default(topology, sizeof(topology), NR_CPUS), 0);
	opt.topology = topology;
	assert_int_equal(machine_new(&machine, &opt, &why), 0);
	assert_int_equal(law_new(machine), 0);
	assert_int_equal(process_start(NULL, machine, scene_main, NULL), 0);
	while (!machine->stop && machine_step(machine))
		;
	assert_int_equal(err, 0);
	assert_true(over != !!machine->broken[0]);
	memcpy(ret_broken, machine->broken, sizeof(machine->broken));
	late = over ? 0 : machine->now - gone_at;
	processes_free(machine);
	machine_free(machine);
	return late;
}

/* --- nobody waits for agents that are gone ---------------------------------------------- */

static char broken[sizeof(((struct machine *)0)->broken)];

/* And the thread has run, once there were no agents. */
static void assert_content(uint64_t late)
{
	assert_string_equal(broken, "");
	assert_int_equal(late, 0);
	assert_int_equal(ran_ns, MS);
}

static void assert_waits(uint64_t late, uint64_t from, uint64_t to)
{
	print_message("# after %llu us: %s\n", (unsigned long long)late / 1000, broken);
	assert_non_null(strstr(broken, "has no agents and thread"));
	assert_in_range(late, from, to);
}

/* The law looks after each event: of agents that come and go in one it sees neither. */
static void test_law_of_agents_that_go_at_once_counts_from_when_they_went(void **state)
{
	const struct scene in_custody = { .before_ns = 100 * MS };
	const struct scene arrives = { .before_ns = 100 * MS, .window_ns = MS };

	assert_content(play(&in_custody, broken));
	assert_content(play(&arrives, broken));
}

static void test_law_finds_who_waits_for_agents_that_went_at_once(void **state)
{
	const struct scene in_custody = { .before_ns = 100 * MS, .lost = true };
	const struct scene arrives = { .before_ns = 100 * MS, .window_ns = MS, .lost = true };

	/* By the first event that comes: a heartbeat. */
	assert_waits(play(&in_custody, broken), MS, 55 * MS);
	/* It came when they were gone, so that one heartbeat may find it. */
	assert_waits(play(&arrives, broken), 60 * MS, 110 * MS);
}

static void test_law_finds_who_waits_for_agents_that_were_there_for_a_while(void **state)
{
	const struct scene s = { .before_ns = 100 * MS, .online_ns = 2 * MS, .lost = true };

	assert_waits(play(&s, broken), MS, 55 * MS);
}

static void test_law_is_content_with_agents_that_go_and_leave_nobody(void **state)
{
	const struct scene s = { .before_ns = 100 * MS, .online_ns = 2 * MS };

	assert_content(play(&s, broken));
}

#define T(test) cmocka_unit_test(test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_law_of_agents_that_go_at_once_counts_from_when_they_went),
		T(test_law_finds_who_waits_for_agents_that_went_at_once),
		T(test_law_finds_who_waits_for_agents_that_were_there_for_a_while),
		T(test_law_is_content_with_agents_that_go_and_leave_nobody),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("law", tests, NULL, NULL);
}
