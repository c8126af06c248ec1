/* What happens to each token by itself: LayerNorm, and rounding to bytes by a scale of its own. */

#include "native.h"

enum { LONGEST = 2048, BUNCH = 8 }; /* floats of a row that is normalised; rows that are one piece of work */

typedef struct {
  const Norm *norm; /* or NULL */
  const Linear *layer; /* or NULL: in place */
  Rows x;
  Input *out;
} Task;

static const float *normalised(const Norm *norm, const float *x, int width, float *y) {
  __m512 total = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
  for (int d = 0; d < width; d += 16) total = _mm512_add_ps(total, _mm512_loadu_ps(x + d));
  const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(total) / width);
  for (int d = 0; d < width; d += 16) {
    __m512 distance = _mm512_sub_ps(_mm512_loadu_ps(x + d), mean);
    squares = _mm512_fmadd_ps(distance, distance, squares);
  }
  const float variance = _mm512_reduce_add_ps(squares) / width;
  const __m512 factor = _mm512_set1_ps(1 / __builtin_sqrtf(variance + 1e-5f));
  for (int d = 0; d < width; d += 16) {
    __m512 scaled = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + d), mean), factor);
    __m512 weight = _mm512_loadu_ps(norm->weight + d), bias = _mm512_loadu_ps(norm->bias + d);
    _mm512_storeu_ps(y + d, _mm512_fmadd_ps(scaled, weight, bias));
  }
  return y;
}

/* To -127..127, moved by 128, as VNNI wants one side without a sign; returns what a step is worth. */
static float rounded(const float *x, int width, uint8_t *bytes, uint8_t *finer) {
  __m512 largest = _mm512_set1_ps(1e-8f);
  for (int d = 0; d < width; d += 16) largest = _mm512_max_ps(largest, _mm512_abs_ps(_mm512_loadu_ps(x + d)));
  const float most = _mm512_reduce_max_ps(largest);
  const __m512 inverse = _mm512_set1_ps(127 / most), share = _mm512_set1_ps(SHARE);
  const __m512i moved = _mm512_set1_epi32(128);
  for (int d = 0; d < width; d += 16) {
    __m512 exact = _mm512_mul_ps(_mm512_loadu_ps(x + d), inverse);
    __m512i steps = _mm512_cvtps_epi32(exact);
    _mm_storeu_si128((__m128i *)(bytes + d), _mm512_cvtusepi32_epi8(_mm512_add_epi32(steps, moved)));
    if (!finer) continue;
    steps = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_sub_ps(exact, _mm512_cvtepi32_ps(steps)), share));
    _mm_storeu_si128((__m128i *)(finer + d), _mm512_cvtusepi32_epi8(_mm512_add_epi32(steps, moved)));
  }
  return most / 127;
}

/* Bytes from row to row: a cache line more than there are, for rows at a distance of a power of two push each other out
   of the cache. */
static size_t input_stride(const Linear *layer) {
  return layer->kind == FLOAT16 ? layer->inputs * sizeof(float) : layer->inputs + 64u;
}

size_t input_size(const Linear *layer, int rows) { return input_stride(layer) * rows * (layer->kind == WIDE ? 2 : 1); }

static void bunch(const void *task_, int item) {
  const Task *task = task_;
  float buffer[LONGEST];
  const int last = item * BUNCH + BUNCH < task->x.count ? item * BUNCH + BUNCH : task->x.count;
  for (int row = item * BUNCH; row < last; row++) {
    float *x = task->x.data + row * task->x.stride;
    if (!task->layer) {
      normalised(task->norm, x, task->x.stride, x);
      continue;
    }
    const Input *out = task->out;
    void *place = (char *)out->data + row * out->stride, *finer = (char *)place + out->count * out->stride;
    const int kind = task->layer->kind, width = task->layer->inputs;
    if (kind == FLOAT16) {
      normalised(task->norm, x, width, place);
      continue;
    }
    const float *y = task->norm ? normalised(task->norm, x, width, buffer) : x;
    out->steps[row] = rounded(y, width, place, kind == WIDE ? finer : NULL);
  }
}

static void bunches(int team, Task task) { each(team, bunch, &task, (task.x.count + BUNCH - 1) / BUNCH); }

void normalise(int team, const Norm *norm, const Linear *layer, Rows x, Input *out) {
  out->count = x.count, out->stride = input_stride(layer);
  bunches(team, (Task){norm, layer, x, out});
}

void quantise(int team, const Linear *layer, Rows x, Input *out) {
  if (layer->kind == FLOAT16)
    *out = (Input){x.data, x.stride * sizeof(float), NULL, x.count};
  else
    normalise(team, NULL, layer, x, out);
}

void normalise_in_place(int team, const Norm *norm, Rows x) { bunches(team, (Task){norm, NULL, x, NULL}); }
