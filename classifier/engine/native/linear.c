/* Linear layers: bytes by VNNI, or float16 weights widened in registers.

   A kernel holds the sums of up to 14 rows and 32 outputs in registers while it goes through all inputs. Weights lie in
   panels of 32 outputs in the order in which it reads them; meanwhile the next panel is fetched, which at one picture
   comes from memory. */

#include "native.h"

typedef struct {
  const Linear *layer;
  Input x;
  int from, then;
  float *y;
  size_t stride;
} Task;

/* Bytes of a panel. */
static size_t panel_size(const Linear *layer) { return (size_t)PANEL * layer->inputs * (layer->kind == FLOAT16 ? 2 : 1); }

INLINE __m512 silu(__m512 x) {
  __m512 below = _mm512_add_ps(_mm512_set1_ps(1), exponential(_mm512_sub_ps(_mm512_setzero_ps(), x)));
  __m512 inverse = _mm512_rcp14_ps(below); /* and a step of Newton's */
  inverse = _mm512_mul_ps(inverse, _mm512_fnmadd_ps(below, inverse, _mm512_set1_ps(2)));
  return _mm512_mul_ps(x, inverse);
}

/* Scale, add the bias, and STORE, ADD or SILU. */
static void finish(const Task *task, int row, int rows, int output, float (*sums)[PANEL]) {
  const Linear *layer = task->layer;
  for (int half = 0; half < PANEL; half += 16, output += 16) {
    const __m512 scale = _mm512_loadu_ps(layer->scale + output), bias = _mm512_loadu_ps(layer->bias + output);
    for (int r = 0; r < rows; r++) {
      const float step = layer->kind != FLOAT16 ? task->x.steps[(row + r)] : 1;
      float *place = task->y + (row + r) * task->stride + (output - task->from);
      __m512 y = _mm512_fmadd_ps(_mm512_loadu_ps(sums[r] + half), _mm512_mul_ps(scale, _mm512_set1_ps(step)), bias);
      if (task->then == SILU) y = silu(y);
      if (task->then == ADD) y = _mm512_add_ps(y, _mm512_loadu_ps(place));
      _mm512_storeu_ps(place, y);
    }
  }
}

/* sums += unsigned times signed bytes, by fours. Not _mm512_dpbusd_epi32, around which GCC 12 copies registers. */
INLINE void multiply(__m512i *sums, __m512i bytes, __m512i weights) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(*sums) : "v"(bytes), "v"(weights));
}

INLINE void int8_rows(
    const int rows, const Task *task, int row, int output, const char *next, size_t next_step, float (*results)[PANEL]) {
  const Linear *layer = task->layer;
  const size_t stride = task->x.stride;
  const char *weights = (const char *)layer->panels + output / PANEL * panel_size(layer);
  const char *x[(ROWS + 2) / 3]; /* of every third row: the two after it are reached by their distance */
  __m512i sums[ROWS][2];
  UNROLLED for (int r = 0; r < rows; r += 3) x[r / 3] = (const char *)task->x.data + (row + r) * stride;
  UNROLLED for (int r = 0; r < rows; r++) {
    sums[r][0] = _mm512_loadu_si512(layer->start + output);
    sums[r][1] = _mm512_loadu_si512(layer->start + output + 16);
  }
  for (int k = 0; k < layer->inputs; k += 4) {
    __m512i left = _mm512_loadu_si512(weights), right = _mm512_loadu_si512(weights + 64);
    _mm_prefetch(next, _MM_HINT_T1);
    UNROLLED for (int r = 0; r < rows; r++) {
      __m512i four = _mm512_set1_epi32(*(const int32_t *)(x[r / 3] + (r % 3) * stride));
      multiply(&sums[r][0], four, left);
      multiply(&sums[r][1], four, right);
    }
    UNROLLED for (int r = 0; r < rows; r += 3) x[r / 3] += 4;
    weights += 4 * PANEL, next += next_step;
  }
  UNROLLED for (int r = 0; r < rows; r++) {
    _mm512_storeu_ps(results[r], _mm512_cvtepi32_ps(sums[r][0]));
    _mm512_storeu_ps(results[r] + 16, _mm512_cvtepi32_ps(sums[r][1]));
  }
}

INLINE void float16_rows(const int rows, const Task *task, int row, int output, float (*results)[PANEL]) {
  const Linear *layer = task->layer;
  const size_t stride = task->x.stride;
  const char *weights = (const char *)layer->panels + output / PANEL * panel_size(layer);
  const char *x[(ROWS + 2) / 3];
  __m512 sums[ROWS][2];
  UNROLLED for (int r = 0; r < rows; r += 3) x[r / 3] = (const char *)task->x.data + (row + r) * stride;
  UNROLLED for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
  for (int k = 0; k < layer->inputs; k++) {
    __m512 left = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)weights));
    __m512 right = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(weights + 32)));
    UNROLLED for (int r = 0; r < rows; r++) {
      __m512 one = _mm512_set1_ps(*(const float *)(x[r / 3] + (r % 3) * stride));
      sums[r][0] = _mm512_fmadd_ps(one, left, sums[r][0]);
      sums[r][1] = _mm512_fmadd_ps(one, right, sums[r][1]);
    }
    UNROLLED for (int r = 0; r < rows; r += 3) x[r / 3] += 4;
    weights += 2 * PANEL;
  }
  UNROLLED for (int r = 0; r < rows; r++) {
    _mm512_storeu_ps(results[r], sums[r][0]);
    _mm512_storeu_ps(results[r] + 16, sums[r][1]);
  }
}

/* One function for each number of rows, so that the compiler keeps their sums in registers. */
#define EACH_COUNT(KERNEL, ...)                                                                                        \
  switch (rows) {                                                                                                      \
    case 1: KERNEL(1, __VA_ARGS__); break;                                                                             \
    case 2: KERNEL(2, __VA_ARGS__); break;                                                                             \
    case 3: KERNEL(3, __VA_ARGS__); break;                                                                             \
    case 4: KERNEL(4, __VA_ARGS__); break;                                                                             \
    case 5: KERNEL(5, __VA_ARGS__); break;                                                                             \
    case 6: KERNEL(6, __VA_ARGS__); break;                                                                             \
    case 7: KERNEL(7, __VA_ARGS__); break;                                                                             \
    case 8: KERNEL(8, __VA_ARGS__); break;                                                                             \
    case 9: KERNEL(9, __VA_ARGS__); break;                                                                             \
    case 10: KERNEL(10, __VA_ARGS__); break;                                                                           \
    case 11: KERNEL(11, __VA_ARGS__); break;                                                                           \
    case 12: KERNEL(12, __VA_ARGS__); break;                                                                           \
    case 13: KERNEL(13, __VA_ARGS__); break;                                                                           \
    case 14: KERNEL(14, __VA_ARGS__); break;                                                                           \
  }

/* Where the next panel lies, of which every kernel of this one fetches a part. Past the end nothing is read. */
typedef struct {
  const char *place;
  size_t step;
} Next;

static void sums(const Task *task, int row, int rows, int output, Next next, float (*results)[PANEL]) {
  if (task->layer->kind == FLOAT16) {
    EACH_COUNT(float16_rows, task, row, output, results)
  } else {
    EACH_COUNT(int8_rows, task, row, output, next.place, next.step, results)
  }
}

/* All rows by one panel, in kernels of nearly equal size. */
static void panel(const void *task_, int item) {
  const Task *task = task_;
  const int output = task->from + item * PANEL, count = task->x.count, kernels = (count + ROWS - 1) / ROWS;
  const size_t size = panel_size(task->layer);
  const char *next = (const char *)task->layer->panels + (output / PANEL + 1) * size;
  float results[ROWS][PANEL], finer[ROWS][PANEL];
  for (int kernel = 0, row = 0; kernel < kernels; kernel++) {
    const int rows = (count - row + kernels - kernel - 1) / (kernels - kernel);
    const Next fetched = {next + kernel * size / kernels, 4 * PANEL / kernels};
    sums(task, row, rows, output, fetched, results);
    if (task->layer->kind == WIDE) {
      sums(task, count + row, rows, output, fetched, finer);
      for (int r = 0; r < rows; r++)
        for (int n = 0; n < PANEL; n++) results[r][n] += finer[r][n] * (1.f / SHARE);
    }
    finish(task, row, rows, output, results);
    row += rows;
  }
}

void linear(int team, const Linear *layer, Input x, int from, int until, int then, float *y, size_t stride) {
  Task task = {layer, x, from, then, y, stride};
  each(team, panel, &task, (until - from) / PANEL);
}

/* (N, K) bytes -> panels of [K / 4][32][4], and start (N,). */
void int8_pack(const int8_t *weight, int outputs, int inputs, int8_t *panels, int32_t *start) {
  for (int n = 0; n < outputs; n++) {
    int32_t sum = 0;
    int8_t *place = panels + (size_t)(n / PANEL) * PANEL * inputs + n % PANEL * 4;
    for (int k = 0; k < inputs; k++) {
      int8_t one = weight[(size_t)n * inputs + k];
      place[(size_t)k / 4 * 4 * PANEL + k % 4] = one;
      sum += one;
    }
    start[n] = -128 * sum;
  }
}

/* (N, K) float16 -> panels of [K][32]. */
void float16_pack(const uint16_t *weight, int outputs, int inputs, uint16_t *panels) {
  for (int n = 0; n < outputs; n++)
    for (int k = 0; k < inputs; k++)
      panels[((size_t)(n / PANEL) * inputs + k) * PANEL + n % PANEL] = weight[(size_t)n * inputs + k];
}
