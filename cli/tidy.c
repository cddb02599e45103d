// SPDX-License-Identifier: GPL-2.0-only
/*
 * Undo what commands that were killed left behind.
 * In: records, the enclaves that exist. Out: dead ones destroyed, one line each.
 * Called, under the lock, at the start of every verb that looks at enclaves.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/record.h"

uint64_t enclaves_present(void)
{
	uint32_t ids[GHOST_ENCLAVES_MAX];
	int nr = ghost_enclave_list(ids);
	uint64_t set = 0;

	for (int i = 0; i < nr; i++)
		set |= 1ull << ids[i];
	return set;
}

void unload_when_idle(void)
{
	char error[512] = "";
	int ret;

	if (enclaves_present() || !automatic_marked())
		return;
	ret = ghost_kernel_unload(error, sizeof(error));
	if (ret && ret != -ENOENT)
		say("cannot unload the kernel side: %s", error[0] ? error : strerror(-ret));
	else
		automatic_unmark();
}

/* Was the enclave made by a command that is gone, with nobody to look after it? */
static bool is_orphan(uint32_t id, const struct intent *dead)
{
	struct record r;
	int err = run_record_read(id, &r);

	if (!err)
		return !record_is_live(&r);
	/* A record that cannot be read tells nothing; one that is not there may. */
	return err == -ENOENT && dead && !(dead->before >> id & 1);
}

/* Records of enclaves that are no more: a program of the user's own destroyed them. */
static void remove_stale_records(uint64_t present)
{
	struct record r;

	for (uint32_t id = 1; id < GHOST_ENCLAVES_MAX; id++) {
		if (present >> id & 1)
			continue;
		if (!run_record_read(id, &r) && !record_is_live(&r))
			record_remove(id);
	}
}

static void destroy_orphans(uint64_t present, const struct intent *dead)
{
	struct ghost_backend *backend = NULL;
	char error[512] = "";
	int ret;

	for (uint32_t id = 1; id < GHOST_ENCLAVES_MAX; id++) {
		if (!(present >> id & 1) || !is_orphan(id, dead))
			continue;
		ret = backend ? 0 : ghost_kernel_open(&backend, error, sizeof(error));
		if (ret) {
			say("cannot tidy up enclave %u: %s", id, error);
			return;
		}
		ret = destroy_enclave(backend, id);
		if (ret) {
			say("cannot tidy up enclave %u, whose 'ghost run' was killed: %s", id,
			    strerror(-ret));
			continue;
		}
		record_remove(id);
		say("tidied up enclave %u, whose 'ghost run' was killed", id);
	}
	if (backend)
		backend->close(backend);
}

/* What a `ghost upgrade` that was killed in its probe had counted. */
static void end_probes(uint64_t present)
{
	struct ghost_backend *backend = NULL;
	struct ghost_enclave *e;
	struct record r;

	for (uint32_t id = 1; id < GHOST_ENCLAVES_MAX; id++) {
		if (!(present >> id & 1) || run_record_read(id, &r) || !r.upgrader.pid ||
		    process_alive(&r.upgrader))
			continue;
		if (!backend && ghost_kernel_open(&backend, NULL, 0))
			return;
		if (ghost_enclave_open(&e, backend, id))
			continue;
		ghost_enclave_slo(e, 0);
		ghost_enclave_close(e);
		r.upgrader.pid = 0;
		run_record_write(&r);
	}
	if (backend)
		backend->close(backend);
}

void tidy(void)
{
	struct intent in;
	bool have_intent = !intent_read(&in);
	bool dead = have_intent && !process_alive(&in.keeper);
	uint64_t present = enclaves_present();

	record_remove_unfinished();
	destroy_orphans(present, dead ? &in : NULL);
	remove_stale_records(present);
	end_probes(present);
	/* It may have died in the middle of loading, before it could leave its mark. */
	if (dead) {
		if (in.loading && !enclaves_present()) {
			ghost_kernel_unload(NULL, 0);
			automatic_unmark();
		}
		intent_remove();
	}
	unload_when_idle();
}
