/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel side's memory: private records, and the arrays that each enclave
 * shares with its agents.
 * In: nothing. Out: maps. User space sizes the slot tables before loading and
 * fills the outer maps when it creates an enclave.
 */
#ifndef GHOST_BPF_MAPS_H
#define GHOST_BPF_MAPS_H

#include "abi/abi.h"
#include "bpf/kernel.bpf.h"
#include "core/record.h"

/* Private: never mapped by anyone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GHOST_SLOTS_DEFAULT);
	__type(key, u32);
	__type(value, struct core_task);
} ghost_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GHOST_CPUS_MAX);
	__type(key, u32);
	__type(value, struct core_cpu);
} ghost_cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GHOST_ENCLAVES_MAX);
	__type(key, u32);
	__type(value, struct core_enclave);
} ghost_enclaves SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct core_slots);
} ghost_slots SEC(".maps");

/* Slot -> thread. Apart from the record: a map with kernel pointers has rules of its own. */
struct task_ref {
	struct task_struct __kptr *task;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GHOST_SLOTS_DEFAULT);
	__type(key, u32);
	__type(value, struct task_ref);
} ghost_refs SEC(".maps");

/*
 * What was said of a thread, or by it. With the thread, not its number: that may be another
 * one's by then, and a table of numbers could be filled by one who may ask.
 */
struct thread_own {
	u64 joining; /* who it will be when it turns SCHED_EXT; 0: as before */
	/*
	 * Of which CPU it is the agent, in no class of ours; 0: of none. Not in dsq_vtime,
	 * which belongs to whoever changes the thread's class.
	 */
	u64 spinner;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread_own);
} ghost_own SEC(".maps");

/*
 * Shared with agents, one set per enclave, made by user space:
 * status, cpu and ring are frozen there (agents read), cpu_rw is writable. Sizes, not
 * types: clang gives inner maps no full type information.
 */
struct status_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(struct ghost_status));
};

struct cpu_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(struct ghost_cpu));
};

struct cpu_rw_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(struct ghost_cpu_rw));
};

struct ring_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(struct ghost_msg));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GHOST_ENCLAVES_MAX);
	__type(key, u32);
	__array(values, struct status_map);
} ghost_status_of SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GHOST_ENCLAVES_MAX);
	__type(key, u32);
	__array(values, struct cpu_map);
} ghost_cpu_of SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GHOST_ENCLAVES_MAX);
	__type(key, u32);
	__array(values, struct cpu_rw_map);
} ghost_cpu_rw_of SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GHOST_ENCLAVES_MAX);
	__type(key, u32);
	__array(values, struct ring_map);
} ghost_ring_of SEC(".maps");

struct heartbeat {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct heartbeat);
} ghost_timer SEC(".maps");

/* Timers that agents arm, by CPU. */
struct cpu_alarm {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GHOST_CPUS_MAX);
	__type(key, u32);
	__type(value, struct cpu_alarm);
} ghost_alarms SEC(".maps");

/* Timers that end slices, by CPU: a value holds one timer only. */
struct cpu_slice {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GHOST_CPUS_MAX);
	__type(key, u32);
	__type(value, struct cpu_slice);
} ghost_slices SEC(".maps");

#endif
