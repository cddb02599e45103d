// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The agents' table of threads.
 * In: the enclave's capacity. Out: memory for every slot, and what a policy
 * may ask of a thread. Implements task.h and the first part of policy.h.
 */
#include <errno.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/mman.h>

#include "libghost/policy.h"
#include "libghost/task.h"

int task_table_init(struct task_table *tt, uint32_t capacity, size_t task_size,
		    const struct ghost_status *status)
{
	/* Two threads never share a cache line. */
	tt->stride = (sizeof(struct ghost_task) + task_size + 63) & ~(size_t)63;
	tt->size = tt->stride * capacity;
	tt->capacity = capacity;
	tt->task_size = task_size;
	tt->status = status;
	/* Pages come with first use: a large table costs what is used of it. */
	tt->memory =
		mmap(NULL, tt->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (tt->memory == MAP_FAILED) {
		tt->memory = NULL;
		return -ENOMEM;
	}
	return 0;
}

void task_table_fini(struct task_table *tt)
{
	if (tt->memory)
		munmap(tt->memory, tt->size);
	tt->memory = NULL;
}

void task_reset(struct task_table *tt, struct ghost_task *t, uint32_t slot, uint64_t gtid)
{
	t->slot = slot;
	t->status = &tt->status[slot];
	t->gtid = gtid;
	t->state = TASK_BLOCKED;
	t->bound = false;
	t->hints = tt->hints;
	task_hint_reset(&t->hint);
	memset(t->data, 0, tt->task_size);
}

uint32_t ghost_task_tid(const struct ghost_task *t)
{
	return (uint32_t)t->gtid;
}

uint32_t ghost_task_cpu(const struct ghost_task *t)
{
	return __atomic_load_n(&t->status->cpu, __ATOMIC_RELAXED);
}

bool ghost_task_allowed(const struct ghost_task *t, uint32_t cpu)
{
	/* It has migration disabled, which its mask does not tell: the kernel side did. */
	if (t->bound)
		return cpu == ghost_task_cpu(t);
	return cpu < GHOST_CPUS_MAX &&
	       (__atomic_load_n(&t->status->cpus[cpu / 64], __ATOMIC_RELAXED) >> (cpu % 64) & 1);
}

int32_t ghost_task_nice(const struct ghost_task *t)
{
	return __atomic_load_n(&t->status->nice, __ATOMIC_RELAXED);
}

uint32_t ghost_task_weight(const struct ghost_task *t)
{
	return __atomic_load_n(&t->status->weight, __ATOMIC_RELAXED);
}

void ghost_task_name(const struct ghost_task *t, char ret_name[GHOST_COMM_LEN])
{
	for (int i = 0; i < GHOST_COMM_LEN; i++)
		ret_name[i] = __atomic_load_n(&t->status->comm[i], __ATOMIC_RELAXED);
	ret_name[GHOST_COMM_LEN - 1] = 0;
}

uint64_t ghost_task_cgroup(const struct ghost_task *t)
{
	return __atomic_load_n(&t->status->cgroup, __ATOMIC_RELAXED);
}

uint64_t ghost_task_runtime_ns(const struct ghost_task *t)
{
	return __atomic_load_n(&t->status->runtime_ns, __ATOMIC_RELAXED);
}

bool ghost_task_named(const struct ghost_task *t, const char *pattern)
{
	char name[GHOST_COMM_LEN];

	ghost_task_name(t, name);
	return !fnmatch(pattern, name, 0);
}

bool ghost_task_hint(const struct ghost_task *t, struct ghost_hint *ret)
{
	/* What it was when last asked for is kept with the thread. */
	return t->hints && hints_read(t->hints, (struct ghost_task *)t, ret);
}
