#include "ring.h"

#include <string.h>

void ring_init(struct ring *ring, void *memory, size_t capacity)
{
	ring->bytes = memory;
	ring->capacity = capacity;
	ring->head = 0;
	ring->count = 0;
}

size_t ring_count(const struct ring *ring)
{
	return ring->count;
}

size_t ring_free(const struct ring *ring)
{
	return ring->capacity - ring->count;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t ring_write(struct ring *ring, const void *data, size_t length)
{
	const unsigned char *from = data;
	size_t tail = (ring->head + ring->count) % ring->capacity;
	size_t first;

	length = smaller(length, ring_free(ring));
	first = smaller(length, ring->capacity - tail);
	memcpy(ring->bytes + tail, from, first);
	memcpy(ring->bytes, from + first, length - first);
	ring->count += length;
	return length;
}

size_t ring_read(struct ring *ring, void *data, size_t length)
{
	unsigned char *to = data;
	size_t first;

	length = smaller(length, ring->count);
	first = smaller(length, ring->capacity - ring->head);
	memcpy(to, ring->bytes + ring->head, first);
	memcpy(to + first, ring->bytes + ring->head, length - first);
	ring->head = (ring->head + length) % ring->capacity;
	ring->count -= length;
	return length;
}
