// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * PID 1 of the VM: turns a bare kernel into a copy of the host, runs one command.
 * In:  the ports vm.go (time of day, name of the run folder, window sizes) and
 *      vm.in (stdin), the file "request" of the run folder. Out: vm.out, vm.err, vm.log (kernel log) and
 *      vm.ctl, which gets "ready", "started", then "rc=N" or "fatal: why".
 * Called by: the kernel, from the initramfs that vm/run packs. Static.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define NR_WORDS_MAX 8192
#define RUN_NAME_LEN 64
#define OPTIONS_9P "trans=virtio,version=9p2000.L,msize=262144"

/* The last record of the log: written by us once the command is gone. */
#define LOG_END "end of the run"

/* What the host asks for; strings point into the loaded request file. */
struct request {
	const char *build;
	const char *cwd;
	int tty;
	int set_clock;
	struct winsize size;
	char *argv[NR_WORDS_MAX + 1];
	char *envp[NR_WORDS_MAX + 2];
};

/* One direction of one stream between the command's pipe and a virtio port. */
struct pump {
	pthread_t thread;
	int from;
	int to;
};

static int ctl_fd = -1;
static int tty_fd = -1;

static void power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

/*
 * Line for the kernel log; level 4 and below also reaches the serial console.
 * Not dprintf(): it seeks first, which /dev/kmsg refuses.
 */
static void say(int level, const char *format, ...)
{
	char text[512];
	va_list args;
	int len, fd;

	len = snprintf(text, sizeof(text), "<%d>vm/init: ", level);
	va_start(args, format);
	len += vsnprintf(text + len, sizeof(text) - len, format, args);
	va_end(args);
	if (len > (int)sizeof(text) - 2)
		len = sizeof(text) - 2;
	/* A record without a newline stays open, unseen, until the next one. */
	text[len++] = '\n';

	fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, len) < 0)
		printf("%.*s", len, text);
	if (fd >= 0)
		close(fd);
}

/* Without the files of the host there is nothing to run: tell and stop. */
static void die(const char *what)
{
	int err = errno;

	say(3, "%s: %s", what, strerror(err));
	if (ctl_fd >= 0)
		dprintf(ctl_fd, "fatal: %s: %s\n", what, strerror(err));
	power_off();
}

static void mount_or_die(const char *source, const char *target, const char *type,
			 unsigned long flags, const char *options)
{
	char what[256];

	mkdir(target, 0755);
	if (!mount(source, target, type, flags, options))
		return;
	snprintf(what, sizeof(what), "mount %s on %s", source, target);
	die(what);
}

/* For what a test may miss without the whole run being pointless. */
static void mount_or_say(const char *type, const char *target, const char *options)
{
	mkdir(target, 0755);
	if (mount(type, target, type, 0, options))
		say(4, "mount %s on %s: %s", type, target, strerror(errno));
}

static int has_boot_option(const char *option)
{
	char line[4096];
	char *word, *next = line;
	int fd, n;

	fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	line[n > 0 ? n : 0] = '\0';

	while ((word = strsep(&next, " \n")))
		if (!strcmp(word, option))
			return 1;
	return 0;
}

/* /lib/modules.list is in load order: dependencies come first. */
static void load_modules(void)
{
	char name[64], path[128];
	FILE *list = fopen("/lib/modules.list", "re");
	int fd;

	if (!list)
		die("open modules.list");
	while (fscanf(list, "%63s", name) == 1) {
		snprintf(path, sizeof(path), "/lib/%s.ko", name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			die(path);
		if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)
			die(path);
		close(fd);
	}
	fclose(list);
}

/* Ports are numbered by the order of devices; sysfs knows their names. */
static int open_port(const char *wanted)
{
	char path[300], name[64] = "";
	struct dirent *entry;
	FILE *file;
	DIR *dir;
	int fd = -1;

	dir = opendir("/sys/class/virtio-ports");
	if (!dir)
		return -1;
	while (fd < 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fscanf(file, "%63s", name) == 1 && !strcmp(name, wanted)) {
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			fd = open(path, O_RDWR | O_CLOEXEC);
		}
		fclose(file);
	}
	closedir(dir);
	return fd;
}

static int open_port_or_die(const char *wanted)
{
	int fd = open_port(wanted);

	if (fd < 0)
		die(wanted);
	return fd;
}

static void write_all(int fd, const char *data, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		data += n;
		len -= n;
	}
}

/*
 * All that does not come from the host. Done before the snapshot point, where it
 * costs nothing to later runs; the mounts move along with /sys and /dev.
 */
static void mount_system(void)
{
	mount_or_say("bpf", "/sys/fs/bpf", "mode=0700");
	mount_or_say("debugfs", "/sys/kernel/debug", NULL);
	mount_or_say("tracefs", "/sys/kernel/tracing", NULL);
	mount_or_say("cgroup2", "/sys/fs/cgroup", NULL);
	mount_or_say("devpts", "/dev/pts", "mode=0620,ptmxmode=0666");
	mount_or_say("tmpfs", "/dev/shm", "mode=1777");
	mount_or_die("tmpfs", "/written", "tmpfs", 0, "mode=0755");
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("fd/0", "/dev/stdin") ||
	    symlink("fd/1", "/dev/stdout") || symlink("fd/2", "/dev/stderr"))
		say(4, "links in /dev: %s", strerror(errno));
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		say(4, "write %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void set_up_network_and_name(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo))
		say(4, "lo up: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	if (sethostname("ghost-vm", 8))
		say(4, "set host name: %s", strerror(errno));
}

/* A fatal request is the host's mistake; the message goes to its terminal. */
static void bad_request(const char *why)
{
	errno = EINVAL;
	die(why);
}

/*
 * The request is a list of NUL-ended words "key=value"; arg= and env= repeat.
 * The buffer stays: argv and envp point into it.
 */
static void load_request(struct request *req, const char *run_name)
{
	int nr_args = 0, nr_envs = 0, fd;
	char *text, *word, *end;
	ssize_t n = 0, got;
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "/kept/vm/%s/request", run_name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		die("open the request");
	text = malloc(st.st_size + 1);
	if (!text)
		die("load the request");
	while (n < st.st_size && (got = read(fd, text + n, st.st_size - n)) > 0)
		n += got;
	close(fd);
	text[n] = '\0';

	end = text + n;
	for (word = text; word < end; word += strlen(word) + 1) {
		if (!strncmp(word, "arg=", 4)) {
			if (nr_args == NR_WORDS_MAX)
				bad_request("more than 8192 arguments");
			req->argv[nr_args++] = word + 4;
		} else if (!strncmp(word, "env=", 4)) {
			if (nr_envs == NR_WORDS_MAX)
				bad_request("more than 8192 variables");
			req->envp[nr_envs++] = word + 4;
		} else if (!strncmp(word, "build=", 6)) {
			req->build = word + 6;
		} else if (!strncmp(word, "cwd=", 4)) {
			req->cwd = word + 4;
		} else if (!strcmp(word, "tty=1")) {
			req->tty = 1;
		} else if (!strncmp(word, "rows=", 5)) {
			req->size.ws_row = atoi(word + 5);
		} else if (!strncmp(word, "cols=", 5)) {
			req->size.ws_col = atoi(word + 5);
		}
	}
	req->envp[nr_envs] = "GHOST_VM=1";
	if (!nr_args || !req->build || !req->cwd)
		bad_request("the request lacks arg, build or cwd");
}

/*
 * The one place that survives the run. cache=none: a file is on the host when
 * write() returns, also if the VM is killed a moment later.
 */
static void mount_build(void)
{
	mount_or_die("build", "/kept", "9p", 0, OPTIONS_9P ",cache=none");
}

/*
 * The host's files read-only over 9p, a tmpfs on top: every path can be written
 * and nothing reaches the host. The build folder goes over its own path.
 */
static void switch_to_host_root(const char *build)
{
	char target[PATH_MAX];

	mount_or_die("hostroot", "/host", "9p", MS_RDONLY, OPTIONS_9P ",cache=loose");
	mkdir("/written/files", 0755);
	mkdir("/written/work", 0755);
	mount_or_die("overlay", "/new", "overlay", 0,
		     "lowerdir=/host,upperdir=/written/files,workdir=/written/work");
	if (mount("/proc", "/new/proc", NULL, MS_MOVE, NULL) ||
	    mount("/dev", "/new/dev", NULL, MS_MOVE, NULL) ||
	    mount("/sys", "/new/sys", NULL, MS_MOVE, NULL))
		die("move mounts to the host's root");
	mount_or_say("tmpfs", "/new/run", "mode=0755");
	mkdir("/new/run/lock", 01777);
	snprintf(target, sizeof(target), "/new%s", build);
	if (mount("/kept", target, NULL, MS_MOVE, NULL))
		die(build);
	if (chdir("/new") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		die("switch to the host's root");
}

static void *pump_run(void *arg)
{
	struct pump *pump = arg;
	char *buf = malloc(65536);
	ssize_t n;

	if (!buf)
		return NULL;
	for (;;) {
		n = read(pump->from, buf, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		write_all(pump->to, buf, n);
	}
	close(pump->from);
	close(pump->to);
	free(buf);
	return NULL;
}

static void pump_start(struct pump *pump, int from, int to)
{
	pump->from = from;
	pump->to = to;
	if (pthread_create(&pump->thread, NULL, pump_run, pump))
		die("start a stream thread");
}

/* A process stuck in the kernel may hold a pipe for ever: do not wait long. */
static void join_soon(pthread_t thread, const char *what)
{
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 5;
	if (pthread_timedjoin_np(thread, NULL, &limit))
		say(3, "the end of %s did not come within 5 s", what);
}

/* "level,seq,usec,flags;text\n extra" as dmesg prints it, without the extras. */
static size_t format_record(char *record, char *out, size_t size)
{
	unsigned long long usec = 0;
	char *text = strchr(record, ';');

	if (!text)
		return 0;
	*text++ = '\0';
	text[strcspn(text, "\n")] = '\0';
	sscanf(record, "%*[^,],%*[^,],%llu", &usec);
	return snprintf(out, size, "[%5llu.%06llu] %s\n", usec / 1000000, usec % 1000000, text);
}

/*
 * Streams the kernel log from the first record on, so that the host has it up to
 * the moment of a hang. Records are gathered into few writes: each write is a
 * trip out of the VM.
 */
static void *log_run(void *arg)
{
	int port = *(int *)arg;
	int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct pollfd pfd = { .fd = kmsg, .events = POLLIN };
	static char record[8192 + 1], out[32768];
	size_t len = 0;
	int done = 0;
	ssize_t n;

	while (kmsg >= 0 && !done) {
		n = read(kmsg, record, sizeof(record) - 1);
		if (n > 0) {
			record[n] = '\0';
			done = strstr(record, ";vm/init: " LOG_END) != NULL;
			len += format_record(record, out + len, sizeof(out) - len);
		} else if (n < 0 && errno == EPIPE) {
			len += snprintf(out + len, sizeof(out) - len,
					"(records lost: the log was overrun)\n");
		}
		if (done || len > sizeof(out) - sizeof(record) - 64 || (n < 0 && errno == EAGAIN)) {
			write_all(port, out, len);
			len = 0;
		}
		if (n < 0 && errno == EAGAIN)
			poll(&pfd, 1, -1);
		else if (n < 0 && errno != EPIPE && errno != EINTR)
			break;
	}
	return NULL;
}

/*
 * The host's later words: the terminal changed its size, or the time limit is
 * reached and the log should say who is blocked (w) and what runs (l).
 */
static void *go_run(void *arg)
{
	FILE *go = arg;
	struct winsize size = { 0 };
	char line[128];

	while (fgets(line, sizeof(line), go)) {
		if (sscanf(line, "size %hu %hu", &size.ws_row, &size.ws_col) == 2 && tty_fd >= 0)
			ioctl(tty_fd, TIOCSWINSZ, &size);
		if (!strcmp(line, "dump\n")) {
			write_file("/proc/sysrq-trigger", "w");
			write_file("/proc/sysrq-trigger", "l");
		}
	}
	return NULL;
}

static void start_detached(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, arg))
		die("start a thread");
	pthread_detach(thread);
}

/*
 * The snapshot point: all modules are in and nothing of the host is mounted (a
 * mounted 9p cannot be saved). A fresh boot passes here too, so both ways of
 * starting run the same code. The host's word carries the time of day, which a
 * snapshot has wrong; 0 leaves the clock alone.
 */
static FILE *wait_for_go(char run_name[RUN_NAME_LEN])
{
	struct timespec now = { 0 };
	FILE *go = fdopen(open_port_or_die("vm.go"), "re");
	char line[128];
	long long sec;
	long nsec;

	if (!go)
		die("vm.go");
	dprintf(ctl_fd, "ready\n");
	for (;;) {
		/* No host at the other end yet reads as end of file. */
		clearerr(go);
		if (fgets(line, sizeof(line), go) &&
		    sscanf(line, "go %lld.%9ld %63s", &sec, &nsec, run_name) == 3)
			break;
		usleep(5000);
	}
	now.tv_sec = sec;
	now.tv_nsec = nsec;
	if (sec && clock_settime(CLOCK_REALTIME, &now))
		say(4, "set the clock: %s", strerror(errno));
	return go;
}

/* In the child: never returns. */
static void exec_command(const struct request *req)
{
	sigset_t none;
	int err;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir(req->cwd)) {
		dprintf(2, "vm/run: cannot enter %s in the VM: %s\n", req->cwd, strerror(errno));
		_exit(125);
	}
	environ = (char **)req->envp;
	execvp(req->argv[0], req->argv);
	err = errno;
	dprintf(2, "vm/run: cannot run %s: %s\n", req->argv[0], strerror(err));
	_exit(err == ENOENT ? 127 : 126);
}

static pid_t start_on_terminal(const struct request *req)
{
	pid_t pid;

	tty_fd = open("/dev/hvc0", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (tty_fd < 0)
		die("open the terminal hvc0");
	ioctl(tty_fd, TIOCSWINSZ, &req->size);
	pid = fork();
	if (pid)
		return pid;
	setsid();
	ioctl(tty_fd, TIOCSCTTY, 1);
	dup2(tty_fd, 0);
	dup2(tty_fd, 1);
	dup2(tty_fd, 2);
	exec_command(req);
	return -1;
}

/*
 * The command gets pipes, not the ports: a port can be opened only once, so
 * /dev/stdin and /dev/stderr would not work on it.
 */
static pid_t start_on_pipes(const struct request *req, struct pump pumps[3])
{
	static const char *const ports[3] = { "vm.in", "vm.out", "vm.err" };
	int pipes[3][2];
	pid_t pid;
	int i;

	for (i = 0; i < 3; i++)
		if (pipe2(pipes[i], O_CLOEXEC))
			die("make pipes");
	pid = fork();
	if (!pid) {
		setsid();
		dup2(pipes[0][0], 0);
		dup2(pipes[1][1], 1);
		dup2(pipes[2][1], 2);
		exec_command(req);
	}
	close(pipes[0][0]);
	close(pipes[1][1]);
	close(pipes[2][1]);
	pump_start(&pumps[0], open_port_or_die(ports[0]), pipes[0][1]);
	pump_start(&pumps[1], pipes[1][0], open_port_or_die(ports[1]));
	pump_start(&pumps[2], pipes[2][0], open_port_or_die(ports[2]));
	return pid;
}

static int wait_for(pid_t command)
{
	int status = 0;
	pid_t pid;

	do {
		pid = waitpid(-1, &status, 0);
	} while (pid != command && !(pid < 0 && errno == ECHILD));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What the command left running ends with it. */
static void kill_the_rest(void)
{
	int i;

	kill(-1, SIGKILL);
	for (i = 0; i < 200; i++) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0)
			return;
		if (!pid)
			usleep(10000);
	}
	say(4, "a process did not die within 2 s");
}

/*
 * The kernel unloads the scheduler of a killed process later, from a worker. Its
 * last words must be in the log. A pinned scheduler stays: 300 ms, no more.
 */
static void wait_for_sched_ext(void)
{
	char state[32];
	int i, fd, n;

	for (i = 0; i < 30; i++) {
		fd = open("/sys/kernel/sched_ext/state", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return;
		n = read(fd, state, sizeof(state) - 1);
		close(fd);
		state[n > 0 ? n : 0] = '\0';
		if (!strncmp(state, "disabled", 8))
			return;
		usleep(10000);
	}
}

static void early_boot(void)
{
	int console;

	mount_or_die("proc", "/proc", "proc", 0, NULL);
	mount_or_die("dev", "/dev", "devtmpfs", 0, "mode=0755");
	mount_or_die("sys", "/sys", "sysfs", 0, NULL);
	console = open("/dev/console", O_RDWR);
	if (console >= 0) {
		dup2(console, 0);
		dup2(console, 1);
		dup2(console, 2);
		if (console > 2)
			close(console);
	}
	if (has_boot_option("vm.probe=1")) {
		printf("vm/init: probe ok\n");
		fflush(stdout);
		power_off();
	}
}

int main(void)
{
	static struct request req;
	struct pump pumps[3];
	char run_name[RUN_NAME_LEN];
	pthread_t logger;
	int log_port, rc;
	pid_t command;
	FILE *go;

	if (getpid() != 1) {
		fprintf(stderr, "vm/init is PID 1 of the VM; use vm/run\n");
		return 1;
	}
	umask(022);
	early_boot();
	load_modules();
	mount_system();
	set_up_network_and_name();
	/* The default of 120 s is as long as the time limit of most runs. */
	write_file("/proc/sys/kernel/hung_task_timeout_secs", "30");
	ctl_fd = open_port_or_die("vm.ctl");
	go = wait_for_go(run_name);
	log_port = open_port_or_die("vm.log");
	if (pthread_create(&logger, NULL, log_run, &log_port))
		die("start the log thread");
	start_detached(go_run, go);

	mount_build();
	load_request(&req, run_name);
	switch_to_host_root(req.build);

	dprintf(ctl_fd, "started\n");
	command = req.tty ? start_on_terminal(&req) : start_on_pipes(&req, pumps);
	if (command < 0)
		die("fork");
	rc = wait_for(command);

	kill_the_rest();
	if (req.tty) {
		tcdrain(tty_fd);
	} else {
		join_soon(pumps[1].thread, "stdout");
		join_soon(pumps[2].thread, "stderr");
	}
	wait_for_sched_ext();
	say(6, LOG_END);
	join_soon(logger, "the log");
	dprintf(ctl_fd, "rc=%d\n", rc);
	power_off();
}
