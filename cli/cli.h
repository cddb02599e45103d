/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the `ghost` program share.
 * In: nothing. Out: the table of verbs, exit codes, messages, options.
 * Called by every file of this room.
 */
#ifndef GHOST_CLI_CLI_H
#define GHOST_CLI_CLI_H

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libghost/cgroup.h"
#include "libghost/enclave.h"
#include "libghost/kernel.h"
#include "libghost/policy.h"
#include "libghost/topo.h"

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_UNSUPPORTED = 3,
	EXIT_RIGHTS = 4,
	EXIT_CANNOT_RUN = 126, /* as shells do */
	EXIT_NOT_FOUND = 127,
};

/* The exit code that fits the negative errno @err. */
int exit_code_of(int err);

/* --- verbs ------------------------------------------------------------------- */

struct verb {
	const char *name;
	const char *args; /* after the options, for people */
	const char *help; /* one line */
	const char *more; /* a paragraph for --help, or NULL */
	int (*main)(int argc, char **argv);
};

extern const struct verb verb_agents;
extern const struct verb verb_attach;
extern const struct verb verb_bench;
extern const struct verb verb_check;
extern const struct verb verb_destroy;
extern const struct verb verb_enclave;
extern const struct verb verb_load;
extern const struct verb verb_policies;
extern const struct verb verb_run;
extern const struct verb verb_serve;
extern const struct verb verb_sim;
extern const struct verb verb_status;
extern const struct verb verb_unload;
extern const struct verb verb_upgrade;
/* Of verb_enclave. */
extern const struct verb verb_set_cpus;
extern const struct verb verb_watch;

/*
 * The one of @list (ends with NULL) whose name is @name, or ends with it; exits 2 when
 * there is none. @of: whose verbs these are; NULL: those of ghost itself.
 */
const struct verb *verb_find(const struct verb *of, const struct verb *const *list,
			     const char *name);
/* A line each, for --help. */
void verbs_print(const struct verb *const *list);

/* --- messages: to stderr, prefixed "ghost: ", one write each ------------------- */

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What usage errors are about from here on: a place in a file; NULL: the command line. */
void say_where(const char *path, int line, int column);
/* A usage error: where, the sentence, where help is, exit 2. */
_Noreturn void usage_error(const struct verb *verb, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* --- options ------------------------------------------------------------------- */

/* Rows that more than one verb has. */
#define OPTION_HELP { "help", 'h', NULL, 0, "show this help", -1 }
#define OPTION_JSON { "json", 'j', NULL, 0, "print JSON", 0 }

/*
 * Parse; on --help print and exit 0, on an error say it and exit 2. @parser
 * gets argp's keys, and each plain argument as ARGP_KEY_ARG.
 */
void options_parse(const struct verb *verb, const struct argp_option *options, argp_parser_t parser,
		   void *input, int argc, char **argv);

/* options_parse() for a verb with no arguments and no other option: was --json given? */
bool options_only_json(const struct verb *verb, int argc, char **argv);

/* 0 or -EINVAL; @ret is untouched on failure. */
int parse_duration(const char *text, uint64_t *ret_ns);
int parse_uint(const char *text, uint64_t *ret);
/* The number of a cgroup (version 2) from its folder. 0 or a negative errno, for cgroup_error(). */
int parse_cgroup(const char *text, uint64_t *ret);
const char *cgroup_error(int err);
int parse_bool(const char *text, bool *ret);

/* "500us", "10ms", "inf"; in @buf. */
const char *format_duration(uint64_t ns, char *buf, size_t size);

/* The one of @names (ends with NULL) that looks most like @word, or NULL. */
const char *nearest(const char *word, const char *const *names);

/* CPUs, as "0-3,6", that are all online; exits 2 when they are not. @what: as which they were given. */
void parse_cpus(const struct verb *verb, const char *what, const char *list,
		struct ghost_cpuset *ret);

/* An enclave's id from the command line; exits 2 when it is none. */
uint32_t parse_enclave(const struct verb *verb, const char *text);

/* --- policies and their parameters --------------------------------------------------- */

#define PARAMS_MAX 64
#define KEY_PARAM 0x1000 /* argp's key of a policy's first parameter */

/* The policy called @name, or exits 2 and has said which there are. */
const struct ghost_policy *param_policy(const struct verb *verb, const char *name);
/* The value of @p as written; exits 2 when it is none, or out of range. */
uint64_t param_parse(const struct verb *verb, const struct ghost_param *p, const char *text);
/* [PARAMS_MAX], one per parameter. */
void param_defaults(const struct ghost_policy *policy, uint64_t *values);
/* @nr_own rows, then those of @policy (may be NULL), then the end. Lives as long as the program. */
struct argp_option *param_options(const struct argp_option *own, size_t nr_own,
				  const struct ghost_policy *policy);

/* The values as a line of JSON, for another process; "" when they do not fit. */
void param_dump(const struct ghost_policy *policy, const uint64_t *values, char *buf, size_t size);
/* And back. False when @dump is not of this policy: @values are its defaults then. */
bool param_load(const struct ghost_policy *policy, const char *dump, uint64_t *values);

/* --- JSON ------------------------------------------------------------------------ */

/* A string of any bytes; what is not UTF-8 becomes '?'. */
json_t *json_text(const char *text);
/* Print and free; EXIT_OK or EXIT_FAILED. */
int json_print(json_t *object);

/* --- check ------------------------------------------------------------------------ */

/* Can ghOSt run here, for this user? If not, say why in a sentence. */
int check_system(void);
/* Is the kernel side loaded, or can it be? If not, say why in a sentence. */
int check_kernel(void);
/* The sentence for a missing right, and its exit code. */
int say_no_rights(void);
int say_no_lock(int err);
int say_other_scheduler(const char *name);

/* --- enclaves ---------------------------------------------------------------------- */

/*
 * Open the kernel side. Returns 0, or an exit code and has said why. Not loaded
 * is a failure.
 */
int open_kernel(struct ghost_backend **ret);
/* Open an enclave; says why not. Returns 0 or an exit code. */
int open_enclave(struct ghost_enclave **ret, struct ghost_backend *backend, uint32_t id);
/* Both, as far as they were given to the caller; says why not. Returns 0 or an exit code. */
int open_own(struct ghost_backend **ret, struct ghost_enclave **ret_enclave, uint32_t id);
/* One of @cpus belongs to an enclave, other than @but: says to which. */
bool say_owner(struct ghost_backend *backend, const struct ghost_cpuset *cpus, uint32_t but);
/* Has the kernel thrown out what was loaded? Cheap enough to be asked often. */
bool kernel_ejected(void);
/* Destroy an enclave, patiently. Returns 0 or a negative errno. */
int destroy_enclave(struct ghost_backend *backend, uint32_t id);

#endif
