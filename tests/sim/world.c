// SPDX-License-Identifier: GPL-2.0-only
/*
 * The simulator as a world for cases of the contract.
 * In: suites of cases. Out: contract_main(), TAP. The world of a real kernel is
 * tests/vm/world.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/backend.h"
#include "sim/law.h"
#include "tests/check.h"
#include "tests/contract/contract.h"

/* Virtual time that no case needs. */
#define TOO_LONG_NS (100000 * MS)
#define SPIN_NS 100000

static struct machine *machine;
static struct puppet puppets[PUPPETS_MAX];

/* --- puppets -------------------------------------------------------------------- */

static const struct behaviour behaviour_puppet, behaviour_renamed;

static struct action puppet_acts(struct machine *m, struct thread *t)
{
	struct puppet *p = t->data;
	struct thread *child, *other;

	switch (puppet_next(p, t->cpu)) {
	case PUPPET_BLOCK:
		return (struct action){ .act = ACT_BLOCK };
	case PUPPET_SPIN:
		break;
	case PUPPET_YIELD:
		return (struct action){ .act = ACT_YIELD };
	case PUPPET_FORK:
		child = thread_fork(m, &behaviour_puppet, p->child);
		if (child)
			p->child->tid = child->tid;
		break;
	case PUPPET_MOVE:
		thread_affinity(m, t, &p->cpus);
		break;
	case PUPPET_NICE:
		thread_nice(m, t, p->nice);
		break;
	case PUPPET_NAME:
		t->behaviour = &behaviour_renamed;
		break;
	case PUPPET_LEAVE:
		if (t->class_ == CLASS_EXT)
			thread_set_class(m, t, CLASS_FAIR);
		break;
	case PUPPET_EXIT:
		return (struct action){ .act = ACT_EXIT };
	case PUPPET_DOZE:
		return (struct action){ .act = ACT_SLEEP, .ns = p->nap_ns };
	case PUPPET_HERD:
		other = p->child->tid ? thread_by_tid(m, p->child->tid) : NULL;
		if (other)
			thread_affinity(m, other, &p->cpus);
		break;
	case PUPPET_WANDER:
	case PUPPET_ROAM:
		break; /* told as what they are made of */
	}
	return (struct action){ .act = ACT_RUN, .ns = SPIN_NS };
}

static const struct behaviour behaviour_puppet = {
	.name = "puppet",
	.next = puppet_acts,
};

static const struct behaviour behaviour_renamed = {
	.name = "renamed",
	.next = puppet_acts,
};

/* Whose thread is it? And the one who asks is none of the machine's. */
static struct thread *thread_of(const struct puppet *p)
{
	machine->this_cpu = 0;
	machine->this_thread = NULL;
	return p->tid ? thread_by_tid(machine, p->tid) : NULL;
}

static int world_start(struct world *w, struct puppet *p)
{
	struct thread *t = thread_new(machine, &behaviour_puppet, p, 0);

	if (!t)
		return -EAGAIN;
	p->tid = t->tid;
	return 0;
}

static void world_poke(struct world *w, struct puppet *p)
{
	struct thread *t = thread_of(p);

	if (t && t->place == PLACE_ASLEEP)
		thread_wake(machine, t);
}

static bool world_asleep(struct world *w, struct puppet *p)
{
	const struct thread *t = thread_of(p);

	return t && t->place == PLACE_ASLEEP;
}

static uint64_t world_runtime_ns(struct world *w, struct puppet *p)
{
	const struct thread *t = thread_of(p);

	return t ? t->runtime_ns : 0;
}

static int world_affinity(struct world *w, struct puppet *p, const struct ghost_cpuset *cpus)
{
	struct thread *t = thread_of(p);

	if (!t)
		return -ESRCH;
	thread_affinity(machine, t, cpus);
	return 0;
}

static int world_nice(struct world *w, struct puppet *p, int nice)
{
	struct thread *t = thread_of(p);

	if (!t)
		return -ESRCH;
	thread_nice(machine, t, nice);
	return 0;
}

/* All that is above ours is one class here. */
static int world_set_class(struct world *w, struct puppet *p, enum puppet_class class_)
{
	struct thread *t = thread_of(p);

	if (!t)
		return -ESRCH;
	return t->class_ == CLASS_FAIR ? 0 : thread_set_class(machine, t, CLASS_FAIR);
}

static enum puppet_class world_class_of(struct world *w, struct puppet *p)
{
	const struct thread *t = thread_of(p);

	if (!t)
		return CLASS_OF_NONE;
	return t->class_ == CLASS_EXT ? CLASS_OF_US : CLASS_OF_FAIR;
}

static void world_kill(struct world *w, struct puppet *p)
{
	struct thread *t = thread_of(p);

	if (t)
		thread_kill(machine, t);
}

static int world_end_all(struct world *w)
{
	for (uint32_t i = 0; i < w->nr_puppets; i++)
		world_kill(w, &puppets[i]);
	for (uint32_t i = 0; i < w->nr_puppets; i++) {
		for (int ms = 0; thread_of(&puppets[i]); ms++) {
			if (ms == PATIENCE)
				return -EBUSY;
			pass(w, 1);
		}
	}
	return 0;
}

static uint64_t world_now_ns(struct world *w)
{
	return machine->now;
}

static const struct world_ops ops = {
	.start = world_start,
	.poke = world_poke,
	.asleep = world_asleep,
	.runtime_ns = world_runtime_ns,
	.affinity = world_affinity,
	.nice = world_nice,
	.set_class = world_set_class,
	.class_of = world_class_of,
	.kill = world_kill,
	.end_all = world_end_all,
	.now_ns = world_now_ns,
};

/* --- a machine for each case ---------------------------------------------------- */

struct run {
	struct world w;
	const struct contract_case *c;
	bool over;
};

static void case_main(struct process *p, void *arg)
{
	struct run *r = arg;

	r->w.backend = process_backend(p);
	contract_run(&r->w, r->c);
	r->over = true;
	machine->stop = true;
}

static void test_case(void **state)
{
	struct machine_options opt = { .profile = profile_at(0), .capacity = 256, .seed = 1 };
	struct run r = { .w = { .ops = &ops, .puppets = puppets }, .c = *state };
	const struct contract_case *c = *state;
	char topology[TOPOLOGY_TEXT_SIZE], broken[sizeof(machine->broken)];
	const char *why = "";
	bool over;

	r.w.nr_cpus = c->nr_cpus ?: NR_CPUS;
	assert_int_equal(topology_default(topology, sizeof(topology), r.w.nr_cpus), 0);
	opt.topology = topology;
	assert_int_equal(machine_new(&machine, &opt, &why), 0);
	assert_int_equal(law_new(machine), 0);
	/* Cases do not always read what they say they have read, and may let a thread wait. */
	law_blind(machine);
	law_excuse(machine);
	assert_int_equal(process_start(NULL, machine, case_main, &r), 0);
	while (!machine->stop && machine->now < TOO_LONG_NS && machine_step(machine))
		;
	over = r.over;
	memcpy(broken, machine->broken, sizeof(broken));
	processes_free(machine);
	machine_free(machine);
	if (broken[0])
		fail_msg("%s; %s", broken, r.w.failure);
	if (r.w.failure[0])
		fail_msg("%s", r.w.failure);
	assert_true(over);
	assert_false(r.w.unclean);
}

int contract_main(const char *name, const struct contract_case *const *suites, int argc,
		  char **argv)
{
	struct CMUnitTest tests[200] = { 0 };
	size_t nr = 0;

	for (; *suites; suites++)
		for (const struct contract_case *c = *suites; c->name; c++) {
			assert_true(nr < ARRAY_LEN(tests));
			tests[nr++] = (struct CMUnitTest){ .name = c->name,
							   .test_func = test_case,
							   .initial_state = (void *)c };
		}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	/* For people: one case, or those that fit, as "case_a_thread_*". */
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	/* Those without a name are skipped. */
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}
