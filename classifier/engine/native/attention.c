/* Attention in float32: a head's keys are turned once, and then six queries at a time stay in registers. */

#include "native.h"

enum { QUERIES = 6 };

typedef struct {
  const float *qkv;
  size_t stride;
  int tokens, heads, queries;
  float *y;
} Task;

INLINE void clear(__m512 sums[][4]) {
  UNROLLED for (int r = 0; r < QUERIES; r++)
    UNROLLED for (int c = 0; c < 4; c++) sums[r][c] = _mm512_setzero_ps();
}

/* QUERIES rows by 64 columns: sums[r][:] += over k of x[r][k] * rows[k][:] */
INLINE void product(
    const int count, const float *x, size_t x_stride, const float *rows, size_t stride, int inner, __m512 sums[][4]) {
  for (int k = 0; k < inner; k++) {
    __m512 row[4];
    UNROLLED for (int c = 0; c < 4; c++) row[c] = _mm512_loadu_ps(rows + k * stride + 16 * c);
    UNROLLED for (int r = 0; r < count; r++) {
      __m512 one = _mm512_set1_ps(x[r * x_stride + k]);
      UNROLLED for (int c = 0; c < 4; c++) sums[r][c] = _mm512_fmadd_ps(one, row[c], sums[r][c]);
    }
  }
}

/* (count, padded) scores -> their softmax over `tokens`, in place. */
static void softmax(float *scores, int count, int tokens, int padded) {
  for (int r = 0; r < count; r++, scores += padded) {
    for (int j = tokens; j < padded; j++) scores[j] = -1e30f;
    __m512 most = _mm512_loadu_ps(scores), total = _mm512_setzero_ps();
    for (int j = 16; j < padded; j += 16) most = _mm512_max_ps(most, _mm512_loadu_ps(scores + j));
    most = _mm512_set1_ps(_mm512_reduce_max_ps(most));
    for (int j = 0; j < padded; j += 16) {
      __m512 weight = exponential(_mm512_sub_ps(_mm512_loadu_ps(scores + j), most));
      _mm512_storeu_ps(scores + j, weight);
      total = _mm512_add_ps(total, weight);
    }
    const __m512 inverse = _mm512_set1_ps(1 / _mm512_reduce_add_ps(total));
    for (int j = 0; j < padded; j += 16) _mm512_storeu_ps(scores + j, _mm512_mul_ps(_mm512_loadu_ps(scores + j), inverse));
  }
}

INLINE void some_queries(
    const int count, const Task *task, const float *q, const float *keys, int padded, const float *values, float *y) {
  const int width = task->heads * HEAD;
  float scores[QUERIES * padded];
  for (int j = 0; j < padded; j += 64) {
    __m512 sums[QUERIES][4];
    clear(sums);
    product(count, q, task->stride, keys + j, padded, HEAD, sums);
    UNROLLED for (int r = 0; r < count; r++)
      UNROLLED for (int c = 0; c < 4; c++)
        _mm512_storeu_ps(scores + r * padded + j + 16 * c, _mm512_mul_ps(sums[r][c], _mm512_set1_ps(0.125f)));
  }
  softmax(scores, count, task->tokens, padded);
  __m512 sums[QUERIES][4];
  clear(sums);
  product(count, scores, padded, values, task->stride, task->tokens, sums);
  UNROLLED for (int r = 0; r < count; r++)
    UNROLLED for (int c = 0; c < 4; c++) _mm512_storeu_ps(y + r * width + 16 * c, sums[r][c]);
}

/* One head of one picture. */
static void head(const void *task_, int item) {
  const Task *task = task_;
  const int width = task->heads * HEAD, padded = (task->tokens + 63) / 64 * 64;
  const int picture = item / task->heads, place = item % task->heads * HEAD;
  const float *q = task->qkv + (size_t)picture * task->tokens * task->stride + place;
  float *y = task->y + (size_t)picture * task->queries * width + place, keys[HEAD * padded];
  for (int j = 0; j < padded; j++)
    for (int d = 0; d < HEAD; d++) keys[d * padded + j] = j < task->tokens ? q[width + j * task->stride + d] : 0;
  int i = 0;
  for (; i + QUERIES <= task->queries; i += QUERIES)
    some_queries(QUERIES, task, q + i * task->stride, keys, padded, q + 2 * width, y + i * width);
  for (; i < task->queries; i++)
    some_queries(1, task, q + i * task->stride, keys, padded, q + 2 * width, y + i * width);
}

void attention(int team, const float *qkv, size_t stride, int pictures, int tokens, int heads, int queries, float *y) {
  Task task = {qkv, stride, tokens, heads, queries, y};
  each(team, head, &task, pictures * heads);
}
