/* libFuzzer: any body at any rate is refused, or is the one that the encoder writes.
 *
 * The first byte chooses the rate, or tables instead of a body; the tables in use are the golden
 * ones, from the file that SPLITFER_TABLES names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "entropy_core.h"

#define TABLES_CHOICE 0x80

static entropy_tables *tables;
static uint8_t *again;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    static uint8_t data[1 << 20];
    const char *name = getenv("SPLITFER_TABLES"), *why = "no file";
    FILE *file = name ? fopen(name, "rb") : NULL;
    if (file != NULL) {
        tables = entropy_read_tables(data, fread(data, 1, sizeof data, file), &why);
        fclose(file);
    }
    if (tables == NULL) {
        fprintf(stderr, "SPLITFER_TABLES: %s\n", why);
        exit(2);
    }
    again = malloc(entropy_most_encoded(tables));
    return again == NULL ? 2 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    uint8_t symbols[SYMBOLS];
    const char *why;
    if (length == 0)
        return 0;
    if (data[0] & TABLES_CHOICE) {
        free(entropy_read_tables(data + 1, length - 1, &why));
        return 0;
    }
    /* A copy of the very size, so that a byte read too far is found. */
    uint8_t *body = malloc(length - 1);
    memcpy(body, data + 1, length - 1);
    int rate = data[0] % tables->rates;
    if (entropy_decode(tables, rate, body, length - 1, symbols) == NULL) {
        size_t written = entropy_encode(tables, rate, symbols, again, &why);
        if (why != NULL || written != length - 1 || memcmp(again, body, written) != 0)
            abort();
    }
    free(body);
    return 0;
}
