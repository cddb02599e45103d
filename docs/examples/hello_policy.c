// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A policy of one's own, and the program that runs it: one FIFO for all CPUs.
 * In: a command line. Out: that command, scheduled by hello. Called by people:
 * hello_policy COMMAND [ARG...], as root. docs/policy.md explains each part.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libghost/agent.h"
#include "libghost/barrier.h"
#include "libghost/kernel.h"

struct entry { /* per thread */
	TAILQ_ENTRY(entry) link;
	struct ghost_task *task; /* NULL while it is not in the queue */
};

struct hello { /* one for all agents */
	struct ghost_lock lock;
	TAILQ_HEAD(, entry) queue;
};

static int init(struct ghost_agent *a, void *data)
{
	TAILQ_INIT(&((struct hello *)data)->queue);
	return 0;
}

/* Put @e at the end of the queue, or with @t NULL only take it out. */
static void put(struct hello *h, struct entry *e, struct ghost_task *t)
{
	ghost_lock(&h->lock);
	if (e->task)
		TAILQ_REMOVE(&h->queue, e, link);
	e->task = t;
	if (t)
		TAILQ_INSERT_TAIL(&h->queue, e, link);
	ghost_unlock(&h->lock);
}

static void runnable(struct ghost_agent *a, struct ghost_task *t, enum ghost_cause cause)
{
	uint32_t cpu = ghost_agent_fit(a, t, ghost_agent_cpu(a));

	if (cpu == GHOST_CPU_NONE)
		return; /* it may run nowhere here: we are told when that changes */
	put(ghost_agent_data(a), ghost_task_data(t), t);
	ghost_agent_wake(a, cpu); /* does nothing for ourselves: our schedule() follows */
}

static void gone(struct ghost_agent *a, struct ghost_task *t, bool dead)
{
	put(ghost_agent_data(a), ghost_task_data(t), NULL);
}

static void schedule(struct ghost_agent *a, uint32_t cpu)
{
	struct hello *h = ghost_agent_data(a);
	struct ghost_task *t;
	struct entry *e;

	do {
		ghost_lock(&h->lock);
		TAILQ_FOREACH(e, &h->queue, link)
			if (ghost_task_allowed(e->task, cpu))
				break;
		t = e ? e->task : NULL;
		if (e) {
			TAILQ_REMOVE(&h->queue, e, link);
			e->task = NULL;
		}
		ghost_unlock(&h->lock);
	} while (t && !ghost_agent_pick(a, cpu, t, 5 * 1000 * 1000));
}

static const struct ghost_policy hello = {
	.name = "hello",
	.help = "one FIFO for all CPUs",
	.model = GHOST_PER_CPU,
	.size = sizeof(struct hello),
	.task_size = sizeof(struct entry),
	.init = init,
	.task_runnable = runnable,
	.task_gone = gone,
	.schedule = schedule,
};

/* Start @command in @enclave, wait for its end; returns its status or -1. */
static int run(struct ghost_enclave *enclave, char **command)
{
	pid_t pid = fork();
	int err, status = -1;

	if (!pid) {
		raise(SIGSTOP); /* until it is a member */
		execvp(command[0], command);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, NULL, WUNTRACED) != pid)
		return -1;
	err = ghost_enclave_join(enclave, pid);
	if (err)
		fprintf(stderr, "hello_policy: cannot join: %s\n", strerror(-err));
	kill(pid, err ? SIGKILL : SIGCONT);
	waitpid(pid, &status, 0);
	return status;
}

int main(int argc, char **argv)
{
	struct ghost_cpuset cpus;
	struct ghost_enclave_opts opts = { .size = sizeof(opts), .cpus = &cpus };
	struct ghost_backend *backend;
	struct ghost_enclave *enclave;
	struct ghost_agents *agents;
	char why[512] = "give me a command";
	int err, status = -1;

	err = argc < 2 ? -EINVAL : ghost_kernel_load(0, why, sizeof(why));
	if (!err || err == -EEXIST)
		err = ghost_kernel_open(&backend, why, sizeof(why));
	if (err)
		return fprintf(stderr, "hello_policy: %s\n", why), 1;
	err = ghost_cpuset_online(&cpus);
	err = err ?: ghost_enclave_create(&enclave, backend, &opts);
	if (!err) {
		err = ghost_agents_start(&agents, enclave, &hello, NULL);
		if (!err) {
			status = run(enclave, argv + 1);
			ghost_agents_stop(agents);
		}
		ghost_enclave_destroy(enclave);
		ghost_enclave_close(enclave);
	}
	if (err)
		fprintf(stderr, "hello_policy: %s\n", strerror(-err));
	backend->close(backend);
	return !err && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
