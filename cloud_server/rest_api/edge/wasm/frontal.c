/* dlib's frontal face detector for a browser: HOG features of a picture and of ever smaller copies
 * of it, and linear classifiers over windows of 10x10 cells.
 *
 * The steps, their order and their roundings are dlib's (Boost licence; fhog.h,
 * scan_fhog_pyramid.h, interpolation.h), so that the boxes are those of the detector on every
 * other edge. The classifiers come from a file: see `frontal_open`.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name)))

#define CELL 8
#define WINDOW 10 /* cells, of 80 px */
#define PLANES 31
#define ORIENTATIONS 18
#define SMALLEST_SIDE 64 /* of a level of the pyramid */
#define MOST_DETECTORS 8
#define MOST_FILTERS 1024
#define MOST_FOUND 1024
#define PAD_BEFORE ((WINDOW - 1) / 2)
#define SPARE 16 /* behind each buffer, for what is read and written in fours */

/* One separable part of a classifier: what it adds for one plane of features. */
typedef struct {
    int32_t detector, plane;
    float across[WINDOW], down[WINDOW];
} filter;

typedef struct {
    float score;
    int32_t level, row, column;
} window;

static struct {
    int32_t detectors, filters;
    float threshold[MOST_DETECTORS];
    filter filter[MOST_FILTERS];
} model;

static window found[MOST_FOUND];
static int found_count;

/* Buffers for the largest picture so far. */
static int most_pixels;
static uint8_t *picture, *smaller;
static float *hist, *norm, *features, *passed, *scores;

/* The file: int32 detectors and filters, a float32 threshold for each detector, then the filters as
 * the struct has them. 1 where it is one. */
EXPORT(frontal_open) int frontal_open(const uint8_t *data, int length)
{
    int32_t counts[2];
    if (length < (int)sizeof counts)
        return 0;
    memcpy(counts, data, sizeof counts);
    if (counts[0] < 1 || counts[0] > MOST_DETECTORS || counts[1] < 1 || counts[1] > MOST_FILTERS ||
        length != (int)sizeof counts + 4 * counts[0] + (int)sizeof(filter) * counts[1])
        return 0;
    data += sizeof counts;
    memcpy(model.threshold, data, 4 * (size_t)counts[0]);
    memcpy(model.filter, data + 4 * counts[0], sizeof(filter) * (size_t)counts[1]);
    for (int i = 0; i < counts[1]; i++)
        if (model.filter[i].detector < 0 || model.filter[i].detector >= counts[0] ||
            model.filter[i].plane < 0 || model.filter[i].plane >= PLANES)
            return 0;
    model.detectors = counts[0];
    model.filters = counts[1];
    return 1;
}

/* Where to write a grey picture of so many pixels; NULL where there is no memory for it. */
EXPORT(frontal_picture) uint8_t *frontal_picture(int width, int height)
{
    int pixels = width * height, cells = (width / CELL + 16) * (height / CELL + 16) + SPARE;
    if (pixels <= most_pixels)
        return picture;
    picture = malloc((size_t)pixels + SPARE);
    smaller = malloc((size_t)pixels + SPARE);
    hist = malloc(sizeof(float) * ORIENTATIONS * (size_t)cells);
    norm = malloc(sizeof(float) * (size_t)cells);
    features = malloc(sizeof(float) * PLANES * (size_t)cells);
    passed = malloc(sizeof(float) * (size_t)cells);
    scores = malloc(sizeof(float) * MOST_DETECTORS * (size_t)cells);
    if (!picture || !smaller || !hist || !norm || !features || !passed || !scores)
        return NULL;
    most_pixels = pixels;
    return picture;
}

/* Four at a time. */
typedef float floats __attribute__((vector_size(16)));
typedef int32_t wholes __attribute__((vector_size(16)));
typedef uint8_t bytes __attribute__((vector_size(4)));

static inline floats load(const float *from)
{
    floats four;
    memcpy(&four, from, sizeof four);
    return four;
}

static inline floats grey(const uint8_t *from)
{
    bytes four;
    memcpy(&four, from, sizeof four);
    return __builtin_convertvector(four, floats);
}

static inline wholes choose(wholes which, wholes yes, wholes no)
{
    return (which & yes) | (~which & no);
}

static float minimum(float a, float b) { return a < b ? a : b; }

/* Strengths of 18 orientations in each cell, with one more cell around: [row][column][18]. */
static void fill_histograms(const uint8_t *img, int nr, int nc, int cells_nr, int cells_nc)
{
    static const float dx[9] = {1.0000f, 0.9397f, 0.7660f,  0.500f,   0.1736f,
                                -0.1736f, -0.5000f, -0.7660f, -0.9397f};
    static const float dy[9] = {0.0000f, 0.3420f, 0.6428f, 0.8660f, 0.9848f,
                                0.9848f, 0.8660f, 0.6428f, 0.3420f};
    int row_floats = (cells_nc + 2) * ORIENTATIONS;
    memset(hist, 0, sizeof(float) * (size_t)(cells_nr + 2) * (size_t)row_floats);
    int visible_nr = (cells_nr * CELL < nr ? cells_nr * CELL : nr) - 1;
    int visible_nc = (cells_nc * CELL < nc ? cells_nc * CELL : nc) - 1;
    for (int y = 1; y < visible_nr; y++) {
        float yp = ((float)y + 0.5f) / CELL - 0.5f;
        int iyp = (int)__builtin_floorf(yp);
        float vy0 = yp - (float)iyp, vy1 = 1.0f - vy0;
        float *above = hist + (iyp + 1) * row_floats, *below = above + row_floats;
        const uint8_t *here = img + y * nc;
        enum { STEP = 64 };
        for (int from = 1; from < visible_nc; from += STEP) {
            int count = visible_nc - from < STEP ? visible_nc - from : STEP;
            float strength[STEP];
            int32_t orientation[STEP];
            const uint8_t *at = here + from;
            for (int i = 0; i < count; i += 4) { /* what lies beyond the row is not used */
                floats gx = grey(at + i + 1) - grey(at + i - 1);
                floats gy = grey(at + i + nc) - grey(at + i - nc);
                floats best = {0};
                wholes place = {0};
                for (int o = 0; o < 9; o++) {
                    floats dot = gx * dx[o] + gy * dy[o];
                    wholes more = dot > best;
                    place = choose(more, (wholes){o, o, o, o}, place);
                    best = (floats)choose(more, (wholes)dot, (wholes)best);
                    more = -dot > best;
                    place = choose(more, (wholes){o + 9, o + 9, o + 9, o + 9}, place);
                    best = (floats)choose(more, (wholes)-dot, (wholes)best);
                }
                floats square = gx * gx + gy * gy;
                memcpy(orientation + i, &place, sizeof place);
                for (int k = 0; k < 4; k++)
                    strength[i + k] = __builtin_sqrtf(square[k]);
            }
            for (int i = 0; i < count; i++) {
                float xp = ((float)(from + i) + 0.5f) / CELL - 0.5f;
                int ixp = (int)__builtin_floorf(xp);
                float vx0 = xp - (float)ixp, vx1 = 1.0f - vx0, v = strength[i];
                int to = (ixp + 1) * ORIENTATIONS + orientation[i];
                above[to] += vy1 * vx1 * v;
                below[to] += vy0 * vx1 * v;
                above[to + ORIENTATIONS] += vy1 * vx0 * v;
                below[to + ORIENTATIONS] += vy0 * vx0 * v;
            }
        }
    }
}

static void fill_norms(int cells_nr, int cells_nc)
{
    for (int r = 0; r < cells_nr; r++)
        for (int c = 0; c < cells_nc; c++) {
            const float *h = hist + ((r + 1) * (cells_nc + 2) + c + 1) * ORIENTATIONS;
            float sum = 0;
            for (int o = 0; o < 9; o++)
                sum += (h[o] + h[o + 9]) * (h[o] + h[o + 9]);
            norm[r * cells_nc + c] = sum;
        }
}

static float block(int cells_nc, int r, int c)
{
    const float *n = norm + r * cells_nc + c;
    return n[0] + n[1] + n[cells_nc] + n[cells_nc + 1];
}

/* 31 planes [plane][row][column], with zeros around for windows that reach over the border. */
static void fill_features(int cells_nr, int cells_nc, int rows, int columns)
{
    int size = rows * columns;
    memset(features, 0, sizeof(float) * PLANES * (size_t)size);
    for (int y = 0; y < cells_nr - 2; y++)
        for (int x = 0; x < cells_nc - 2; x++) {
            const float *h = hist + ((y + 2) * (cells_nc + 2) + x + 2) * ORIENTATIONS;
            float *to = features + (y + PAD_BEFORE) * columns + x + PAD_BEFORE;
            float most[4], scale[4], texture[4] = {0};
            for (int k = 0; k < 4; k++) {
                float energy = block(cells_nc, y + 1 - (k & 1), x + 1 - k / 2) + 0.0001f;
                most[k] = 0.2f * __builtin_sqrtf(energy);
                scale[k] = 0.1f / most[k];
            }
            for (int o = 0; o < ORIENTATIONS; o++) {
                float sum = 0;
                for (int k = 0; k < 4; k++) {
                    float part = minimum(h[o], most[k]) * scale[k];
                    texture[k] += part;
                    sum += part;
                }
                to[o * size] = sum;
            }
            for (int o = 0; o < 9; o++) {
                float sum = 0;
                for (int k = 0; k < 4; k++)
                    sum += minimum(h[o] + h[o + 9], most[k]) * scale[k];
                to[(ORIENTATIONS + o) * size] = sum;
            }
            for (int k = 0; k < 4; k++)
                to[(27 + k) * size] = 2 * 0.2357f * texture[k];
        }
}

/* scores[detector][row][column] of windows by their first cell. */
static void apply_filters(int rows, int columns)
{
    int size = rows * columns, last_row = rows - WINDOW, last_column = columns - WINDOW;
    memset(scores, 0, sizeof(float) * (size_t)(model.detectors * size));
    for (int i = 0; i < model.filters; i++) {
        const filter *f = &model.filter[i];
        const float *plane = features + f->plane * size;
        float *score = scores + f->detector * size;
        for (int r = 0; r < rows; r++) {
            const float *from = plane + r * columns;
            float *to = passed + r * columns;
            for (int c = 0; c <= last_column; c += 4) {
                floats sum = {0};
                for (int n = 0; n < WINDOW; n++)
                    sum += f->across[n] * load(from + c + n);
                memcpy(to + c, &sum, sizeof sum);
            }
        }
        for (int r = 0; r <= last_row; r++)
            for (int c = 0; c <= last_column; c += 4) {
                floats sum = {0};
                for (int m = 0; m < WINDOW; m++)
                    sum += f->down[m] * load(passed + (r + m) * columns + c);
                sum += load(score + r * columns + c);
                memcpy(score + r * columns + c, &sum, sizeof sum);
            }
    }
}

static void search_level(const uint8_t *img, int nr, int nc, int level)
{
    int cells_nr = (nr + CELL / 2) / CELL, cells_nc = (nc + CELL / 2) / CELL;
    if (cells_nr < 3 || cells_nc < 3)
        return;
    int rows = cells_nr - 2 + WINDOW - 1, columns = cells_nc - 2 + WINDOW - 1;
    fill_histograms(img, nr, nc, cells_nr, cells_nc);
    fill_norms(cells_nr, cells_nc);
    fill_features(cells_nr, cells_nc, rows, columns);
    apply_filters(rows, columns);
    for (int d = 0; d < model.detectors; d++)
        for (int r = 0; r <= rows - WINDOW; r++)
            for (int c = 0; c <= columns - WINDOW; c++) {
                float score = scores[(d * rows + r) * columns + c] - model.threshold[d];
                if (score >= 0 && found_count < MOST_FOUND)
                    found[found_count++] = (window){score, level, r, c};
            }
}

/* Five sixths of the size, between pixels by both neighbours. */
static void shrink(const uint8_t *from, int nr, int nc, uint8_t *to, int new_nr, int new_nc)
{
    double x_scale = (nc - 1) / (double)(new_nc > 1 ? new_nc - 1 : 1);
    double y_scale = (nr - 1) / (double)(new_nr > 1 ? new_nr - 1 : 1), y = -y_scale;
    for (int r = 0; r < new_nr; r++) {
        y += y_scale;
        int top = (int)y, bottom = top + 1 < nr ? top + 1 : nr - 1;
        float down = (float)(y - top), up = 1 - down;
        const uint8_t *upper = from + top * nc, *lower = from + bottom * nc;
        for (int c = 0; c < new_nc; c++) {
            float x = (float)(c * x_scale);
            int left = (int)x, right = left + 1 < nc ? left + 1 : nc - 1;
            float far = x - (float)left, near = 1 - far;
            float sum = up * near * upper[left] + up * far * upper[right] +
                        down * near * lower[left] + down * far * lower[right];
            to[r * new_nc + c] = (uint8_t)(sum + 0.5f);
        }
    }
}

/* How many windows of the picture look like a face; -1 before `frontal_open`. */
EXPORT(frontal_search) int frontal_search(int width, int height)
{
    if (!model.detectors)
        return -1;
    found_count = 0;
    uint8_t *img = picture, *next = smaller;
    /* dlib measures the levels by their last pixels, in rounded steps of their own. */
    double right = width - 1, bottom = height - 1;
    for (int level = 0;; level++) {
        search_level(img, height, width, level);
        right = __builtin_floor((right - 0.3) * 5 / 6 + 0.5);
        bottom = __builtin_floor((bottom - 0.3) * 5 / 6 + 0.5);
        if (right + 1 < SMALLEST_SIDE || bottom + 1 < SMALLEST_SIDE)
            return found_count;
        int new_width = width * 5 / 6, new_height = height * 5 / 6;
        shrink(img, height, width, next, new_height, new_width);
        uint8_t *swap = img;
        img = next;
        next = swap;
        width = new_width;
        height = new_height;
    }
}

/* What `frontal_search` found: float32 score, int32 level, row and column of the first cell. */
EXPORT(frontal_found) const window *frontal_found(void)
{
    return found;
}
