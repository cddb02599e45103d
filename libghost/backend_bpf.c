// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The backend on a real kernel: the only file that knows libbpf.
 * In: the embedded BPF object, bpffs. Out: a loaded and pinned kernel side,
 * requests to it, shared memory. Implements libghost/kernel.h.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "libghost/backend.h"
#include "libghost/hints.h"
#include "libghost/kernel.h"

#ifndef SCHED_EXT
#define SCHED_EXT 7
#endif
#ifndef PIDFD_THREAD /* 6.9 */
#define PIDFD_THREAD O_EXCL
#endif

#define BPF_FS_MAGIC_NR 0xcafe4a11
#define SCX_SYSFS "/sys/kernel/sched_ext"

/* Made from ghost.bpf.o by the linker; see libghost/meson.build. */
extern const char ghost_object_start[] __asm__("_binary_ghost_bpf_o_start");
extern const char ghost_object_end[] __asm__("_binary_ghost_bpf_o_end");

/* What each enclave shares with its agents; bpf/maps.bpf.h. */
enum array {
	ARRAY_STATUS,
	ARRAY_CPU,
	ARRAY_CPU_RW,
	ARRAY_RING,
	NR_ARRAYS,
};

static const char *const array_names[NR_ARRAYS] = { "status", "cpu", "cpu_rw", "ring" };

/* The agent program, pinned beside them so that each enclave has one to give away. */
#define AGENT_PIN "agent"

/* Programs that tell spinning agents of threads that want their CPUs. */
#define NR_WATCHES 3
static const char *const watch_names[NR_WATCHES] = { "wakeup", "wakeup_new", "migrate" };

/* Text files of an enclave; bpf/show.bpf.h. */
#define NR_SHOWN 2
static const char *const shown_names[NR_SHOWN] = { "state", "threads" };

/* bpf/ghost.bpf.c */
struct exit_info {
	__s64 kind;
	char reason[128];
	char message[256];
	__u64 nr_strangers;
};

struct backend_bpf {
	struct ghost_backend base;
	int admin_fd;
	int agent_fd;
	int array_fd[NR_ARRAYS];  /* the outer maps */
	int exit_fd;		  /* struct exit_info */
	int watch_fd[NR_WATCHES]; /* while agents spin */
	pthread_mutex_t watch_lock;
	__u32 capacity;
	__u32 nr_cpus;
	__u64 tokens[GHOST_ENCLAVES_MAX]; /* of enclaves that were mapped */
};

/* --- errors ------------------------------------------------------------------ */

/* libbpf's own words, kept to explain a failure; libbpf has one callback per process. */
static char libbpf_said[512];

static int keep_libbpf_words(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[sizeof(libbpf_said)];
	size_t used = strlen(libbpf_said);

	if (getenv("GHOST_BPF_DEBUG"))
		return vfprintf(stderr, format, args);
	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	if (!strncmp(line, "libbpf: ", 8) && used + strlen(line) < sizeof(libbpf_said) - 1)
		strcat(libbpf_said, line + 8);
	return 0;
}

__attribute__((format(printf, 3, 4))) static void say(char *error, size_t size, const char *format,
						      ...)
{
	va_list args;

	if (!error || !size)
		return;
	va_start(args, format);
	vsnprintf(error, size, format, args);
	va_end(args);
}

static int run_ctl(int fd, struct ghost_ctl *ctl)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = ctl, .ctx_size_in = sizeof(*ctl));

	ctl->ret = -EIO;
	return bpf_prog_test_run_opts(fd, &opts) ? -errno : 0;
}

/* --- what is there ------------------------------------------------------------ */

static int read_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	if (!fgets(buf, size, f))
		buf[0] = 0;
	fclose(f);
	buf[strcspn(buf, "\n")] = 0;
	return 0;
}

static bool capable(unsigned int cap)
{
	unsigned long long eff = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &eff) == 1)
			break;
	if (f)
		fclose(f);
	return eff >> cap & 1;
}

static bool bpffs_mounted(void)
{
	struct statfs fs;

	return !statfs("/sys/fs/bpf", &fs) && (unsigned long)fs.f_type == BPF_FS_MAGIC_NR;
}

/*
 * Is the folder of the pins root's alone? A bpffs that was mounted without a mode is open
 * to all (and sticky: what is root's stays). Who was there before, with a folder or a link,
 * could remove what root pins, or lead elsewhere what root removes and gives away.
 * Returns 0; -ENOENT when there is none; -EPERM when it is somebody else's.
 */
static int check_root(char *error, size_t size)
{
	struct stat st;

	if (lstat(GHOST_PIN_ROOT, &st))
		return -errno;
	if (S_ISDIR(st.st_mode) && (!st.st_uid || st.st_uid == geteuid()) && !(st.st_mode & 022))
		return 0;
	say(error, size,
	    GHOST_PIN_ROOT " is a %s of user %u (mode %04o), not a folder that root alone can "
			   "change; `chmod go-w /sys/fs/bpf; rm -r " GHOST_PIN_ROOT "`",
	    S_ISDIR(st.st_mode) ? "folder" : "link", st.st_uid, st.st_mode & 07777);
	return -EPERM;
}

static void check_add(struct ghost_check *c, const char *name, bool ok, bool required,
		      const char *found, const char *cure)
{
	memset(c, 0, sizeof(*c));
	c->name = name;
	c->ok = ok;
	c->required = required;
	snprintf(c->found, sizeof(c->found), "%s", found);
	if (!ok)
		snprintf(c->cure, sizeof(c->cure), "%s", cure);
}

int ghost_kernel_check(struct ghost_check *ret)
{
	bool root = capable(21 /* CAP_SYS_ADMIN */) && capable(39 /* CAP_BPF */);
	struct ghost_kernel_info info = { 0 };
	struct btf *btf = NULL;
	struct utsname uts;
	bool have, scx;
	int n = 0;

	libbpf_set_print(keep_libbpf_words);
	uname(&uts);
	scx = !access(SCX_SYSFS "/state", R_OK);
	check_add(&ret[n++], "sched_ext", scx, true, uts.release,
		  "boot a kernel with CONFIG_SCHED_CLASS_EXT=y, 7.2 or newer "
		  "(Debian: linux-image-amd64 from trixie-backports or sid), or use vm/run");
	have = !access("/sys/kernel/btf/vmlinux", R_OK);
	check_add(&ret[n++], "btf", have, true, have ? "/sys/kernel/btf/vmlinux" : "none",
		  "boot a kernel with CONFIG_DEBUG_INFO_BTF=y");
	if (have)
		btf = btf__load_vmlinux_btf();
	have = btf && btf__find_by_name_kind(btf, "scx_bpf_dsq_reenq", BTF_KIND_FUNC) > 0;
	check_add(&ret[n++], "dsq_reenq", have, true, have ? "scx_bpf_dsq_reenq()" : "none",
		  "boot kernel 7.2 or newer: giving threads back in one call needs it");
	have = false;
	if (btf) {
		int id = btf__find_by_name_kind(btf, "scx_enq_flags", BTF_KIND_ENUM64);
		const struct btf_type *t = id > 0 ? btf__type_by_id(btf, id) : NULL;

		for (int i = 0; t && i < btf_vlen(t); i++)
			have |= !strcmp(btf__name_by_offset(btf, btf_enum64(t)[i].name_off),
					"SCX_ENQ_IMMED");
	}
	check_add(&ret[n++], "immed", have, false, have ? "SCX_ENQ_IMMED" : "none",
		  "kernel 7.1 or newer: without it a thread preempted by a normal one waits "
		  "on its CPU");
	btf__free(btf);
	have = bpffs_mounted();
	check_add(&ret[n++], "bpffs", have, true, have ? "/sys/fs/bpf" : "not mounted",
		  "mount -t bpf -o mode=0700 bpf /sys/fs/bpf");
	check_add(&ret[n++], "rights", root, true, root ? "CAP_SYS_ADMIN, CAP_BPF" : "missing",
		  "run as root");
	ghost_kernel_info(&info);
	check_add(&ret[n++], "scheduler", !info.other[0], true,
		  info.other[0] ? info.other :
		  info.ejected	? "ghost, ejected" :
		  info.loaded	? "ghost" :
				  "none loaded",
		  "stop that scheduler first: only one can be loaded");
	return n;
}

int ghost_kernel_info(struct ghost_kernel_info *ret)
{
	struct exit_info why = { 0 };
	char ops[128] = "", state[64] = "";
	struct ghost_backend *b;
	__u32 zero = 0;
	int fd, err;

	memset(ret, 0, sizeof(*ret));
	read_line(SCX_SYSFS "/state", state, sizeof(state));
	read_line(SCX_SYSFS "/root/ops", ops, sizeof(ops));
	if (strcmp(state, "enabled"))
		ops[0] = 0;
	if (ops[0] && strcmp(ops, "ghost"))
		snprintf(ret->other, sizeof(ret->other), "%.63s", ops);
	/* What somebody else put there is not loaded; loading tells. */
	if (check_root(NULL, 0) == -EPERM)
		return 0;
	/* The link is pinned last and removed first: without it the rest is debris. */
	if (access(GHOST_PIN_ROOT "/link", F_OK))
		return errno == ENOENT ? 0 : -EPERM;
	ret->loaded = true;
	err = ghost_kernel_open(&b, NULL, 0);
	if (err)
		return err;
	ret->abi = GHOST_ABI_VERSION;
	ret->capacity = ((struct backend_bpf *)b)->capacity;
	b->close(b);
	ret->ejected = strcmp(ops, "ghost") != 0;
	fd = bpf_obj_get(GHOST_PIN_ROOT "/exit");
	if (ret->ejected && fd >= 0 && !bpf_map_lookup_elem(fd, &zero, &why))
		snprintf(ret->reason, sizeof(ret->reason), "%.127s%s%.250s", why.reason,
			 why.message[0] ? ": " : "", why.message);
	if (fd >= 0)
		close(fd);
	return 0;
}

/* --- loading ------------------------------------------------------------------ */

/* Value of enumerator @name in the running kernel, of whichever width its enum is. */
static int kernel_enum(const struct btf *btf, const char *type, const char *name, __u64 *ret)
{
	const struct btf_type *t;
	int id = btf__find_by_name_kind(btf, type, BTF_KIND_ENUM64);

	if (id < 0)
		id = btf__find_by_name_kind(btf, type, BTF_KIND_ENUM);
	if (id < 0)
		return -ENOENT;
	t = btf__type_by_id(btf, id);
	for (int i = 0; i < btf_vlen(t); i++) {
		if (btf_is_enum64(t)) {
			const struct btf_enum64 *e = &btf_enum64(t)[i];

			if (strcmp(btf__name_by_offset(btf, e->name_off), name))
				continue;
			*ret = btf_enum64_value(e);
		} else {
			const struct btf_enum *e = &btf_enum(t)[i];

			if (strcmp(btf__name_by_offset(btf, e->name_off), name))
				continue;
			*ret = e->val;
		}
		return 0;
	}
	return -ENOENT;
}

/*
 * Set the ops flags. Their values belong to the running kernel; the place of
 * the member is that of our own declaration, which the object's BTF knows.
 */
static int set_ops_flags(struct bpf_object *obj, struct bpf_map *ops, char *error, size_t size)
{
	static const char *const names[] = {
		"SCX_OPS_SWITCH_PARTIAL", /* only threads that ask for SCHED_EXT */
		"SCX_OPS_ENQ_LAST",	  /* or a yielding agent alone on its CPU never parks */
		"SCX_OPS_ENQ_EXITING",	  /* agents run dying threads, too */
		"SCX_OPS_ENQ_MIGRATION_DISABLED",
		"SCX_OPS_KEEP_BUILTIN_IDLE", /* for threads that are not ours */
	};
	const struct btf *own = bpf_object__btf(obj);
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *t;
	const struct btf_member *m;
	__u64 flags = 0, value;
	size_t data_size;
	void *data;
	int err = -EOPNOTSUPP, id;

	if (!btf) {
		say(error, size,
		    "the kernel has no BTF type information (/sys/kernel/btf/vmlinux)");
		return err;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (kernel_enum(btf, "scx_ops_flags", names[i], &value)) {
			say(error, size, "the kernel does not know %s: 7.2 or newer is needed",
			    names[i]);
			goto out;
		}
		flags |= value;
	}
	data = bpf_map__initial_value(ops, &data_size);
	id = btf__find_by_name_kind(own, "sched_ext_ops", BTF_KIND_STRUCT);
	if (!data || id < 0)
		goto out;
	t = btf__type_by_id(own, id);
	m = btf_members(t);
	for (int i = 0; i < btf_vlen(t); i++, m++) {
		if (strcmp(btf__name_by_offset(own, m->name_off), "flags"))
			continue;
		memcpy((char *)data + btf_member_bit_offset(t, i) / 8, &flags, sizeof(flags));
		err = 0;
	}
out:
	btf__free(btf);
	return err;
}

static int pin_map(struct bpf_object *obj, const char *name, const char *path)
{
	struct bpf_map *map = bpf_object__find_map_by_name(obj, name);

	return map ? bpf_obj_pin(bpf_map__fd(map), path) ? -errno : 0 : -ENOENT;
}

static int pin_prog(struct bpf_object *obj, const char *name, const char *path)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(obj, name);

	return prog ? bpf_obj_pin(bpf_program__fd(prog), path) ? -errno : 0 : -ENOENT;
}

/* The global `ghost_exit` lives in the object's .bss map. */
static struct bpf_map *bss_map(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) if (bpf_map__is_internal(map) &&
					       strstr(bpf_map__name(map), ".bss")) return map;
	return NULL;
}

static void unlink_all(const char *folder, const char *const *names, int nr)
{
	char path[600];

	for (int i = 0; i < nr; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
}

static void unlink_enclave(const char *folder)
{
	static const char *const agent[] = { AGENT_PIN };

	unlink_all(folder, array_names, NR_ARRAYS);
	unlink_all(folder, shown_names, NR_SHOWN);
	unlink_all(folder, agent, 1);
	rmdir(folder);
}

static void remove_pins(void)
{
	char path[512];
	struct dirent *d;
	DIR *dir;

	if (check_root(NULL, 0))
		return;
	dir = opendir(GHOST_PIN_ROOT);
	unlink(GHOST_PIN_ROOT "/link");
	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), GHOST_PIN_ROOT "/%s", d->d_name);
		if (!strncmp(d->d_name, "enclave_", 8)) {
			unlink_enclave(path);
		} else {
			unlink(path);
		}
	}
	if (dir)
		closedir(dir);
	rmdir(GHOST_PIN_ROOT);
}

#define STRANGERS_PIN GHOST_PIN_ROOT "/strangers"

static int pin_strangers(struct bpf_object *obj)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(obj, "ghost_show_strangers");
	int link = prog ? bpf_link_create(bpf_program__fd(prog), 0, BPF_TRACE_ITER, NULL) : -1;
	int err = link < 0 || bpf_obj_pin(link, STRANGERS_PIN) ? -errno : 0;

	if (link >= 0)
		close(link);
	return err;
}

/* Whoever came before us is told from us by whose it is. */
static int make_root(char *error, size_t size)
{
	int err = mkdir(GHOST_PIN_ROOT, 0755) && errno != EEXIST ? -errno : 0;

	if (err)
		say(error, size, "cannot make " GHOST_PIN_ROOT ": %s", strerror(-err));
	return err ?: check_root(error, size);
}

static int pin_all(struct bpf_object *obj, struct bpf_link *link)
{
	struct bpf_map *bss = bss_map(obj);
	char name[32], path[64];
	int err;

	err = pin_prog(obj, "ghost_admin", GHOST_PIN_ROOT "/admin");
	err = err ?: pin_prog(obj, "ghost_agent", GHOST_PIN_ROOT "/agent");
	for (int i = 0; i < NR_WATCHES && !err; i++) {
		snprintf(name, sizeof(name), "ghost_%s", watch_names[i]);
		snprintf(path, sizeof(path), GHOST_PIN_ROOT "/%s", watch_names[i]);
		err = pin_prog(obj, name, path);
	}
	for (int i = 0; i < NR_SHOWN && !err; i++) {
		snprintf(name, sizeof(name), "ghost_show_%s", shown_names[i]);
		snprintf(path, sizeof(path), GHOST_PIN_ROOT "/show_%s", shown_names[i]);
		err = pin_prog(obj, name, path);
	}
	for (int i = 0; i < NR_ARRAYS && !err; i++) {
		snprintf(name, sizeof(name), "ghost_%s_of", array_names[i]);
		snprintf(path, sizeof(path), GHOST_PIN_ROOT "/%s_of", array_names[i]);
		err = pin_map(obj, name, path);
	}
	/* A timer ends with the last descriptor or pin of its map, whatever programs use it. */
	err = err ?: pin_map(obj, "ghost_timer", GHOST_PIN_ROOT "/timer");
	err = err ?: pin_map(obj, "ghost_alarms", GHOST_PIN_ROOT "/alarms");
	err = err ?: pin_map(obj, "ghost_slices", GHOST_PIN_ROOT "/slices");
	if (!err && bss)
		err = bpf_obj_pin(bpf_map__fd(bss), GHOST_PIN_ROOT "/exit") ? -errno : 0;
	err = err ?: pin_strangers(obj);
	/* Last: who finds the link finds everything. */
	return err ?: bpf_link__pin(link, GHOST_PIN_ROOT "/link");
}

int ghost_kernel_load(__u32 capacity, char *error, size_t size)
{
	struct ghost_ctl init = { .op = GHOST_CTL_INIT,
				  .capacity = capacity ?: GHOST_SLOTS_DEFAULT };
	struct ghost_kernel_info info;
	struct bpf_object *obj = NULL;
	struct bpf_link *link = NULL;
	struct bpf_map *ops;
	int err;

	libbpf_set_print(keep_libbpf_words);
	libbpf_said[0] = 0;
	if (init.capacity > GHOST_SLOTS_MAX) {
		say(error, size, "a table for %u threads is too large: the limit is %u",
		    init.capacity, GHOST_SLOTS_MAX);
		return -EINVAL;
	}
	if (access(SCX_SYSFS "/state", F_OK)) {
		say(error, size, "this kernel has no sched_ext; try `ghost check`");
		return -EOPNOTSUPP;
	}
	if (!capable(21) || !capable(39)) {
		say(error, size, "loading needs root (CAP_SYS_ADMIN and CAP_BPF)");
		return -EPERM;
	}
	if (!bpffs_mounted()) {
		say(error, size,
		    "no BPF file system on /sys/fs/bpf; mount -t bpf -o mode=0700 bpf /sys/fs/bpf");
		return -EOPNOTSUPP;
	}
	err = check_root(error, size);
	if (err && err != -ENOENT)
		return err;
	ghost_kernel_info(&info);
	if (info.other[0]) {
		say(error, size, "the sched_ext scheduler \"%s\" is loaded; stop it first",
		    info.other);
		return -EBUSY;
	}
	if (info.loaded && !info.ejected)
		return -EEXIST;
	remove_pins();

	obj = bpf_object__open_mem(ghost_object_start, ghost_object_end - ghost_object_start, NULL);
	if (!obj) {
		err = -errno;
		say(error, size, "the BPF object does not open: %s", libbpf_said);
		return err;
	}
	ops = bpf_object__find_map_by_name(obj, "ghost_ops");
	bpf_map__set_max_entries(bpf_object__find_map_by_name(obj, "ghost_tasks"), init.capacity);
	bpf_map__set_max_entries(bpf_object__find_map_by_name(obj, "ghost_refs"), init.capacity);
	err = set_ops_flags(obj, ops, error, size);
	if (err)
		goto out;
	err = bpf_object__load(obj);
	if (err) {
		say(error, size, "the kernel refused the BPF program (%s): %s", strerror(-err),
		    libbpf_said[0] ? libbpf_said : "see GHOST_BPF_DEBUG=1");
		goto out;
	}
	err = run_ctl(bpf_program__fd(bpf_object__find_program_by_name(obj, "ghost_admin")), &init);
	err = err ?: init.ret;
	if (err) {
		say(error, size, "the loaded program does not answer: %s", strerror(-err));
		goto out;
	}
	link = bpf_map__attach_struct_ops(ops);
	if (!link) {
		err = -errno;
		say(error, size, "sched_ext refused the scheduler: %s", strerror(-err));
		goto out;
	}
	err = make_root(error, size);
	if (err)
		goto out;
	err = pin_all(obj, link);
	if (err) {
		say(error, size, "cannot pin below " GHOST_PIN_ROOT ": %s", strerror(-err));
		remove_pins();
	}
out:
	bpf_link__destroy(link);
	bpf_object__close(obj);
	return err;
}

int ghost_kernel_unload(char *error, size_t size)
{
	int fd, err;

	libbpf_set_print(keep_libbpf_words);
	err = check_root(error, size);
	if (err == -EPERM)
		return err;
	fd = bpf_obj_get(GHOST_PIN_ROOT "/link");
	if (fd < 0 && errno == ENOENT) {
		/* Nothing, or what a loader killed half-way left behind. */
		err = access(GHOST_PIN_ROOT, F_OK) ? -ENOENT : 0;
		remove_pins();
		return err;
	}
	if (fd < 0) {
		err = -errno;
		say(error, size, "cannot open " GHOST_PIN_ROOT "/link: %s", strerror(-err));
		return err;
	}
	/* Once ejected it is detached already; the pins go all the same. */
	bpf_link_detach(fd);
	close(fd);
	remove_pins();
	return 0;
}

/* --- the backend --------------------------------------------------------------- */

static struct backend_bpf *self_of(struct ghost_backend *b)
{
	return (struct backend_bpf *)b;
}

/* The kernel side lets those who have an enclave only put their own threads in. */
static int backend_admin(struct ghost_backend *b, struct ghost_ctl *ctl)
{
	if (self_of(b)->admin_fd >= 0)
		return run_ctl(self_of(b)->admin_fd, ctl);
	if (ctl->op == GHOST_CTL_TASK_JOIN || ctl->op == GHOST_CTL_INFO ||
	    ctl->op == GHOST_CTL_TASK_UNJOIN)
		return b->agent(b, ctl);
	ctl->ret = -EPERM;
	return 0;
}

static int backend_agent(struct ghost_backend *b, struct ghost_ctl *ctl)
{
	if (!ctl->token && ctl->enclave < GHOST_ENCLAVES_MAX)
		ctl->token = __atomic_load_n(&self_of(b)->tokens[ctl->enclave], __ATOMIC_RELAXED);
	return run_ctl(self_of(b)->agent_fd, ctl);
}

static __u64 backend_token(struct ghost_backend *b)
{
	__u64 token;

	if (getrandom(&token, sizeof(token), 0) != sizeof(token)) {
		say(b->error, sizeof(b->error), "no random numbers: %s", strerror(errno));
		return 0;
	}
	return token ?: 1;
}

static void enclave_path(char *buf, size_t size, __u32 id, const char *name)
{
	snprintf(buf, size, GHOST_PIN_ROOT "/enclave_%u%s%s", id, name ? "/" : "", name ?: "");
}

/* One array of the enclave: made, frozen if agents may only read it, entered, pinned. */
static int make_array(struct backend_bpf *s, __u32 id, enum array which, __u32 value_size,
		      __u32 entries, bool frozen)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	const char *name = array_names[which];
	char path[128];
	int fd, err = 0;

	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(__u32), value_size, entries, &opts);
	if (fd < 0) {
		err = -errno;
		say(s->base.error, sizeof(s->base.error), "cannot make the %s array: %s", name,
		    strerror(-err));
		return err;
	}
	/* Freezing is what makes it read-only: holders of the descriptor cannot map it writable. */
	if (frozen && bpf_map_freeze(fd))
		err = -errno;
	if (!err && bpf_map_update_elem(s->array_fd[which], &id, &fd, BPF_ANY))
		err = -errno;
	enclave_path(path, sizeof(path), id, name);
	if (!err && bpf_obj_pin(fd, path))
		err = -errno;
	close(fd);
	if (err)
		say(s->base.error, sizeof(s->base.error), "cannot set up %s: %s", path,
		    strerror(-err));
	return err;
}

/* A text file about the enclave: an iterator over its status table, for whoever may enter the folder. */
static int make_shown(struct backend_bpf *s, __u32 id, const char *name)
{
	union bpf_iter_link_info info = { 0 };
	LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = &info, .iter_info_len = sizeof(info));
	char path[128], prog_path[64];
	int prog, map, link, err = 0;

	snprintf(prog_path, sizeof(prog_path), GHOST_PIN_ROOT "/show_%s", name);
	prog = bpf_obj_get(prog_path);
	enclave_path(path, sizeof(path), id, array_names[ARRAY_STATUS]);
	map = bpf_obj_get(path);
	info.map.map_fd = map;
	link = prog < 0 || map < 0 ? -1 : bpf_link_create(prog, 0, BPF_TRACE_ITER, &opts);
	enclave_path(path, sizeof(path), id, name);
	if (link < 0 || bpf_obj_pin(link, path) ||
	    fchmodat(AT_FDCWD, path, 0444, AT_SYMLINK_NOFOLLOW))
		err = -errno;
	close(link);
	close(map);
	close(prog);
	if (err)
		say(s->base.error, sizeof(s->base.error), "cannot make %s: %s", path,
		    strerror(-err));
	return err;
}

static int pin_agent(struct backend_bpf *s, __u32 id)
{
	char path[128];
	int err;

	enclave_path(path, sizeof(path), id, AGENT_PIN);
	err = bpf_obj_pin(s->agent_fd, path) ? -errno : 0;
	if (err)
		say(s->base.error, sizeof(s->base.error), "cannot make %s: %s", path,
		    strerror(-err));
	return err;
}

static void backend_enclave_discard(struct ghost_backend *b, __u32 id)
{
	struct backend_bpf *s = self_of(b);
	char path[128];

	for (int i = 0; i < NR_ARRAYS; i++)
		bpf_map_delete_elem(s->array_fd[i], &id);
	enclave_path(path, sizeof(path), id, NULL);
	unlink_enclave(path);
}

/* --- enclaves that are somebody else's --------------------------------------------- */

/*
 * To read and write, all of it: a descriptor for reading cannot be mapped (MAP_SHARED, 7.3).
 * What keeps them from writing what the kernel side writes is that it is frozen.
 */
static int give(const char *path, __u32 uid, __u32 gid)
{
	__u32 mode = gid == ~0u ? 0600 : 0660;
	int err = fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW) ?: lchown(path, uid, gid);

	return err ? -errno : 0;
}

static int backend_enclave_delegate(struct ghost_backend *b, __u32 id, __u32 uid, __u32 gid)
{
	char path[128];
	int err = 0;

	for (int i = 0; i < NR_ARRAYS && !err; i++) {
		enclave_path(path, sizeof(path), id, array_names[i]);
		err = give(path, uid, gid);
	}
	if (!err) {
		enclave_path(path, sizeof(path), id, AGENT_PIN);
		err = give(path, uid, gid);
	}
	if (err)
		say(b->error, sizeof(b->error), "cannot give %s away: %s", path, strerror(-err));
	return err;
}

static int backend_enclave_prepare(struct ghost_backend *b, __u32 id, __u32 made_len)
{
	struct backend_bpf *s = self_of(b);
	__u32 nr_queues = s->nr_cpus + GHOST_QUEUES_MADE;
	__u32 ring_len = s->nr_cpus * GHOST_QUEUE_LEN + made_len;
	char path[128];
	int err;

	enclave_path(path, sizeof(path), id, NULL);
	if (mkdir(path, 0755)) {
		err = -errno;
		say(b->error, sizeof(b->error), "cannot make %s: %s", path, strerror(-err));
		return err;
	}
	err = make_array(s, id, ARRAY_STATUS, sizeof(struct ghost_status), s->capacity, true);
	err = err ?: make_array(s, id, ARRAY_CPU, sizeof(struct ghost_cpu), nr_queues, true);
	err = err ?: make_array(s, id, ARRAY_CPU_RW, sizeof(struct ghost_cpu_rw), nr_queues, false);
	err = err ?: make_array(s, id, ARRAY_RING, sizeof(struct ghost_msg), ring_len, true);
	for (int i = 0; i < NR_SHOWN; i++)
		err = err ?: make_shown(s, id, shown_names[i]);
	err = err ?: pin_agent(s, id);
	if (err)
		backend_enclave_discard(b, id);
	return err;
}

static size_t page_round(size_t n)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (n + page - 1) & ~(page - 1);
}

/* All of an array; how many entries it has was said when it was made. */
static void *map_array(struct ghost_backend *b, __u32 id, enum array which, int prot,
		       size_t value_size, __u32 *ret_entries)
{
	struct bpf_map_info info = { 0 };
	__u32 size = sizeof(info);
	char path[128];
	void *p = MAP_FAILED;
	int fd;

	enclave_path(path, sizeof(path), id, array_names[which]);
	fd = bpf_obj_get(path);
	if (fd < 0) {
		say(b->error, sizeof(b->error), "cannot open %s: %s", path, strerror(errno));
		return NULL;
	}
	if (!bpf_map_get_info_by_fd(fd, &info, &size) && info.value_size == value_size) {
		*ret_entries = info.max_entries;
		p = mmap(NULL, page_round(value_size * info.max_entries), prot, MAP_SHARED, fd, 0);
	}
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static void unmap_array(const void *p, size_t value_size, __u32 entries)
{
	if (p)
		munmap((void *)p, page_round(value_size * entries));
}

static void backend_memory_unmap(struct ghost_backend *b, struct ghost_memory *mem)
{
	unmap_array(mem->status, sizeof(*mem->status), mem->capacity);
	unmap_array(mem->cpu, sizeof(*mem->cpu), mem->nr_queues);
	unmap_array(mem->cpu_rw, sizeof(*mem->cpu_rw), mem->nr_queues);
	unmap_array(mem->ring, sizeof(*mem->ring), mem->ring_len);
	memset(mem, 0, sizeof(*mem));
}

static int backend_memory_map(struct ghost_backend *b, __u32 id, struct ghost_memory *ret)
{
	struct ghost_memory m = { .nr_cpus = self_of(b)->nr_cpus };

	errno = 0;
	m.status = map_array(b, id, ARRAY_STATUS, PROT_READ, sizeof(*m.status), &m.capacity);
	m.cpu = map_array(b, id, ARRAY_CPU, PROT_READ, sizeof(*m.cpu), &m.nr_queues);
	m.cpu_rw = map_array(b, id, ARRAY_CPU_RW, PROT_READ | PROT_WRITE, sizeof(*m.cpu_rw),
			     &m.nr_queues);
	m.ring = map_array(b, id, ARRAY_RING, PROT_READ, sizeof(*m.ring), &m.ring_len);
	if (!m.status || !m.cpu || !m.cpu_rw || !m.ring) {
		int err = errno ? -errno : -EIO;

		backend_memory_unmap(b, &m);
		return err;
	}
	__atomic_store_n(&self_of(b)->tokens[id % GHOST_ENCLAVES_MAX],
			 ((const struct ghost_enclave_status *)m.status)->token, __ATOMIC_RELAXED);
	*ret = m;
	return 0;
}

static int backend_agent_pin(struct ghost_backend *b, __u32 cpu)
{
	cpu_set_t *set = CPU_ALLOC(GHOST_CPUS_MAX);
	size_t size = CPU_ALLOC_SIZE(GHOST_CPUS_MAX);
	int err = 0;

	if (!set)
		return -ENOMEM;
	CPU_ZERO_S(size, set);
	CPU_SET_S(cpu, size, set);
	if (sched_setaffinity(0, size, set))
		err = -errno;
	CPU_FREE(set);
	return err;
}

static int set_mask(__u32 tid, __u32 cpu, __u32 other)
{
	cpu_set_t *set = CPU_ALLOC(GHOST_CPUS_MAX);
	size_t size = CPU_ALLOC_SIZE(GHOST_CPUS_MAX);
	int err = 0;

	if (!set)
		return -ENOMEM;
	CPU_ZERO_S(size, set);
	CPU_SET_S(cpu, size, set);
	CPU_SET_S(other, size, set);
	if (sched_setaffinity(tid, size, set))
		err = -errno;
	CPU_FREE(set);
	return err;
}

/*
 * Below threads of the fair class and above it that never sleep, those of ours have a
 * deadline server, 50 ms per second. It ends when it finds nobody to run, a parked
 * agent for one, and starts only when the first of our threads comes to the CPU
 * (enqueue_task_scx(), 7.3). A change of its mask takes it away and puts it back.
 */
static int backend_agent_nudge(struct ghost_backend *b, __u32 tid, __u32 cpu)
{
	struct ghost_cpuset online;
	int other, err;

	if ((sched_getscheduler(tid) & ~SCHED_RESET_ON_FORK) != SCHED_EXT)
		return -EINVAL;
	if (cpu == GHOST_CPU_NONE)
		return 0;
	err = ghost_cpuset_online(&online);
	if (err)
		return err;
	ghost_cpuset_del(&online, cpu);
	other = ghost_cpuset_next(&online, 0);
	if (other < 0)
		return -EOPNOTSUPP;
	err = set_mask(tid, cpu, other);
	return set_mask(tid, cpu, cpu) ?: err;
}

static int set_policy(__u32 tid, int policy)
{
	struct sched_param param = { 0 };

	return sched_setscheduler(tid, policy, &param) ? -errno : 0;
}

static int backend_agent_enter(struct ghost_backend *b)
{
	return set_policy(0, SCHED_EXT);
}

/* Whoever wants the CPU of an agent that spins is noticed from here on, until we are gone. */
static int watch(struct backend_bpf *s)
{
	char path[64];
	int err = 0, fd;

	/* Who has no more than an enclave leaves that to whoever keeps it. */
	if (s->admin_fd < 0)
		return 0;
	pthread_mutex_lock(&s->watch_lock);
	for (int i = 0; i < NR_WATCHES && !err; i++) {
		if (s->watch_fd[i] >= 0)
			continue;
		snprintf(path, sizeof(path), GHOST_PIN_ROOT "/%s", watch_names[i]);
		fd = bpf_obj_get(path);
		s->watch_fd[i] = fd < 0 ? fd : bpf_raw_tracepoint_open(NULL, fd);
		if (s->watch_fd[i] < 0)
			err = -errno;
		if (fd >= 0)
			close(fd);
	}
	if (err)
		say(s->base.error, sizeof(s->base.error), "cannot attach %s: %s", path,
		    strerror(-err));
	pthread_mutex_unlock(&s->watch_lock);
	return err;
}

static int backend_agent_spin_prepare(struct ghost_backend *b)
{
	return watch(self_of(b));
}

static int backend_agent_spin(struct ghost_backend *b)
{
	/* The lowest there is: above all of the fair class, below everybody else. */
	struct sched_param param = { .sched_priority = sched_get_priority_min(SCHED_FIFO) };
	int err = watch(self_of(b));

	if (err)
		return err;
	if (!sched_setscheduler(0, SCHED_FIFO, &param))
		return 0;
	err = -errno;
	if (err == -EPERM)
		say(b->error, sizeof(b->error),
		    "an agent that spins needs the right to SCHED_FIFO at priority 1 "
		    "(RLIMIT_RTPRIO: `ulimit -r 1`, LimitRTPRIO=1)");
	return err;
}

static void backend_agent_yield(struct ghost_backend *b)
{
	sched_yield();
}

static int backend_strangers(struct ghost_backend *b, __u32 **ret)
{
	struct exit_info info = { 0 };
	__u32 zero = 0, tid, *tids = NULL, *more;
	int nr = 0;
	FILE *f;

	*ret = NULL;
	/* Mostly there is none, and nobody has to be looked for. */
	if (self_of(b)->exit_fd < 0 || bpf_map_lookup_elem(self_of(b)->exit_fd, &zero, &info) ||
	    !info.nr_strangers)
		return 0;
	f = fopen(STRANGERS_PIN, "re");
	if (!f)
		return 0;
	while (fscanf(f, "%u", &tid) == 1) {
		if (!(nr & (nr - 1))) {
			more = realloc(tids, (nr ? 2 * nr : 1) * sizeof(*tids));
			if (!more)
				break;
			tids = more;
		}
		tids[nr++] = tid;
	}
	fclose(f);
	*ret = tids;
	return nr;
}

static int backend_task_enter(struct ghost_backend *b, __u32 tid)
{
	return set_policy(tid, SCHED_EXT);
}

static int backend_task_leave(struct ghost_backend *b, __u32 tid)
{
	int policy = sched_getscheduler(tid);

	/* Only what is still ours: the number may belong to someone else by now. */
	if (policy < 0 || (policy & ~SCHED_RESET_ON_FORK) != SCHED_EXT)
		return 0;
	/* Not everybody may take that flag from a thread. */
	return set_policy(tid, SCHED_OTHER | (policy & SCHED_RESET_ON_FORK));
}

static int backend_task_open(struct ghost_backend *b, __u32 tid)
{
	int fd = pidfd_open(tid, PIDFD_THREAD);

	/* EINVAL: of numbers that none can have. */
	return fd >= 0 ? fd : errno == EINVAL ? -ESRCH : -errno;
}

static bool backend_task_lives(struct ghost_backend *b, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

static void backend_close(struct ghost_backend *b)
{
	struct backend_bpf *s = self_of(b);
	for (int i = 0; i < NR_ARRAYS; i++)
		if (s->array_fd[i] >= 0)
			close(s->array_fd[i]);
	for (int i = 0; i < NR_WATCHES; i++)
		if (s->watch_fd[i] >= 0)
			close(s->watch_fd[i]);
	pthread_mutex_destroy(&s->watch_lock);
	if (s->exit_fd >= 0)
		close(s->exit_fd);
	if (s->admin_fd >= 0)
		close(s->admin_fd);
	if (s->agent_fd >= 0)
		close(s->agent_fd);
	ghost_backend_host_fini(b);
	free(s);
}

static struct backend_bpf *backend_new(void)
{
	struct backend_bpf *s = calloc(1, sizeof(*s));

	libbpf_set_print(keep_libbpf_words);
	if (!s)
		return NULL;
	s->base = (struct ghost_backend){
		.admin = backend_admin,
		.agent = backend_agent,
		.token = backend_token,
		.enclave_prepare = backend_enclave_prepare,
		.enclave_discard = backend_enclave_discard,
		.enclave_delegate = backend_enclave_delegate,
		.memory_map = backend_memory_map,
		.memory_unmap = backend_memory_unmap,
		.agent_pin = backend_agent_pin,
		.agent_nudge = backend_agent_nudge,
		.strangers = backend_strangers,
		.agent_enter = backend_agent_enter,
		.agent_spin = backend_agent_spin,
		.agent_spin_prepare = backend_agent_spin_prepare,
		.agent_yield = backend_agent_yield,
		.task_enter = backend_task_enter,
		.task_leave = backend_task_leave,
		.task_open = backend_task_open,
		.task_lives = backend_task_lives,
		.close = backend_close,
	};
	ghost_backend_host_init(&s->base);
	s->nr_cpus = libbpf_num_possible_cpus();
	s->admin_fd = s->agent_fd = s->exit_fd = -1;
	for (int i = 0; i < NR_ARRAYS; i++)
		s->array_fd[i] = -1;
	for (int i = 0; i < NR_WATCHES; i++)
		s->watch_fd[i] = -1;
	pthread_mutex_init(&s->watch_lock, NULL);
	return s;
}

/* Does the kernel side speak as we do? */
static int backend_greet(struct backend_bpf *s, char *error, size_t size)
{
	struct ghost_ctl info = { .op = GHOST_CTL_INFO };
	int err = s->base.admin(&s->base, &info);

	s->capacity = info.capacity;
	if (!err && !info.ret && info.abi == GHOST_ABI_VERSION)
		return 0;
	say(error, size,
	    "the loaded kernel side speaks ABI %u, this program %u; try `ghost unload`", info.abi,
	    GHOST_ABI_VERSION);
	return -EPROTO;
}

int ghost_kernel_open(struct ghost_backend **ret, char *error, size_t size)
{
	struct backend_bpf *s = backend_new();
	char path[64];
	int err;

	if (!s)
		return -ENOMEM;
	s->base.hints_dir = GHOST_HINTS_DIR;
	err = check_root(error, size);
	if (err == -EPERM)
		goto fail;
	s->admin_fd = bpf_obj_get(GHOST_PIN_ROOT "/admin");
	if (s->admin_fd < 0) {
		err = errno == ENOENT ? -ENOENT : -EPERM;
		say(error, size,
		    err == -ENOENT ? "the kernel side is not loaded" :
				     "no right to open " GHOST_PIN_ROOT "/admin (run as root)");
		goto fail;
	}
	err = backend_greet(s, error, size);
	if (err)
		goto fail;
	s->agent_fd = bpf_obj_get(GHOST_PIN_ROOT "/agent");
	s->exit_fd = bpf_obj_get(GHOST_PIN_ROOT "/exit");
	err = s->agent_fd < 0 || s->exit_fd < 0 ? -EPROTO : 0;
	for (int i = 0; i < NR_ARRAYS && !err; i++) {
		snprintf(path, sizeof(path), GHOST_PIN_ROOT "/%s_of", array_names[i]);
		s->array_fd[i] = bpf_obj_get(path);
		err = s->array_fd[i] < 0 ? -EPROTO : 0;
	}
	if (err) {
		say(error, size, "pins are missing below " GHOST_PIN_ROOT "; try `ghost unload`");
		goto fail;
	}
	*ret = &s->base;
	return 0;
fail:
	backend_close(&s->base);
	return err;
}

/* Why there is no @path for us. */
static int say_no_enclave(__u32 id, const char *path, int err, char *error, size_t size)
{
	struct stat st;

	if (err == -EACCES && !stat("/sys/fs/bpf", &st) && !(st.st_mode & S_IXOTH))
		say(error, size,
		    "/sys/fs/bpf is closed (mode %04o); root lets others pass by "
		    "`chmod o+x /sys/fs/bpf`",
		    st.st_mode & 07777);
	else if (err == -ENOENT)
		say(error, size, "there is no enclave %u", id);
	else
		say(error, size, "enclave %u was not given to you (%s: %s)", id, path,
		    strerror(-err));
	return err == -ENOENT ? -ENOENT : -EPERM;
}

int ghost_kernel_open_enclave(struct ghost_backend **ret, __u32 id, char *error, size_t size)
{
	struct backend_bpf *s = backend_new();
	char path[128];
	int err;

	if (!s)
		return -ENOMEM;
	enclave_path(path, sizeof(path), id, AGENT_PIN);
	s->agent_fd = bpf_obj_get(path);
	err = s->agent_fd < 0 ? say_no_enclave(id, path, -errno, error, size) : 0;
	err = err ?: backend_greet(s, error, size);
	if (err) {
		backend_close(&s->base);
		return err;
	}
	*ret = &s->base;
	return 0;
}
