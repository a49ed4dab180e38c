#include "ring.h"

#include <stdio.h>
#include <string.h>

/* Every capacity, start and length: what went in comes out. */
int main(void)
{
	for (size_t capacity = 1; capacity <= 9; capacity++) {
		for (size_t start = 0; start < capacity; start++) {
			for (size_t length = 0; length <= capacity; length++) {
				unsigned char memory[16] = {0}, in[16], out[16];
				struct ring ring;

				ring_init(&ring, memory, capacity);
				ring_write(&ring, in, 0);
				memset(in, '.', sizeof in);
				ring_write(&ring, in, start);
				ring_read(&ring, out, start);

				for (size_t i = 0; i < length; i++)
					in[i] = (unsigned char)('a' + i);
				memset(out, '?', sizeof out);
				if (ring_write(&ring, in, length) != length || ring_read(&ring, out, length) != length ||
				    memcmp(in, out, length) != 0 || ring_count(&ring) != 0) {
					printf("wrap: wrong at capacity %zu, start %zu, length %zu\n", capacity, start, length);
					return 1;
				}
			}
		}
	}
	puts("wrap: ok");
	return 0;
}
