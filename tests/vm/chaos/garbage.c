// SPDX-License-Identifier: GPL-2.0-only
/*
 * garbage ENCLAVE SEED MS: writes whatever it likes, for so long, into all that the
 * agents of an enclave may write. A user has the right to that of its own.
 * In: an enclave. Out: nothing. Called by storm.sh.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libghost/enclave.h"
#include "libghost/kernel.h"

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	static const struct timespec nap = { .tv_nsec = 1000 * 1000 };
	struct ghost_backend *backend;
	struct ghost_enclave *e;
	struct ghost_cpuset cpus;
	const struct ghost_memory *mem;
	char error[512] = "";
	long long end;
	int err;

	if (argc != 4)
		return 2;
	srandom(atoi(argv[2]));
	err = geteuid() ? ghost_kernel_open_enclave(&backend, atoi(argv[1]), error, sizeof(error)) :
			  ghost_kernel_open(&backend, error, sizeof(error));
	if (err || ghost_enclave_open(&e, backend, atoi(argv[1]))) {
		fprintf(stderr, "garbage: %s\n", error[0] ? error : "no such enclave");
		return 1;
	}
	mem = ghost_enclave_memory(e);
	for (end = now_ms() + atoi(argv[3]); now_ms() < end; nanosleep(&nap, NULL)) {
		ghost_enclave_cpus(e, &cpus);
		ghost_cpuset_for_each(cpu, &cpus)
		{
			char *p = (char *)&mem->cpu_rw[cpu];

			/* A few bytes hit fields that make sense with the others; all of them, none. */
			for (int i = random() % 2 ? 4 : sizeof(mem->cpu_rw[cpu]); i--;)
				p[random() % sizeof(mem->cpu_rw[cpu])] = random();
		}
	}
	ghost_enclave_close(e);
	backend->close(backend);
	return 0;
}
