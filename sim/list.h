/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lists of threads: doubly linked, with the number of members.
 * In: nodes that live in what is listed. Out: order. For this room.
 */
#ifndef GHOST_SIM_LIST_H
#define GHOST_SIM_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node {
	struct node *next;
	struct node *prev;
	struct list *on; /* NULL: in none */
};

struct list {
	struct node head;
	uint32_t nr;
};

static inline void list_init(struct list *l)
{
	l->head.next = l->head.prev = &l->head;
	l->head.on = l;
	l->nr = 0;
}

static inline void list_insert(struct list *l, struct node *n, struct node *after)
{
	n->next = after->next;
	n->prev = after;
	after->next->prev = n;
	after->next = n;
	n->on = l;
	l->nr++;
}

static inline void list_add(struct list *l, struct node *n)
{
	list_insert(l, n, l->head.prev);
}

static inline void list_add_first(struct list *l, struct node *n)
{
	list_insert(l, n, &l->head);
}

static inline void list_del(struct node *n)
{
	if (!n->on)
		return;
	n->next->prev = n->prev;
	n->prev->next = n->next;
	n->on->nr--;
	n->on = NULL;
}

#define list_first(l, type, member) \
	((l)->nr ? (type *)((char *)(l)->head.next - offsetof(type, member)) : (type *)NULL)

/* @it may be taken off the list inside. */
#define list_for_each(it, save, l)                                                 \
	for (struct node *it = (l)->head.next, *save = it->next; it != &(l)->head; \
	     it = save, save = it->next)

#define list_entry(node, type, member) ((type *)((char *)(node) - offsetof(type, member)))

#endif
