/* The entropy coder of one latent: integers only, no allocation on a peer's word, no I/O.
 *
 * docs/payload.md describes the format. Everything here is plain C11 without Python, so that a
 * fuzzer can drive it alone.
 */
#ifndef SPLITFER_ENTROPY_CORE_H
#define SPLITFER_ENTROPY_CORE_H

#include <stddef.h>
#include <stdint.h>

#define CHANNELS 8
#define SIDE 28
#define SYMBOLS (CHANNELS * SIDE * SIDE)
#define ZERO_SYMBOL 128

/* Neighbours of a symbol: those before it in its own channel, then 3x3 of each lower channel. */
#define OWN_TAPS 12
#define LOWER_TAPS 9
#define MOST_TAPS (OWN_TAPS + (CHANNELS - 1) * LOWER_TAPS)

enum { ACTIVITY, PREDICTION, NEAR, LOWER, FEATURES };

#define ACTIVITY_BINS 24
#define PREDICTION_BINS 17
#define NEAR_BINS 81
#define LOWER_BINS 16
#define MORE_STEPS 6
#define MOST_RATES 16
#define MOST_LIMIT 127
#define CHANCES 2048

/* A body that is longer than the raw symbols is never sent. */
#define MOST_BODY_BYTES SYMBOLS

/* A neighbour with a weight: its channel, how many rows down, and where from the symbol it lies
 * in the maps. */
typedef struct {
    int32_t offset;
    int16_t weight;
    uint8_t channel;
    int8_t down;
} tap;

typedef struct {
    tap taps[FEATURES][MOST_TAPS];
    uint8_t tap_count[FEATURES];
    /* Weights of a symbol in the sums of the next two in its row. */
    int16_t next[FEATURES][2];
    uint8_t shift[FEATURES];
    uint8_t bin[FEATURES][256];
    int16_t used;
    int16_t zero_pair[ACTIVITY_BINS][PREDICTION_BINS];
    int16_t zero_near[NEAR_BINS];
    int16_t zero_lower[LOWER_BINS];
    int16_t sign[PREDICTION_BINS];
    int16_t more_activity[MORE_STEPS][ACTIVITY_BINS];
    int16_t more_prediction[MORE_STEPS][PREDICTION_BINS];
} channel_model;

typedef struct {
    int limit, rates;
    uint16_t chance[CHANCES]; /* of a one, in 1/65536, by logit (1/128 nat) + 1024 */
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
