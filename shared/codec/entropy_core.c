#include "entropy_core.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* Maps carry a border of zeros, so that every neighbour exists. Rows are summed in eights. */
#define WIDE ((SIDE + 7) / 8 * 8)
#define TOP 2
#define LEFT 4
#define ROW (LEFT + WIDE + 4)
#define MAP_ROWS (TOP + SIDE + 1)
#define MAP (MAP_ROWS * ROW)

static const int BINS[FEATURES] = {ACTIVITY_BINS, PREDICTION_BINS};

/* ---- range coder: a 64-bit interval, moved on by 32-bit words ---- */

typedef struct {
    uint64_t low; /* encoder: the interval's lower end; decoder: how far above it the value lies */
    uint64_t range;
    uint64_t window; /* decoder: the last eight bytes taken */
    const uint8_t *body;
    size_t length, at;
    uint8_t *out;
} coder;

static void carry(coder *c)
{
    for (size_t i = c->at; i-- > 0 && ++c->out[i] == 0;) {
    }
}

static void write_word(coder *c)
{
    for (int shift = 56; shift >= 32; shift -= 8)
        c->out[c->at++] = (uint8_t)(c->low >> shift);
    c->low <<= 32;
    c->range <<= 32;
}

static uint32_t take_word(coder *c)
{
    uint32_t word = 0;
    for (int i = 0; i < 4; i++, c->at++)
        word = word << 8 | (c->at < c->length ? c->body[c->at] : 0);
    c->window = c->window << 32 | word;
    return word;
}

/* One decision with `chance` of a one; gives it back. */
INLINE bool code(coder *c, bool decoding, uint32_t chance, bool bit)
{
    uint64_t zeros = (c->range >> 16) * (65536 - chance);
    if (decoding)
        bit = c->low >= zeros;
    if (!bit) {
        c->range = zeros;
    } else {
        c->range -= zeros;
        if (decoding) {
            c->low -= zeros;
        } else {
            c->low += zeros;
            if (c->low < zeros)
                carry(c);
        }
    }
    if (c->range >> 32 == 0) {
        if (decoding) {
            c->low = c->low << 32 | take_word(c);
            c->range <<= 32;
        } else {
            write_word(c);
        }
    }
    return bit;
}

/* Write the shortest bytes that lie in the interval when zeros follow; of those, the lowest. */
static size_t finish(coder *c)
{
    for (int bytes = 0; bytes <= 8; bytes++) {
        uint64_t below = bytes == 0 ? UINT64_MAX : (UINT64_MAX >> (8 * bytes - 1)) >> 1;
        uint64_t up = (0 - c->low) & below; /* to the next multiple */
        if (up >= c->range)
            continue;
        uint64_t value = c->low + up;
        if (value < up)
            carry(c);
        for (int i = 0; i < bytes; i++)
            c->out[c->at++] = (uint8_t)(value >> (56 - 8 * i));
        break;
    }
    while (c->at > 0 && c->out[c->at - 1] == 0)
        c->at--;
    return c->at;
}

/* Whether `finish` would have written this very body. */
static bool is_canonical(const coder *c)
{
    if (c->length > c->at || (c->length > 0 && c->body[c->length - 1] == 0))
        return false;
    if (c->length + 8 <= c->at)
        return true; /* all of it lies above the window, where one multiple fits at most */
    size_t unused = 8 * (c->at - c->length); /* bits of the window below the body's end */
    uint64_t step = (uint64_t)1 << unused, rest = c->window;
    if (unused < 56)
        rest &= (step << 8) - 1; /* the value above the next shorter string's */
    uint64_t up = unused < 56 ? (step << 8) - rest : 0 - rest;
    return c->low < step && rest > c->low && up >= c->range - c->low;
}

/* ---- model ---- */

typedef struct {
    int16_t value[CHANNELS * MAP], size[CHANNELS * MAP];
    uint32_t live[CHANNELS]; /* bit y: row y has a symbol that is not zero */
} maps;

/* Eight sums, which GCC and Clang keep in one register of any machine. */
typedef int16_t lanes __attribute__((vector_size(16)));

/* What is known of the symbols of one row, the contribution of those to the left included. */
typedef struct {
    int16_t sum[FEATURES][WIDE + 2], clamped[FEATURES][WIDE + 2], near[WIDE + 2];
} row_context;

INLINE int map_at(int channel, int y, int x)
{
    return channel * MAP + (y + TOP) * ROW + LEFT + x;
}

INLINE int16_t clamp(int16_t sum)
{
    return sum < -MOST_SUM ? -MOST_SUM : sum > MOST_SUM ? MOST_SUM : sum;
}

INLINE int16_t at_most_2(int16_t size)
{
    return size < 2 ? size : 2;
}

static void start_row(row_context *row, const channel_model *model, const maps *m, int channel,
                      int y)
{
    int at = map_at(channel, y, 0);
    memset(row, 0, sizeof *row);
    for (int f = 0; f < FEATURES; f++) {
        const int16_t *map = (f == ACTIVITY ? m->size : m->value) + at;
        lanes sum[WIDE / 8] = {{0}};
        const tap *from = model->taps[f], *last = from + model->tap_count[f];
        while (from < last) {
            const tap *end = from + from->same_row;
            int seen = y + from->down;
            if (seen < 0 || (m->live[from->channel] >> seen & 1) == 0)
                from = end; /* zeros add nothing */
            for (; from < end; from++) {
                for (int i = 0; i < WIDE / 8; i++) {
                    lanes near;
                    memcpy(&near, map + from->offset + 8 * i, sizeof near);
                    sum[i] += near * from->weight;
                }
            }
        }
        memcpy(row->sum[f], sum, sizeof sum);
        for (int x = 0; x < WIDE; x++)
            row->clamped[f][x] = clamp(row->sum[f][x]);
    }
    const int16_t *above = m->size + at - ROW;
    for (int x = 0; x < WIDE; x++)
        row->near[x] = (int16_t)(9 * at_most_2(above[x]) + 3 * at_most_2(above[x - 1]) +
                                 at_most_2(above[x + 1]));
}

INLINE int bin_of(const channel_model *model, const row_context *row, int feature, int x)
{
    return model->bin[feature][row->clamped[feature][x] + MOST_SUM];
}

INLINE uint32_t chance_of(const entropy_tables *tables, int logit)
{
    return tables->chance[logit + CHANCES / 2]; /* of two logits at most, each within bounds */
}

INLINE uint32_t chance_of_nonzero(const entropy_tables *tables, const channel_model *model,
                                  const row_context *row, int x)
{
    int activity = bin_of(model, row, ACTIVITY, x), prediction = bin_of(model, row, PREDICTION, x);
    return chance_of(tables, model->nonzero[activity][prediction] +
                                 model->nonzero_near[row->near[x]]);
}

/* A symbol that is not zero: its sign, then whether its size goes on, step by step. */
INLINE int code_nonzero(coder *c, bool decoding, const entropy_tables *tables,
                        const channel_model *model, int prediction, int value)
{
    bool negative = code(c, decoding, chance_of(tables, model->negative[prediction]), value < 0);
    if (negative)
        prediction = PREDICTION_BINS - 1 - prediction;
    int size = 1, wanted = value < 0 ? -value : value;
    while (size < tables->limit) {
        int step = size <= MORE_STEPS ? size - 1 : MORE_STEPS - 1;
        uint32_t chance = chance_of(tables, model->more[step][prediction]);
        if (!code(c, decoding, chance, size < wanted))
            break;
        size++;
    }
    return negative ? -size : size;
}

/* One row; whether it has a symbol that is not zero. */
INLINE bool code_row(coder *c, bool decoding, const entropy_tables *tables,
                     const channel_model *model, maps *m, int channel, int y)
{
    row_context row;
    start_row(&row, model, m, channel, y);
    uint32_t chance[SIDE + 2];
    for (int x = 0; x < SIDE; x++)
        chance[x] = chance_of_nonzero(tables, model, &row, x);
    int at = map_at(channel, y, 0);
    bool found = false;
    for (int x = 0; x < SIDE; x++) {
        int value = m->value[at + x];
        if (!code(c, decoding, chance[x], value != 0))
            continue;
        value = code_nonzero(c, decoding, tables, model, bin_of(model, &row, PREDICTION, x), value);
        int size = value < 0 ? -value : value;
        m->value[at + x] = (int16_t)value;
        m->size[at + x] = (int16_t)size;
        row.near[x + 1] = (int16_t)(row.near[x + 1] + 27 * at_most_2((int16_t)size));
        for (int next = 0; next < 2; next++) {
            int to = x + 1 + next;
            const int add[FEATURES] = {size, value};
            for (int f = 0; f < FEATURES; f++) {
                row.sum[f][to] = (int16_t)(row.sum[f][to] + add[f] * model->next[f][next]);
                row.clamped[f][to] = clamp(row.sum[f][to]);
            }
            chance[to] = chance_of_nonzero(tables, model, &row, to);
        }
        found = true;
    }
    if (found)
        m->live[channel] |= (uint32_t)1 << y;
    return found;
}

/* Every decision of a latent, in order; false where the body says that a channel without symbols
 * is used. */
INLINE bool code_latent(coder *c, bool decoding, const entropy_tables *tables, int rate, maps *m,
                        const bool used[CHANNELS])
{
    for (int channel = 0; channel < CHANNELS; channel++) {
        const channel_model *model = &tables->models[rate][channel];
        if (!code(c, decoding, chance_of(tables, model->used), used[channel]))
            continue;
        bool found = false;
        for (int y = 0; y < SIDE; y++)
            found |= code_row(c, decoding, tables, model, m, channel, y);
        if (!found)
            return false;
    }
    return true;
}

size_t entropy_most_encoded(const entropy_tables *tables)
{
    /* No decision costs more than 12 bits. */
    return (size_t)SYMBOLS * (size_t)(tables->limit + 1) * 3 / 2 + 64;
}

size_t entropy_encode(const entropy_tables *tables, int rate, const uint8_t *symbols, uint8_t *out,
                      const char **why)
{
    maps m;
    bool used[CHANNELS] = {false};
    memset(&m, 0, sizeof m);
    for (int row = 0; row < CHANNELS * SIDE; row++) {
        int16_t *to = m.value + map_at(row / SIDE, row % SIDE, 0);
        for (int x = 0; x < SIDE; x++) {
            int value = *symbols++ - ZERO_SYMBOL;
            if (value < -tables->limit || value > tables->limit) {
                *why = "a symbol lies outside the limit of the tables";
                return 0;
            }
            to[x] = (int16_t)value;
            used[row / SIDE] |= value != 0;
        }
    }
    *why = NULL;
    coder c = {.range = UINT64_MAX, .out = out};
    code_latent(&c, false, tables, rate, &m, used);
    return finish(&c);
}

const char *entropy_decode(const entropy_tables *tables, int rate, const uint8_t *body,
                           size_t length, uint8_t *symbols)
{
    if (length > MOST_BODY_BYTES)
        return "it is longer than the raw symbols";
    maps m;
    memset(&m, 0, sizeof m);
    coder c = {.range = UINT64_MAX, .body = body, .length = length};
    c.low = (uint64_t)take_word(&c) << 32;
    c.low |= take_word(&c);
    if (c.low == UINT64_MAX)
        return "it lies outside the first interval";
    if (!code_latent(&c, true, tables, rate, &m, (const bool[CHANNELS]){false}))
        return "a channel that is said to be used is empty";
    if (!is_canonical(&c))
        return "its end is not the one that the encoder writes";
    for (int row = 0; row < CHANNELS * SIDE; row++) {
        const int16_t *from = m.value + map_at(row / SIDE, row % SIDE, 0);
        for (int x = 0; x < SIDE; x++)
            *symbols++ = (uint8_t)(ZERO_SYMBOL + from[x]);
    }
    return NULL;
}

/* ---- tables ---- */

static const uint8_t MAGIC[4] = {'S', 'F', 'E', 1};

typedef struct {
    const uint8_t *at;
    const char *why;
} reader;

static int read_i8(reader *r)
{
    int value = *r->at++;
    return value < 128 ? value : value - 256;
}

static int16_t read_i16(reader *r)
{
    int low = *r->at++;
    return (int16_t)(read_i8(r) * 256 + low);
}

static void read_logits(reader *r, int16_t *to, int count)
{
    for (int i = 0; i < count; i++) {
        to[i] = read_i16(r);
        if (to[i] < -MOST_LOGIT || to[i] > MOST_LOGIT)
            r->why = "a logit is out of bounds";
    }
}

static void read_feature(reader *r, channel_model *model, int feature, int channel, int limit)
{
    uint8_t *bin = model->bin[feature];
    int from = 0;
    for (int b = 0; b < BINS[feature] - 1; b++) {
        int threshold = read_i16(r);
        if (threshold < from - MOST_SUM || threshold > MOST_SUM)
            r->why = "thresholds do not rise from -511 to 511";
        for (; from < threshold + MOST_SUM && from < SUMS; from++)
            bin[from] = (uint8_t)b;
    }
    for (; from < SUMS; from++)
        bin[from] = (uint8_t)(BINS[feature] - 1);

    int total = 0, count = 0, taps = OWN_TAPS + channel * LOWER_TAPS;
    for (int t = 0; t < taps; t++) {
        int weight = read_i8(r), i = t - OWN_TAPS;
        int other = t < OWN_TAPS ? channel : i / LOWER_TAPS, down, right;
        total += weight < 0 ? -weight : weight;
        if (t < 2) {
            model->next[feature][t] = (int16_t)weight;
            continue;
        }
        if (weight == 0)
            continue;
        if (t < OWN_TAPS) {
            down = t < 7 ? -1 : -2;
            right = (t - 2) % 5 - 2;
        } else {
            down = i % LOWER_TAPS / 3 - 1;
            right = i % 3 - 1;
        }
        model->taps[feature][count++] =
            (tap){.offset = (other - channel) * MAP + down * ROW + right,
                  .weight = (int16_t)weight,
                  .channel = (uint8_t)other,
                  .down = (int8_t)down,
                  .same_row = 1};
    }
    for (int t = count - 2; t >= 0; t--) {
        tap *here = &model->taps[feature][t], *next = here + 1;
        if (here->channel == next->channel && here->down == next->down)
            here->same_row = (uint8_t)(next->same_row + 1);
    }
    model->tap_count[feature] = (uint8_t)count;
    if (total * limit > 32767)
        r->why = "weights are too large";
}

static size_t tables_bytes(int rates)
{
    size_t one = 0;
    for (int channel = 0; channel < CHANNELS; channel++) {
        one += 2 + sizeof(int16_t) * ((ACTIVITY_BINS + 1 + MORE_STEPS) * PREDICTION_BINS + NEAR_BINS);
        for (int f = 0; f < FEATURES; f++)
            one += sizeof(int16_t) * (size_t)(BINS[f] - 1) + OWN_TAPS + (size_t)channel * LOWER_TAPS;
    }
    return sizeof MAGIC + 2 + (size_t)rates * one;
}

entropy_tables *entropy_read_tables(const uint8_t *data, size_t length, const char **why)
{
    static const uint16_t knots[34] = {
        32768, 36843, 40793, 44511, 47911, 50941, 53581, 55834, 57724, 59287, 60565, 61598,
        62428, 63090, 63615, 64030, 64357, 64614, 64816, 64974, 65097, 65194, 65269, 65328,
        65374, 65410, 65438, 65459, 65476, 65489, 65500, 65508, 65514, 65514,
    };
    *why = "it does not start like tables of this version";
    if (length < sizeof MAGIC + 2 || memcmp(data, MAGIC, sizeof MAGIC) != 0)
        return NULL;
    int limit = data[4], rates = data[5];
    *why = "its limit or number of rates is out of bounds";
    if (limit < 1 || limit > MOST_LIMIT || rates < 1 || rates > MOST_RATES)
        return NULL;
    *why = "its length is not that of its rates";
    if (length != tables_bytes(rates))
        return NULL;
    *why = "no memory";
    entropy_tables *tables =
        calloc(1, sizeof *tables + (size_t)rates * CHANNELS * sizeof(channel_model));
    if (tables == NULL)
        return NULL;
    tables->limit = limit;
    tables->rates = rates;
    for (int logit = -CHANCES / 2; logit < CHANCES / 2; logit++) {
        int far = logit < 0 ? -logit : logit;
        far = far < 1024 ? far : 1024;
        int k = far / 32, part = far % 32;
        int one = (knots[k] * (32 - part) + knots[k + 1] * part + 16) >> 5;
        tables->chance[logit + CHANCES / 2] = (uint16_t)(logit < 0 ? 65536 - one : one);
    }
    reader r = {data + sizeof MAGIC + 2, NULL};
    for (int i = 0; i < rates * CHANNELS; i++) {
        channel_model *model = &tables->models[i / CHANNELS][i % CHANNELS];
        read_logits(&r, &model->used, 1);
        for (int f = 0; f < FEATURES; f++)
            read_feature(&r, model, f, i % CHANNELS, limit);
        read_logits(&r, model->nonzero[0], ACTIVITY_BINS * PREDICTION_BINS);
        read_logits(&r, model->nonzero_near, NEAR_BINS);
        read_logits(&r, model->negative, PREDICTION_BINS);
        read_logits(&r, model->more[0], MORE_STEPS * PREDICTION_BINS);
    }
    *why = r.why;
    if (r.why != NULL) {
        free(tables);
        return NULL;
    }
    return tables;
}
