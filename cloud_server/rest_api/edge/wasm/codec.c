/* shared/codec/entropy_core.c for a browser. */
#include <stdlib.h>

#include "entropy_core.h"

#define EXPORT(name) __attribute__((export_name(#name)))

static entropy_tables *tables;
static uint8_t symbols[SYMBOLS], *body;
static const char *why;

/* 1 where the bytes are tables; else `codec_why`. */
EXPORT(codec_open) int codec_open(const uint8_t *data, int length)
{
    tables = entropy_read_tables(data, (size_t)length, &why);
    if (tables == NULL)
        return 0;
    body = malloc(entropy_most_encoded(tables));
    why = "no memory";
    return body != NULL;
}

/* Where the symbols of a latent are written, or read. */
EXPORT(codec_symbols) uint8_t *codec_symbols(void) { return symbols; }

/* Where a body is written, or read. */
EXPORT(codec_body) uint8_t *codec_body(void) { return body; }

EXPORT(codec_rates) int codec_rates(void) { return tables->rates; }

/* The length of the body of the symbols; -1 where there is none: see `codec_why`. */
EXPORT(codec_encode) int codec_encode(int rate)
{
    size_t length = entropy_encode(tables, rate, symbols, body, &why);
    return why == NULL ? (int)length : -1;
}

/* 1 where the body of this length gives symbols; else `codec_why`. */
EXPORT(codec_decode) int codec_decode(int rate, int length)
{
    why = entropy_decode(tables, rate, body, (size_t)length, symbols);
    return why == NULL;
}

/* A line that ends in a zero byte. */
EXPORT(codec_why) const char *codec_why(void) { return why; }
