/* The image tower from pixels to tokens to embedding: image_tower.py's Network, stage by stage. */

#include "native.h"

#include <string.h>

typedef struct {
  int team, pictures, tokens;
  float *x, *qkv, *gathered, *hidden; /* (T, D), (T, 3D), (T, D), (T, 4D) */
  void *bytes;                        /* of a layer's input, (T, 4D), twice */
  float *steps;                       /* (T,) */
} Way;

static size_t qkv_stride(int width) { return 3 * width + 16; } /* not a multiple of a page, see rows.c */
static size_t padded(size_t bytes) { return (bytes + 127) / 64 * 64; }

/* Bytes of working memory for so many tokens that go through together. */
size_t tower_scratch(const Tower *t, int rows) {
  const size_t d = t->width, one = 4 * (d + qkv_stride(d) + 4 * d + 1) + 2 * (4 * d + 64);
  const size_t patches = (size_t)t->side * t->side * 3 * sizeof(float);
  return (one * rows > patches ? one * rows : patches) + 8 * 64;
}

static Way way_begin(const Tower *t, float *x, int pictures, int tokens, char *scratch, int team) {
  Way way = {.team = team, .pictures = pictures, .tokens = tokens, .x = x};
  const size_t rows = (size_t)pictures * tokens, d = t->width;
  way.gathered = (float *)scratch, scratch += padded(4 * rows * d);
  way.qkv = (float *)scratch, scratch += padded(4 * rows * qkv_stride(d));
  way.bytes = scratch, scratch += padded(2 * rows * (4 * d + 64));
  way.steps = (float *)scratch, scratch += padded(4 * rows);
  way.hidden = (float *)scratch;
  return way;
}

/* One picture's pixels (3, side, side) -> its patches (P, 3 * patch * patch), in reading order. */
static void patches(const Tower *t, const float *pixels, float *row) {
  const int grid = t->side / t->patch;
  for (int p = 0; p < grid * grid; p++)
    for (int line = 0; line < 3 * t->patch; line++, row += t->patch) {
      const int channel = line / t->patch, y = p / grid * t->patch + line % t->patch;
      memcpy(row, pixels + (channel * t->side + y) * t->side + p % grid * t->patch, t->patch * sizeof(float));
    }
}

/* (B, 3, side, side) pixels -> (B * L, D) tokens: the class token, then the patches. A convolution whose stride is its
   size is a linear layer over the patches. */
void tower_stem(const Tower *t, const float *pixels, int pictures, float *x, void *scratch, int threads) {
  const int team = team_gather(threads), grid = t->side / t->patch, count = grid * grid, d = t->width;
  for (int picture = 0; picture < pictures; picture++) {
    float *tokens = x + (size_t)picture * (count + 1) * d;
    patches(t, pixels + (size_t)picture * 3 * t->side * t->side, scratch);
    memcpy(tokens, t->class_token, d * sizeof(float));
    memcpy(tokens + d, t->positions, (size_t)count * d * sizeof(float));
    Input input = {scratch, t->stem.inputs * sizeof(float), NULL, count};
    linear(team, &t->stem, input, 0, d, ADD, tokens + d, d);
  }
  normalise_in_place(team, &t->ln_pre, (Rows){x, d, pictures * (count + 1)});
  if (team) team_leave();
}

static Input input_at(const Linear *layer, const Way *w) {
  return (Input){.data = layer->kind == FLOAT16 ? w->gathered : w->bytes, .steps = w->steps};
}

/* A layer's input after a LayerNorm, in `gathered` where it is not rounded. */
static Input normed(const Norm *norm, const Linear *layer, const Way *w, Rows x) {
  Input input = input_at(layer, w);
  normalise(w->team, norm, layer, x, &input);
  return input;
}

/* x += layer(from) */
static void add(const Linear *layer, const Way *w, Rows from, Rows x) {
  Input input = input_at(layer, w);
  quantise(w->team, layer, from, &input);
  linear(w->team, layer, input, 0, layer->outputs, ADD, x.data, x.stride);
}

/* A residual attention block. Of the last one's output only the class tokens are read, so only they are computed. */
static void block(const Block *b, const Way *w, int d, int last) {
  const Rows all = {w->x, d, w->pictures * w->tokens};
  const Rows x = last ? (Rows){w->x, (size_t)w->tokens * d, w->pictures} : all;
  Input input = normed(&b->ln_1, &b->qkv, w, all);
  linear(w->team, &b->qkv, input, 0, 3 * d, STORE, w->qkv, qkv_stride(d));
  attention(w->team, w->qkv, qkv_stride(d), w->pictures, w->tokens, d / HEAD, last ? 1 : w->tokens, w->gathered);
  add(&b->out, w, (Rows){w->gathered, d, x.count}, x);
  input = normed(&b->ln_2, &b->fc, w, x);
  linear(w->team, &b->fc, input, 0, 4 * d, SILU, w->hidden, 4 * d);
  add(&b->proj, w, (Rows){w->hidden, 4 * d, x.count}, x);
}

/* (B * L, D) tokens, which it changes -> (B, E), so many pictures going through together. */
void tower_embed(
    const Tower *t, float *x, int pictures, int tokens, float *y, void *scratch, int together, int threads) {
  const int team = team_gather(threads), embedding = t->embedding.outputs;
  for (int first = 0; first < pictures; first += together, x += (size_t)together * tokens * t->width) {
    Way way = way_begin(t, x, pictures - first < together ? pictures - first : together, tokens, scratch, team);
    for (int layer = 0; layer < t->layers; layer++)
      block(&t->blocks[layer], &way, t->width, layer + 1 == t->layers);
    Rows class = {x, (size_t)tokens * t->width, way.pictures};
    Input input = normed(&t->ln_post, &t->embedding, &way, class);
    linear(team, &t->embedding, input, 0, embedding, STORE, y + (size_t)first * embedding, embedding);
  }
  if (team) team_leave();
}

/* One layer by itself: (T, K) -> (T, N). `scratch` holds input_size(layer, T) bytes and T floats before them. */
void linear_alone(const Linear *layer, float *x, int rows, float *y, float *scratch, int threads) {
  const int team = team_gather(threads);
  Input input = {.data = scratch + rows, .steps = scratch};
  quantise(team, layer, (Rows){x, layer->inputs, rows}, &input);
  linear(team, layer, input, 0, layer->outputs, STORE, y, layer->outputs);
  if (team) team_leave();
}
