/* The entropy coder of one latent: integers only, no allocation on a peer's word, no I/O.
 *
 * docs/api/payload.md describes the format. Everything here is plain C11 without Python, so that a
 * fuzzer can drive it alone.
 */
#ifndef SPLITFER_ENTROPY_CORE_H
#define SPLITFER_ENTROPY_CORE_H

#include <stddef.h>
#include <stdint.h>

#define CHANNELS 8
#ifndef SIDE /* tests/fuzz takes smaller maps: more inputs a second through the same code */
#define SIDE 28
#endif
#define SYMBOLS (CHANNELS * SIDE * SIDE)
#define ZERO_SYMBOL 128

/* Neighbours of a symbol: those before it in its own channel, then 3x3 of each lower channel. */
#define OWN_TAPS 12
#define LOWER_TAPS 9
#define MOST_TAPS (OWN_TAPS + (CHANNELS - 1) * LOWER_TAPS)

/* What is summed over them by weight: their sizes, and their values. */
enum { ACTIVITY, PREDICTION, FEATURES };
#define ACTIVITY_BINS 16
#define PREDICTION_BINS 25
#define MOST_SUM 511 /* sums are clamped to +-this */
#define SUMS (2 * MOST_SUM + 1)
/* The pattern of the four nearest: sizes of W, N, NW, NE, where 2 stands for all above. */
#define NEAR_BINS 81
#define MORE_STEPS 6

#define MOST_RATES 16
#define MOST_LIMIT 127
#define MOST_LOGIT 1023
#define CHANCES 4096

/* A body that is longer than the raw symbols is never sent. */
#define MOST_BODY_BYTES SYMBOLS

/* A neighbour with a weight: where from the symbol it lies in the maps, its channel, how many rows
 * down, and how many taps from this one on lie in its row. */
typedef struct {
    int32_t offset;
    int16_t weight;
    uint8_t channel, same_row;
    int8_t down;
} tap;

typedef struct {
    tap taps[FEATURES][MOST_TAPS];
    uint8_t tap_count[FEATURES];
    /* Weights of a symbol in the sums of the next two in its row. */
    int16_t next[FEATURES][2];
    uint8_t bin[FEATURES][SUMS]; /* by sum + MOST_SUM */
    /* Logits, 1/128 nat: of a channel that is not empty, a symbol that is not zero (the sum of
     * two), a negative one, and a size that goes on. */
    int16_t used;
    int16_t nonzero[ACTIVITY_BINS][PREDICTION_BINS];
    int16_t nonzero_near[NEAR_BINS];
    int16_t negative[PREDICTION_BINS];
    int16_t more[MORE_STEPS][PREDICTION_BINS];
} channel_model;

typedef struct {
    int limit, rates;
    uint16_t chance[CHANCES]; /* of a one, in 1/65536, by logit + CHANCES / 2 */
    channel_model models[][CHANNELS];
} entropy_tables;

/* The tables of a file, to be given to free(); NULL with one line in `*why` where it is none. */
entropy_tables *entropy_read_tables(const uint8_t *data, size_t length, const char **why);

/* How many bytes entropy_encode may write: any latent, any tables. */
size_t entropy_most_encoded(const entropy_tables *tables);

/* The body of SYMBOLS symbols into `out`; its length, or 0 with `*why` where a symbol lies outside
 * the limit. */
size_t entropy_encode(const entropy_tables *tables, int rate, const uint8_t *symbols, uint8_t *out,
                      const char **why);

/* SYMBOLS symbols of a body; NULL where it is exactly what the encoder writes for them, else one
 * line that says why not. */
const char *entropy_decode(const entropy_tables *tables, int rate, const uint8_t *body,
                           size_t length, uint8_t *symbols);

#endif
