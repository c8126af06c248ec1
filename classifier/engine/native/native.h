/* What the C files share: the image tower as native/__init__.py hands it over, and the stages that it runs through.

   Shapes as in image_tower.py: B pictures, L tokens of a picture, T = B * L, D width, H heads of 64; of a linear layer
   K inputs and N outputs. Every buffer belongs to Python. */

#pragma once
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 16") /* sums that a loop indexes stay in registers only then */

enum { HEAD = 64, PANEL = 32, ROWS = 14 }; /* a head's width; outputs and rows that one kernel computes: 28 registers */
enum { INT8, WIDE, FLOAT16 };              /* Linear.kind; WIDE: byte weights, and inputs of two bytes */
enum { STORE, ADD, SILU };                 /* what becomes of a product */

typedef struct {
  int kind, inputs, outputs, unused;
  const void *panels;   /* weights as `linear_pack` lays them out */
  const float *scale;   /* (N,) what one step of a row is worth; all the same in FLOAT16 */
  const float *bias;    /* (N,) */
  const int32_t *start; /* (N,) of byte weights: takes off again what moving the rows by 128 adds */
} Linear;

typedef struct {
  const float *weight, *bias; /* (D,) */
} Norm;

typedef struct {
  Norm ln_1, ln_2;
  Linear qkv, out, fc, proj;
} Block;

typedef struct {
  int side, patch, width, layers; /* side and patch in pixels */
  const float *class_token, *positions; /* (D,), (P, D) */
  Linear stem;
  Norm ln_pre, ln_post;
  const Block *blocks;
  Linear embedding;
} Tower;

/* Rows of floats, some of them or all. */
typedef struct {
  float *data;
  size_t stride; /* floats from row to row */
  int count;
} Rows;

/* The same as a linear layer takes them: floats, or bytes moved by 128 with what a step is worth in each row. WIDE has
   as many rows again for what is left of each value, in steps that are SHARE times as fine. */
typedef struct {
  void *data;
  size_t stride; /* bytes */
  float *steps;
  int count;
} Input;

enum { SHARE = 254 };

/* linear.c: outputs `from` to `until` (multiples of PANEL) of a layer */
void linear(int team, const Linear *layer, Input x, int from, int until, int then, float *y, size_t stride);

/* rows.c: what a layer of that kind takes, of rows, or of rows normalised */
void quantise(int team, const Linear *layer, Rows x, Input *out);
void normalise(int team, const Norm *norm, const Linear *layer, Rows x, Input *out);
void normalise_in_place(int team, const Norm *norm, Rows x);
size_t input_size(const Linear *layer, int rows); /* bytes of an Input's data */

/* attention.c: what the first `queries` tokens of each picture gather. qkv (T, 3D) -> (B * queries, D) */
void attention(int team, const float *qkv, size_t stride, int pictures, int tokens, int heads, int queries, float *y);

/* team.c: do `work` for each item, alone or with the helpers of a team */
void each(int team, void (*work)(const void *task, int item), const void *task, int items);
int team_gather(int threads); /* whether there is one: at least two threads, and nobody else has it */
void team_leave(void);

/* e to the x, to float precision (Cody and Waite's reduction, Taylor's series on half a power of two either way). */
static inline __m512 exponential(__m512 x) {
  x = _mm512_max_ps(_mm512_min_ps(x, _mm512_set1_ps(88)), _mm512_set1_ps(-87));
  __m512 power = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
  __m512 rest = _mm512_fnmadd_ps(power, _mm512_set1_ps(0.693145751953125f), x);
  rest = _mm512_fnmadd_ps(power, _mm512_set1_ps(1.42860682e-6f), rest);
  __m512 sum = _mm512_set1_ps(1 / 720.f);
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(1 / 120.f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(1 / 24.f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(1 / 6.f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(0.5f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(1));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(1));
  return _mm512_scalef_ps(sum, power);
}
