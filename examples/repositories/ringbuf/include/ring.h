#ifndef RING_H
#define RING_H

#include <stddef.h>

/* A ring of bytes over memory that the caller owns. */
struct ring {
	unsigned char *bytes;
	size_t capacity;
	size_t head;  /* where the next byte is read */
	size_t count; /* bytes waiting */
};

void ring_init(struct ring *ring, void *memory, size_t capacity);

/* Bytes waiting, and bytes that still fit. */
size_t ring_count(const struct ring *ring);
size_t ring_free(const struct ring *ring);

/* Put in as much of `data` as fits; returns how many bytes were taken. */
size_t ring_write(struct ring *ring, const void *data, size_t length);

/* Take out at most `length` bytes, oldest first; returns how many were given. */
size_t ring_read(struct ring *ring, void *data, size_t length);

#endif
