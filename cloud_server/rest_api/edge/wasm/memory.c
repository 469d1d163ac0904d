/* The few functions of a C library that the sources use. Memory is only ever taken: what is
 * loaded stays as long as the page. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define PAGE 65536

extern uint8_t __heap_base;
static uintptr_t next;

EXPORT(allocate) void *malloc(size_t size)
{
    if (next == 0)
        next = (uintptr_t)&__heap_base;
    uintptr_t at = (next + 15) & ~(uintptr_t)15;
    uintptr_t have = __builtin_wasm_memory_size(0) * (uintptr_t)PAGE;
    if (size > UINT32_MAX - 2 * PAGE - at)
        return NULL;
    if (at + size > have &&
        __builtin_wasm_memory_grow(0, (at + size - have + PAGE - 1) / PAGE) == (size_t)-1)
        return NULL;
    next = at + size;
    return (void *)at;
}

void *calloc(size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    void *memory = malloc(count * size); /* new pages are zero, and none is given twice */
    return memory;
}

void free(void *memory)
{
    (void)memory;
}

/* One instruction each, with -mbulk-memory. */
void *memcpy(void *to, const void *from, size_t size)
{
    return __builtin_memcpy(to, from, size);
}

void *memset(void *to, int byte, size_t size)
{
    return __builtin_memset(to, byte, size);
}

int memcmp(const void *one, const void *other, size_t size)
{
    const uint8_t *a = one, *b = other;
    for (; size > 0; size--, a++, b++)
        if (*a != *b)
            return *a - *b;
    return 0;
}
