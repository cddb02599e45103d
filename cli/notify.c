// SPDX-License-Identifier: GPL-2.0-only
/*
 * Readiness, for whoever started us as a service.
 * In: $NOTIFY_SOCKET (sd_notify(3) describes the protocol). Out: READY=1 there.
 * Called by keeper.c.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/run.h"

void notify_ready(void)
{
	static const char ready[] = "READY=1";
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = name ? strlen(name) : 0;
	int fd;

	if ((len < 2 || len >= sizeof(to.sun_path)) || (name[0] != '/' && name[0] != '@'))
		return;
	memcpy(to.sun_path, name, len);
	/* A name that is in no file system begins with a zero. */
	if (name[0] == '@')
		to.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, ready, sizeof(ready) - 1, MSG_NOSIGNAL, (struct sockaddr *)&to,
		   offsetof(struct sockaddr_un, sun_path) + len) < 0)
		say("cannot tell %s that we are ready", name);
	close(fd);
}
