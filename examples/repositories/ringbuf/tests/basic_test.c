#include "ring.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	unsigned char memory[8];
	char out[8];
	struct ring ring;

	ring_init(&ring, memory, sizeof memory);
	assert(ring_count(&ring) == 0);
	assert(ring_free(&ring) == 8);

	assert(ring_write(&ring, "hello", 5) == 5);
	assert(ring_count(&ring) == 5);
	assert(ring_read(&ring, out, 5) == 5);
	assert(memcmp(out, "hello", 5) == 0);

	/* what does not fit is not taken */
	assert(ring_write(&ring, "0123456789", 10) == 8);
	assert(ring_free(&ring) == 0);
	assert(ring_write(&ring, "x", 1) == 0);

	puts("basic: ok");
	return 0;
}
